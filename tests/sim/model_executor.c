/* An executor: claims what it is handed, runs it against the tool, and repeats the result until it is stored.
 */
#include <stdlib.h>
#include <sys/types.h>

#include "executor/run_task.h"
#include "executor/send_body.h"
#include "tests/sim/sim.h"

/* Large bodies go out by its own code (executor/send_body.c), which knows of nothing but the runs with one.
 */
struct slots_t {
    run_t *runs[ITEMS_MAX];
    uint32_t count;
};

struct executor_parts_t {
    executor_t self;
    slots_t slots;
};

static unsigned char octets[MSG_CHUNK_MAX]; /* what all bodies are made of: none is looked at */

/* The linker puts this in the place of pread(). */
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t offset) {
    (void)fd, (void)bytes, (void)offset;
    return (ssize_t)size;
}

uint32_t slots_count(const slots_t *self) {
    return self->count;
}

run_t *slots_at(const slots_t *self, uint32_t index) {
    return self->runs[index];
}

void run_forget(executor_t *self, run_t *run) {
    (void)self, (void)run;
    abort(); /* no body is unreadable here */
}

void executor_start(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    executor_parts_t *parts = peer->executor = calloc(1, sizeof *parts);
    if (!parts) abort();
    parts->self.chunk = octets;
    parts->self.link = &peer->link;
    parts->self.slots = &parts->slots;
}

void executor_end(peer_t *peer) {
    executor_parts_t *parts = peer->executor;
    if (!parts) return;
    for (uint32_t i = 0; i < parts->slots.count; i++)
        free(parts->slots.runs[i]);
    free(parts);
    peer->executor = NULL;
}

void executor_drop_run(peer_t *peer, item_t *item) {
    slots_t *slots = &peer->executor->slots;
    for (uint32_t i = 0; i < slots->count; i++)
        if (slots->runs[i] == item->run) slots->runs[i--] = slots->runs[--slots->count];
    free(item->run);
    item->run = NULL;
}

/* The result is there, and its body in a file. */
static void begin_body(world_t *world, int proc, item_t *item) {
    static char result[] = "{}";
    executor_parts_t *parts = world->procs[proc].peer.executor;
    run_t *run = item->run = calloc(1, sizeof *run);
    if (!run) abort();
    run->number = item->number;
    run->claimed = true;
    run->result = result;
    run->body = (outgoing_t){.has_file = true,
                             .fd = -1,
                             .kind = item->doc.ticket % 2 ? BODY_GZIP : BODY_RAW,
                             .length = ticket_length(world, &world->tickets[item->doc.ticket])};
    parts->slots.runs[parts->slots.count++] = run;
}

/* Sends of the body what the credit allows; RESULT follows the last chunk. */
static void body_turn(world_t *world, int proc, item_t *item) {
    executor_t *self = &world->procs[proc].peer.executor->self;
    run_t *run = item->run;
    self->now_ms = proc_ms(world, proc);
    self->draining = world->procs[proc].draining;
    if (run->session != item->session || run->attempt != item->attempt) send_body_again(run);
    run->session = item->session;
    run->attempt = item->attempt;
    run->next_send_ms = 1;
    while (proc_runs(world, proc) && send_body_turn(self, run)) {
    }
    if (run->next_send_ms == 0) item->repeat_ms = self->now_ms;
}

static bool body_waits(const item_t *item) {
    return item->run && item->run->body.state != OUTGOING_SENT;
}

int64_t executor_due(const world_t *world, int proc) {
    const executor_parts_t *parts = world->procs[proc].peer.executor;
    int64_t due = NEVER;
    for (uint32_t i = 0; i < parts->slots.count; i++) {
        int64_t at = send_body_due_ms(&parts->self, parts->slots.runs[i]);
        due = at < due ? at : due;
    }
    return due;
}

static bool may_repeat(const item_t *item) {
    return (item->flags & TASK_IDEMPOTENT) != 0;
}

