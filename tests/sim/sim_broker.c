/* The broker as a process: the real core in a loop that takes what has come, ticks, commits to the model
 * journal and then sends, with a crash possible at each of these steps. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/err.h"
#include "tests/sim/sim.h"

#define INBOUND_MAX               4096
#define BATCH_MAX                 16
#define CRASH_POINT_BEFORE_COMMIT 1
#define CRASH_POINT_AFTER_COMMIT  2
#define CRASH_POINT_AMID_SENDING  3

struct broker_t {
    core_t *core;
    effects_t *fx;
    letter_t *inbound[INBOUND_MAX]; /* a ring */
    uint32_t first, count;
    uint64_t failed_peer; /* its PUSH could not be opened */
    bool busy;            /* a turn is under way */
    int armed;            /* the point at which it crashes next, 0 for none */
};

static void doc_free(void **doc) {
    free(*doc);
    *doc = NULL;
}

core_t *broker_core(world_t *world) {
    return world->broker ? world->broker->core : NULL;
}

bool broker_rests(const world_t *world) {
    return world->broker && !world->broker->busy;
}

void broker_arm(world_t *world, int point) {
    if (world->broker) world->broker->armed = point;
}

static moment_t moment(const world_t *world) {
    return (moment_t){proc_ms(world, BROKER), WALL_START_MS + world->now_us / 1000};
}

int broker_start(world_t *world) {
    broker_t *self = calloc(1, sizeof *self);
    world->broker = self;
    if (!self) return ERR_NOMEM;
    person_forgotten(world);
    self->fx = effects_new();
    int err = self->fx ? journal_restore(world, &self->core, moment(world)) : ERR_NOMEM;
    if (!err && !sim_bodies_start(world)) err = ERR_NOMEM;
    if (!err) proc_timer(world, BROKER, proc_ms(world, BROKER));
    return err;
}

void broker_destroy(world_t *world) {
    broker_t *self = world->broker;
    if (!self) return;
    sim_bodies_end(world);
    for (; self->count > 0; self->count--, self->first++)
        free(self->inbound[self->first % INBOUND_MAX]);
    core_destroy(&self->core);
    effects_destroy(&self->fx, doc_free);
    free(self);
    world->broker = NULL;
}

void broker_crash(world_t *world) {
    broker_destroy(world);
}

static bool crash_point(world_t *world, int point) {
    if (world->broker->armed != point || world->calm) return false;
    proc_kill(world, BROKER,
              point == CRASH_POINT_BEFORE_COMMIT  ? "before its commit"
              : point == CRASH_POINT_AFTER_COMMIT ? "after its commit"
                                                  : "amid sending");
    proc_restart(world, BROKER, (int64_t)(100000 + rnd(world, 3 * SECOND)));
    return true;
}

/* --- sending --- */

static int proc_of(const world_t *world, uint64_t instance) {
    int proc = (int)(instance & 0xff);
    return proc > 0 && proc < world->proc_count && world->procs[proc].instance == instance ? proc : -1;
}

static void send_one(world_t *world, out_t *out) {
    int to = proc_of(world, out->peer);
    doc_t doc = {0};
    check_out(world, out);
    switch (out->type) {
    case OUT_OPEN:
        if (!world->calm && chance(world, 3000)) {
            world->broker->failed_peer = out->peer;
            return;
        }
        out->msg.welcome.endpoint = str_of("ipc://worker");
        break;
    case OUT_PUSH: {
        const row_t *row = journal_find(world, out->number);
        if (row) doc = row->doc;
        break;
    }
    case OUT_LOG:
        TRACE(world, "log    %s %.*s", out->event, (int)out->text.len, out->text.ptr);
        return;
    case OUT_CLOSE:
    case OUT_DROP:
    case OUT_FORGET:
        return;
    case OUT_CONTROL:
        break;
    }
    if (to > 0)
        net_send(world, BROKER, to, out->type == OUT_PUSH ? SOCK_WORKER : SOCK_CONTROL, &out->msg, doc);
}

static void rest(world_t *world) {
    broker_t *self = world->broker;
    effects_clear(self->fx, doc_free);
    self->busy = false;
    bool more = self->count > 0 || self->failed_peer;
    int64_t now_ms = proc_ms(world, BROKER);
    int64_t due_ms = core_due_ms(self->core, now_ms), bodies_ms = sim_bodies_due_ms(world);
    proc_timer(world, BROKER, more ? now_ms : bodies_ms < due_ms ? bodies_ms : due_ms);
}

