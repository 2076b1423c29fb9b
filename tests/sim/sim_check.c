/* The invariants. What a message says has to be true of the committed journal when it leaves the broker; what
 * AC and the tools see has to be what the promises say; and the core has to agree with itself. */
#include <inttypes.h>

#include "broker/stage.h"
#include "tests/sim/sim.h"

#define IN_HAND_MAX 2 /* requests of an uploader that AC may have taken when it dies */
#define UNHEARD_MAX 8 /* results of an uploader that AC has and the broker does not know of */

/* --- AC and the tools --- */

void check_ac_start(world_t *world, call_t call, doc_t doc) {
    if (call != CALL_GET_TASK && doc.kind != DOC_NONE && world->tickets[doc.ticket].answered)
        world_fail(world,
                   "twice: the result of ticket %u is posted again, and AC has answered that it has it",
                   doc.ticket);
    uint32_t open = 0;
    for (int i = 0; i < REQUESTS_MAX; i++)
        open += world->requests[i].open;
    if (open > world->books.most_in_flight) world->books.most_in_flight = open;
    if (open > (uint32_t)world->plan.ac_max)
        world_fail(world, "in flight: %u AC requests at once, %d allowed", open, world->plan.ac_max);
    world->starts_us[world->start_count++ % RATE_STARTS_MAX] = world->now_us;
    while (world->starts_us[world->minute_count % RATE_STARTS_MAX] <= world->now_us - 60 * SECOND)
        world->minute_count++;
    uint32_t minute = world->start_count - world->minute_count;
    if (minute > world->books.fullest_minute) world->books.fullest_minute = minute;
    if (world->plan.rate >= RATE_STARTS_MAX || world->start_count <= world->plan.rate) return;
    int64_t earlier_us = world->starts_us[(world->start_count - 1 - world->plan.rate) % RATE_STARTS_MAX];
    if (world->now_us - earlier_us < 60 * SECOND)
        world_fail(world, "rate: %u AC requests within %.3f s, %u a minute allowed", world->plan.rate + 1,
                   (double)(world->now_us - earlier_us) / 1e6, world->plan.rate);
}

void check_tool_start(world_t *world, int proc, const item_t *item) {
    ticket_t *ticket = &world->tickets[item->doc.ticket];
    const proc_t *p = &world->procs[proc];
    ticket->starts++;
    TRACE(world, "TOOL   %s starts ticket %u, %s", p->name, item->doc.ticket, method_name(ticket->method));
    if (ticket->starts > 1 && world->plan.chaos_us == 0)
        world_fail(world, "twice: ticket %u was started %u times, and nothing had gone wrong",
                   item->doc.ticket, ticket->starts);
    if (method_idempotent(ticket->method)) return;
    if (ticket->starts > 1)
        world_fail(world, "twice: ticket %u, a %s, was started %u times", item->doc.ticket,
                   method_name(ticket->method), ticket->starts);
    const row_t *row = journal_find(world, item->number);
    if (row && row->image.state == TASK_RUNNING && row->image.holder != p->instance)
        world_fail(world, "claim: %s starts ticket %u, which the journal has with another", p->name,
                   item->doc.ticket);
}

/* --- the messages that follow from the journal --- */

static void check_accepted(world_t *world, const msg_accepted_t *accepted) {
    if (!journal_has_fetch(world, accepted->instance, accepted->seq))
        world_fail(world, "commit: ACCEPTED for a fetch that is not in the journal");
}

static void check_claimed(world_t *world, const out_t *out) {
    const row_t *row = journal_find(world, out->msg.ref.number);
    if (!row || row->image.state == TASK_DONE || row->image.state == TASK_BURIED)
        return; /* an upload, or its result is there already */
    if (method_idempotent(world->tickets[row->doc.ticket].method)) return;
    if (row->claimed_by != out->peer && (row->image.state != TASK_RUNNING || row->image.holder != out->peer))
        world_fail(world, "commit: CLAIMED for ticket %u, whose claim is not in the journal",
                   row->doc.ticket);
}

static void check_push(world_t *world, const out_t *out) {
    if (!journal_find(world, out->number))
        world_fail(world, "commit: a task is pushed that is not in the journal");
    core_view_t view;
    core_look(broker_core(world), proc_ms(world, BROKER), &view);
    const worker_t *worker = out->msg.task.stage == STAGE_EXECUTE ? view.executors : view.uploaders;
    while (worker && worker->instance != out->peer)
        worker = worker->next;
    if (worker && worker->out > worker->slots)
        world_fail(world, "slots: %s has %u tasks out, and %u slots", worker->name, worker->out,
                   worker->slots);
}