static void finish(world_t *world, int proc, item_t *item, doc_kind_t kind) {
    item->phase = PHASE_FINISHED;
    item->tag = 0;
    item->doc.kind = kind;
    if (kind == DOC_RESULT && ticket_is_large(&world->tickets[item->doc.ticket]))
        begin_body(world, proc, item);
    item->repeat_ms = proc_ms(world, proc);
}

static void run_ends(world_t *world, sim_event_t *event) {
    peer_t *peer = &world->procs[event->proc].peer;
    for (uint32_t i = 0; i < peer->item_count; i++) {
        if (peer->items[i].tag != event->value) continue;
        TRACE(world, "tool   %s ends ticket %u", world->procs[event->proc].name, peer->items[i].doc.ticket);
        finish(world, event->proc, &peer->items[i], DOC_RESULT);
        peer_tick(world, event->proc);
        return;
    }
}

static void start_run(world_t *world, int proc, item_t *item) {
    int64_t now_ms = proc_ms(world, proc);
    if (item->deadline_ms <= now_ms) {
        finish(world, proc, item, DOC_ERROR);
        return;
    }
    if (!proc_runs(world, proc)) return;
    check_tool_start(world, proc, item);
    item->doc.run = world->tickets[item->doc.ticket].starts;
    item->phase = PHASE_STARTED;
    item->tag = ++world->tags;
    int64_t run_us = (int64_t)rnd(world, (uint64_t)world->plan.tool_us);
    if (run_us > (item->deadline_ms - now_ms) * 1000) run_us = (item->deadline_ms - now_ms) * 1000;
    sim_event_t *event = world_after(world, run_us, proc, run_ends, item->tag);
    if (event) event->life = world->procs[proc].life;
}

static void send_claim(world_t *world, int proc, item_t *item) {
    item->repeat_ms = proc_ms(world, proc) + PROTOCOL_REPEAT_MS;
    peer_ref(world, proc, MSG_CLAIM, item);
}

void executor_task(world_t *world, int proc, const letter_t *letter) {
    peer_t *peer = &world->procs[proc].peer;
    const msg_task_t *task = &letter->msg.task;
    item_t *item = peer_item(peer, task->number);
    if (item && item->session == task->session && item->attempt >= task->attempt) return;
    if (peer_had(peer, task)) return;
    if (!item) {
        if (peer->item_count == ITEMS_MAX) {
            world_fail(world, "%s holds more than %d tasks", world->procs[proc].name, ITEMS_MAX);
            return;
        }
        if (ticket_is_logs(&world->tickets[letter->doc.ticket]))
            world_fail(world, "ticket %u asks for logs, and comes to an executor", letter->doc.ticket);
        item = &peer->items[peer->item_count++];
        *item = (item_t){
            .number = task->number, .phase = PHASE_UNSTARTED, .doc = letter->doc, .flags = task->flags};
        item->deadline_ms = proc_ms(world, proc) + task->remaining_ms;
    }
    item->session = task->session; /* handed to it once more: what it has done of it counts on */
    item->attempt = task->attempt;
    item->claimed = item->returned = false;
    if (item->phase == PHASE_FINISHED) {
        item->repeat_ms = proc_ms(world, proc);
        return;
    }
    send_claim(world, proc, item);
    if (world->plan.eager && may_repeat(item) && item->phase == PHASE_UNSTARTED && proc_runs(world, proc))
        start_run(world, proc, item);
}

void executor_welcome(peer_t *peer, const msg_welcome_t *welcome) {
    for (uint32_t i = 0; i < welcome->drop.count; i++) {
        item_t *item = peer_item(peer, welcome->drop.items[i]);
        if (item) peer_forget(peer, item);
    }
    for (uint32_t i = 0; i < peer->item_count; i++) {
        item_t *item = &peer->items[i];
        item->session = welcome->session;
        item->repeat_ms = 0;
        if (item->phase == PHASE_UNSTARTED) item->claimed = false;
        if (item->run) send_body_again(item->run);
    }
}