static void send_all(world_t *world, sim_event_t *event) {
    (void)event;
    broker_t *self = world->broker;
    if (crash_point(world, CRASH_POINT_AFTER_COMMIT)) return;
    size_t count, committed;
    const record_t *records = effects_records(self->fx, &committed);
    for (size_t i = 0; i < committed; i++)
        sim_bodies_committed(world, &records[i]);
    out_t *outs = effects_outs(self->fx, &count);
    size_t stop_at = self->armed == CRASH_POINT_AMID_SENDING && count > 1 ? 1 + rnd(world, count - 1) : count;
    for (size_t i = 0; i < count && !world->failed; i++) {
        if (i == stop_at && crash_point(world, CRASH_POINT_AMID_SENDING)) return;
        send_one(world, &outs[i]);
    }
    rest(world);
}

static void commit(world_t *world, sim_event_t *event);

static void commit_after(world_t *world, int64_t delay_us) {
    sim_event_t *next = world_after(world, delay_us, BROKER, commit, 0);
    if (next) next->life = world->procs[BROKER].life;
}

/* The journal cannot be written: what came on control is answered `busy` and dropped, the rest is not read.
 */
static void answer_busy(world_t *world) {
    broker_t *self = world->broker;
    uint32_t count = self->count, first = self->first;
    self->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        letter_t *letter = self->inbound[(first + i) % INBOUND_MAX];
        if (letter->sock != SOCK_CONTROL) {
            self->inbound[(self->first + self->count++) % INBOUND_MAX] = letter;
            continue;
        }
        msg_t msg = {.type = MSG_ERROR};
        msg.error = (msg_error_t){MSG_ERR_BUSY, (uint8_t)letter->msg.type, str_of("busy")};
        int to = proc_of(world, letter->instance);
        if (to > 0) net_send(world, BROKER, to, SOCK_CONTROL, &msg, (doc_t){0});
        free(letter);
    }
}

static void trace_records(world_t *world, const record_t *records, size_t count) {
    static const char *const names[] = {"new",    "running",     "ready", "done",   "fail",        "try",
                                        "buried", "revived",     "gone",  "worker", "worker-gone", "fetcher",
                                        "credit", "credit-gone", "rate",  "config", "pause",       "drain"};
    char line[256];
    int at = 0;
    for (size_t i = 0; i < count && at < (int)sizeof line - 64; i++) {
        const record_t *r = &records[i];
        at += snprintf(line + at, sizeof line - (size_t)at, " %s(", names[r->type]);
        uint64_t what = r->type == REC_RATE        ? (uint64_t)r->at
                        : r->type <= REC_TASK_GONE ? r->task.number
                                                   : r->number;
        at += snprintf(line + at, sizeof line - (size_t)at, "%" PRIx64 " %u)", what, r->units);
    }
    world_trace(world, "commit%.*s", at, line);
}

static void commit(world_t *world, sim_event_t *event) {
    (void)event;
    broker_t *self = world->broker;
    if (crash_point(world, CRASH_POINT_BEFORE_COMMIT)) return;
    size_t count;
    record_t *records = effects_records(self->fx, &count);
    if (count > 0 && world->disk_full_us > world->now_us) {
        answer_busy(world);
        commit_after(world, SECOND);
        return;
    }
    journal_begin(world);
    for (size_t i = 0; i < count && !world->failed; i++) {
        check_committed(world, &records[i]);
        journal_apply(world, &records[i]);
    }
    check_obeyed(world);
    if (world->trace) trace_records(world, records, count);
    sim_event_t *next = world_after(world, (int64_t)rnd(world, 500), BROKER, send_all, 0);
    if (next) next->life = world->procs[BROKER].life;
}

/* --- a turn --- */

/* A task whose credit is over by now is none that the room was reckoned with. */
static void book_late(world_t *world, const msg_t *msg) {
    core_view_t view;
    if (msg->type != MSG_FETCHED) return;
    core_look(world->broker->core, proc_ms(world, BROKER), &view);
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        if (view.gate->credits[i].credit == msg->fetched.credit) return;
    world->books.late_fetches++;
}