void check_out(world_t *world, const out_t *out) {
    const row_t *row;
    if (out->type == OUT_PUSH) check_push(world, out);
    if (out->type != OUT_CONTROL) return;
    if (out->peer == PERSON) person_answered(world, &out->msg);
    switch (out->msg.type) {
    case MSG_ACCEPTED:
        check_accepted(world, &out->msg.accepted);
        break;
    case MSG_CLAIMED:
        check_claimed(world, out);
        break;
    case MSG_STORED:
        row = journal_find(world, out->msg.ref.number);
        if (row && row->image.state != TASK_DONE && row->image.state != TASK_BURIED)
            world_fail(world, "commit: STORED for ticket %u, whose result is not in the journal",
                       row->doc.ticket);
        break;
    case MSG_GRANT:
        if (!journal_has_credit(world, out->msg.grant.credit, out->msg.grant.budget))
            world_fail(world, "commit: GRANT of a credit, or of a budget, that is not in the journal");
        break;
    default:
        break;
    }
}

/* --- the core --- */

static void check_owner(world_t *world, const task_t *task) {
    bool queued = heap_has(&task->queued), timed = heap_has(&task->timed), with = task->worker != NULL;
    bool ok = true;
    switch (task->state) {
    case TASK_READY:
        ok = !with && timed != task->waits_rejoin && queued != task->waits_rejoin;
        break;
    case TASK_DONE:
        ok = !with && (task->waits_rejoin || queued != timed);
        break;
    case TASK_PUSHED:
    case TASK_DONE_PUSHED:
        ok = with && timed && !queued;
        break;
    case TASK_RUNNING:
        ok = !queued && (with ? timed != task->ended : task->waits_rejoin);
        break;
    case TASK_UPLOADING:
        ok = with && !queued;
        break;
    case TASK_BURIED:
        ok = !with && !queued;
        break;
    default:
        ok = false;
    }
    if (!ok)
        world_fail(world, "owner: task %" PRIu64 " is %s, queued %d, timed %d, with a worker %d, waits %d",
                   task->number, task_state_name(task->state), queued, timed, with, task->waits_rejoin);
}

static void check_workers(world_t *world, const worker_t *workers) {
    for (const worker_t *worker = workers; worker; worker = worker->next) {
        uint32_t out = 0, claimed = 0;
        for (const task_t *task = worker->tasks; task; task = task->next) {
            out++;
            claimed += task->state == TASK_RUNNING || task->state == TASK_UPLOADING;
            if (task->worker != worker) world_fail(world, "owner: a worker lists another's task");
        }
        if (out != worker->out || claimed != worker->claimed)
            world_fail(world, "slots: %s has %u out and %u claimed, counted %u and %u", worker->name, out,
                       claimed, worker->out, worker->claimed);
    }
}

static void check_tasks(world_t *world, const core_view_t *view) {
    uint32_t counts[TASK_STATES] = {0};
    uint32_t given_up = 0;
    for (task_t *task = tasks_first(view->tasks); task; task = tasks_next(view->tasks)) {
        counts[task->state]++;
        given_up += task->state > TASK_RUNNING && task->state != TASK_BURIED && task->tries >= GIVEN_UP_TRIES;
        check_owner(world, task);
    }
    for (int i = 0; i < TASK_STATES; i++)
        if (counts[i] != view->tasks->counts[i])
            world_fail(world, "counts: %u tasks are %s, counted %u", counts[i],
                       task_state_name((task_state_t)i), view->tasks->counts[i]);
    if (given_up != tasks_given_up(view->tasks))
        world_fail(world, "counts: %u results are given up, counted %u", given_up,
                   tasks_given_up(view->tasks));
}

static uint32_t ready_limit(const world_t *world, const core_view_t *view) {
    return view->lookahead < world->plan.task_queue ? view->lookahead : world->plan.task_queue;
}

/* A new credit for fetching: there is an executor, and room for all that the credits out may bring. */
static void check_fetch_grant(world_t *world, const core_view_t *view, const record_t *record) {
    uint32_t ready = view->tasks->counts[TASK_READY] + view->tasks->counts[TASK_PUSHED];
    uint32_t outstanding = gate_fetch_outstanding(view->gate);
    uint32_t results = tasks_results_counted(view->tasks);
    if (results * 100 >= world->plan.response_queue * world->plan.threshold)
        world_fail(world, "room: a fetch credit with %u results waiting, %u %% of %u allowed", results,
                   world->plan.threshold, world->plan.response_queue);
    if (world->paused) world_fail(world, "room: a fetch credit while fetching is paused by hand");
    if (view->executor_slots == 0) world_fail(world, "room: a fetch credit with no executor there");
    if (ready + outstanding > ready_limit(world, view))
        world_fail(world, "room: a fetch credit of %u with %u ready, %u outstanding, limit %u", record->units,
                   ready, outstanding, ready_limit(world, view));
}