void executor_message(world_t *world, int proc, const msg_t *msg) {
    peer_t *peer = &world->procs[proc].peer;
    peer->executor->self.now_ms = proc_ms(world, proc);
    if (msg->type == MSG_CREDIT) send_body_credit(&peer->executor->self, &msg->credit);
    if (msg->type == MSG_ABORT) send_body_abort(&peer->executor->self, &msg->abort);
    if (msg->type == MSG_CREDIT || msg->type == MSG_ABORT) return;
    bool denied = msg->type == MSG_DENIED;
    item_t *item = peer_item(peer, denied ? msg->denied.number : msg->ref.number);
    if (!item || item->attempt != (denied ? msg->denied.attempt : msg->ref.attempt)) return;
    switch (msg->type) {
    case MSG_CLAIMED:
        item->claimed = true;
        if (item->phase == PHASE_UNSTARTED && !item->returned) start_run(world, proc, item);
        break;
    case MSG_STORED:
    case MSG_GONE:
    case MSG_DENIED:
        peer_forget(peer, item);
        break;
    default:
        break;
    }
}

static void send_return(world_t *world, int proc, item_t *item) {
    msg_t msg = {.type = MSG_RETURN};
    msg.give_back = (msg_return_t){item->session, item->number, item->attempt, item->phase == PHASE_STARTED};
    item->returned = true;
    item->tag = 0; /* aborted */
    item->repeat_ms = proc_ms(world, proc) + PROTOCOL_REPEAT_MS;
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

static void send_result(world_t *world, int proc, item_t *item) {
    msg_t msg = {.type = MSG_RESULT};
    msg.result = (msg_result_t){.session = item->session,
                                .number = item->number,
                                .attempt = item->attempt,
                                .stream = item->run ? item->run->body.stream : 0,
                                .flags = RESULT_STARTED | (item->doc.kind == DOC_ERROR ? RESULT_AGENT
                                                           : item->run                 ? RESULT_STREAM
                                                                                       : 0),
                                .http_status = 200,
                                .body_bytes = 10,
                                .reason = str_of(item->doc.kind == DOC_ERROR ? "connecting: refused" : "")};
    item->repeat_ms = proc_ms(world, proc) + PROTOCOL_REPEAT_MS;
    peer_send(world, proc, SOCK_RESULTS_IN, &msg, item->doc);
}

static void drain(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    for (uint32_t i = 0; i < p->peer.item_count && proc_runs(world, proc); i++) {
        item_t *item = &p->peer.items[i];
        if (item->returned || item->phase == PHASE_FINISHED) continue;
        if (item->phase == PHASE_UNSTARTED || may_repeat(item))
            send_return(world, proc, item);
        else if (proc_ms(world, proc) >= p->peer.drain_ms)
            finish(world, proc, item, DOC_ERROR); /* outcome unknown */
    }
    if (p->peer.item_count == 0 || proc_ms(world, proc) >= p->peer.drain_ms + PROTOCOL_LOST_MS)
        p->peer.bye = true;
}

void executor_tick(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    int64_t now_ms = proc_ms(world, proc);
    if (!p->peer.session) return;
    if (p->draining) drain(world, proc);
    for (uint32_t i = 0; i < p->peer.item_count && proc_runs(world, proc); i++) {
        item_t *item = &p->peer.items[i];
        if (item->run) body_turn(world, proc, item);
        if (now_ms < item->repeat_ms || !proc_runs(world, proc)) continue;
        if (item->returned)
            send_return(world, proc, item);
        else if (item->phase == PHASE_FINISHED && !body_waits(item))
            send_result(world, proc, item);
        else if (item->phase != PHASE_FINISHED && !item->claimed &&
                 (item->phase == PHASE_UNSTARTED || item->repeat_ms > 0))
            send_claim(world, proc, item);
        else
            item->repeat_ms = NEVER;
    }
}