static void step(world_t *world, event_kind_t kind, letter_t *letter, uint64_t peer) {
    broker_t *self = world->broker;
    void *doc = NULL;
    event_t event = {.kind = kind, .peer = peer, .doc = &doc};
    if (letter) {
        event.msg = &letter->msg;
        event.peer = letter->sock == SOCK_CONTROL ? letter->instance : 0;
        book_late(world, &letter->msg);
        if (letter->msg.type == MSG_RESULT && (letter->msg.result.flags & RESULT_STREAM) &&
            !sim_bodies_result(world, &letter->msg.result))
            return;
        if (letter->msg.type == MSG_CHUNK) {
            sim_bodies_chunk(world, &letter->msg.chunk, letter->doc.ticket);
            return;
        }
        if (event.peer == PERSON) person_heard(world, &letter->msg);
        TRACE(world, "step   %s of %s", msg_type_name(letter->msg.type), world->procs[letter->from].name);
        if (letter->doc.kind != DOC_NONE && (doc = malloc(sizeof letter->doc)) != NULL) {
            *(doc_t *)doc = letter->doc;
            event.doc_bytes = 100;
        }
    }
    int err = core_step(self->core, &event, moment(world), self->fx);
    if (err) world_fail(world, "the core failed: %s", err_str(err));
    if (letter && letter->msg.type == MSG_BODY)
        sim_bodies_announced(world, letter->instance, &letter->msg.body);
    free(doc);
}

static void turn(world_t *world) {
    broker_t *self = world->broker;
    uint32_t batch = 1 + (uint32_t)rnd(world, BATCH_MAX);
    if (self->failed_peer) step(world, EV_OPEN_FAILED, NULL, self->failed_peer);
    self->failed_peer = 0;
    for (; self->count > 0 && batch > 0; self->count--, batch--) {
        letter_t *letter = self->inbound[self->first++ % INBOUND_MAX];
        step(world, EV_MESSAGE, letter, 0);
        free(letter);
    }
    sim_bodies_turn(world);
    step(world, EV_TICK, NULL, 0);
    check_turn(world, self->fx);
    size_t records, outs;
    (void)effects_records(self->fx, &records);
    (void)effects_outs(self->fx, &outs);
    if (records == 0) check_obeyed(world);
    if (records == 0 && outs == 0) {
        rest(world);
        return;
    }
    self->busy = true;
    if (records == 0) {
        send_all(world, NULL);
        return;
    }
    int64_t delay_us = records ? (int64_t)rnd(world, (uint64_t)world->plan.commit_us) : 0;
    if (!world->calm && chance(world, 1000)) delay_us += (int64_t)rnd(world, 3 * SECOND); /* a slow disk */
    commit_after(world, delay_us);
}

void broker_tick(world_t *world) {
    if (world->broker && !world->broker->busy) turn(world);
}

void broker_receive(world_t *world, letter_t *letter) {
    broker_t *self = world->broker;
    if (!self || self->count == INBOUND_MAX) {
        free(letter);
        return;
    }
    self->inbound[(self->first + self->count++) % INBOUND_MAX] = letter;
    if (self->count == 1 && !self->busy) proc_timer(world, BROKER, proc_ms(world, BROKER));
}

/* --- by hand --- */

void broker_by_hand(world_t *world, bool drain) {
    if (!world->broker || world->procs[BROKER].stopped) return;
    core_view_t view;
    core_look(world->broker->core, proc_ms(world, BROKER), &view);
    if ((view.drained_wall_ms != 0) == drain) return;
    letter_t *letter = calloc(1, sizeof *letter);
    if (!letter) return;
    TRACE(world, "HAND   sluice %s", drain ? "drain" : "resume");
    letter->instance = PERSON;
    letter->from = FETCHER; /* it comes from no process of the world */
    letter->msg.type = MSG_DRAIN;
    letter->msg.drain.mode = drain;
    world->books.drains++;
    broker_receive(world, letter);
}

static void stopped(world_t *world, sim_event_t *event) {
    (void)event;
    proc_kill(world, BROKER, "at its end");
    proc_restart(world, BROKER, (int64_t)(100000 + rnd(world, 2 * SECOND)));
}

void broker_stop(world_t *world) {
    if (!world->broker) return;
    TRACE(world, "STOP   of the broker by SIGTERM");
    core_stop(world->broker->core);
    sim_event_t *event = world_after(world, (int64_t)rnd(world, 5 * SECOND), BROKER, stopped, 0);
    if (event) event->life = world->procs[BROKER].life;
}