/* READY tasks stay within the lookahead, but for those that come back from workers or came late. */
static void check_ready(world_t *world, const core_view_t *view) {
    uint32_t ready = view->tasks->counts[TASK_READY];
    /* an executor that died counts until its silence is noticed, beside those started after it */
    uint32_t slots = 4 * (uint32_t)world->plan.executors * world->plan.slots;
    uint32_t limit = world->plan.lookahead ? world->plan.lookahead : slots;
    if (limit > world->plan.task_queue) limit = world->plan.task_queue;
    if (ready > limit + slots + world->books.late_fetches)
        world_fail(world, "room: %u tasks are ready; limit %u, slots %u, late %u", ready, limit, slots,
                   world->books.late_fetches);
}

void check_turn(world_t *world, effects_t *fx) {
    core_view_t view;
    core_look(broker_core(world), proc_ms(world, BROKER), &view);
    check_workers(world, view.executors);
    check_workers(world, view.uploaders);
    check_tasks(world, &view);
    check_ready(world, &view);
    size_t count;
    const record_t *records = effects_records(fx, &count);
    for (size_t i = 0; i < count; i++)
        if (records[i].type == REC_CREDIT && records[i].role == CREDIT_FETCH)
            check_fetch_grant(world, &view, &records[i]);
}

/* --- the end --- */

bool ticket_settled(const ticket_t *ticket) {
    return ticket->delivered > 0 || (ticket->buried && ticket->taken > 0) || ticket->held_already;
}

bool ticket_over(const ticket_t *ticket) {
    if (!ticket->handed) return false;
    if (ticket->read && !ticket_settled(ticket) && !ticket->at_risk) return false;
    return ticket->taken == 0 || ticket_settled(ticket);
}

bool all_settled(world_t *world) {
    if (!world->procs[BROKER].alive || world->broker == NULL) return false;
    for (uint32_t i = 0; i < world->ticket_count; i++)
        if (!ticket_over(&world->tickets[i])) return false;
    core_view_t view;
    core_look(broker_core(world), proc_ms(world, BROKER), &view);
    for (int i = 0; i < TASK_STATES; i++)
        if (i != TASK_BURIED && view.tasks->counts[i] > 0) return false;
    for (int i = 1; i < world->proc_count; i++)
        if (!world->procs[i].alive || world->procs[i].peer.item_count > 0 ||
            (world->procs[i].peer.uploader && !uploader_idle(world->procs[i].peer.uploader)) ||
            (world->procs[i].peer.fetcher && !fetcher_idle(world->procs[i].peer.fetcher)))
            return false;
    return world->inbox_count == 0;
}

static void check_idle(world_t *world, const worker_t *workers) {
    for (const worker_t *worker = workers; worker; worker = worker->next)
        if (worker->out != 0 || worker->claimed != 0 || worker->tasks)
            world_fail(world, "slots: at the end %s still has %u out, %u claimed", worker->name, worker->out,
                       worker->claimed);
}

/* A result goes to AC twice only after an answer that was lost on the way, a death or a cut in the middle of
 * its request, or the end of the machine. */
static void check_again(world_t *world) {
    uint64_t allowed = (uint64_t)IN_HAND_MAX * world->books.uploader_losses + world->books.taken_unanswered +
                       (uint64_t)UNHEARD_MAX * UPLOADERS_MAX * world->books.reboots;
    if (world->books.delivered_again > allowed)
        world_fail(world, "twice: %" PRIu64 " results were delivered again, %" PRIu64 " allowed",
                   world->books.delivered_again, allowed);
}

void check_end(world_t *world) {
    check_again(world);
    sim_bodies_check_end(world);
    for (uint32_t i = 0; i < world->ticket_count; i++) {
        const ticket_t *t = &world->tickets[i];
        if (ticket_settled(t) || !t->read || t->at_risk) continue;
        const row_t *row = journal_find_ticket(world, i);
        world_fail(world,
                   "lost: ticket %u (%s) was read, taken %u times, and is neither delivered nor buried; %s",
                   i, method_name(t->method), t->taken,
                   row ? task_state_name(row->image.state) : "not in the journal");
    }
    if (!broker_core(world)) return;
    core_view_t view;
    core_look(broker_core(world), proc_ms(world, BROKER), &view);
    check_idle(world, view.executors);
    check_idle(world, view.uploaders);
}
