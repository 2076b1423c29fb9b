/* The loop's turn: drain, step, commit, send. */
#include <signal.h>

#include "broker/broker.h"
#include "common/clock.h"
#include "common/crash_point.h"
#include "common/err.h"
#include "common/log.h"
#include "common/program.h"

#define RETRY_MS 1000

moment_t broker_now(void) {
    return (moment_t){clock_boot_ms(), clock_wall_ms()};
}

static int tell_unopened(broker_t *self) {
    int err = 0;
    for (unsigned i = 0; !err && i < self->unopened_count; i++)
        err = core_step(self->core, &(event_t){.kind = EV_OPEN_FAILED, .peer = self->unopened[i]},
                        broker_now(), self->effects);
    self->unopened_count = 0;
    return err;
}

/* Tells the core of tasks that another part of the broker has met with. */
static int tell_tasks(broker_t *self, event_kind_t kind, const msg_ref_t *tasks, unsigned *count) {
    int err = 0;
    for (unsigned i = 0; !err && i < *count; i++)
        err = core_step(self->core,
                        &(event_t){.kind = kind, .number = tasks[i].number, .attempt = tasks[i].attempt},
                        broker_now(), self->effects);
    *count = 0;
    return err;
}

static int drain(broker_t *self) {
    int64_t until = clock_boot_ms() + TURN_MS;
    self->tasks_capped = false;
    for (source_t source = 0; source < FROM_COUNT; source++) {
        for (int i = 0;; i++) {
            received_t got;
            if (i == TURN_MESSAGES || (i > 0 && clock_boot_ms() > until)) {
                self->tasks_capped = true;
                break;
            }
            if (!sockets_receive(self->sockets, source, &got)) {
                sockets_done(&got);
                break;
            }
            int err = broker_take(self, source, &got);
            sockets_done(&got);
            if (err) return err;
        }
    }
    return 0;
}

/* While nothing can be written only questions are answered; what else comes is repeated by its sender. */
static void answer_questions_only(broker_t *self) {
    received_t got;
    for (int i = 0; i < TURN_MESSAGES; i++) {
        if (!sockets_receive(self->sockets, FROM_CONTROL, &got)) {
            sockets_done(&got);
            return;
        }
        msg_t msg, answer = {.type = MSG_ERROR};
        int64_t payload = got.has_payload ? (int64_t)zmq_msg_size(&got.payload) : -1;
        int err =
            msg_decode(zmq_msg_data(&got.header), zmq_msg_size(&got.header), payload, &msg, self->scratch);
        uint64_t key;
        bool admitted = !err && broker_admits(self, FROM_CONTROL, &got, &msg, &key);
        if (admitted && !broker_answer(self, &got, &msg)) {
            answer.error =
                (msg_error_t){MSG_ERR_BUSY, (uint8_t)msg.type, str_of("the journal cannot be written now")};
            sockets_answer(self->sockets, &got, &answer, NULL);
        }
        sockets_done(&got);
    }
}

static void journal_failed(broker_t *self) {
    char quoted[LOG_QUOTED_MAX];
    if (self->journal_ok)
        log_error("journal_failed",
                  "why=%s consequence=\"fetching stops; nothing is acknowledged until it works\"",
                  log_quote(self->journal_why, quoted));
    self->journal_ok = false;
}

/* Whether to stop. A reload waits until the turn is done. */
static bool take_signal(broker_t *self, int signals) {
    int signal = program_signal(signals);
    if (signal == SIGHUP) {
        log_warn("reload_waits", "why=\"the journal cannot be written\"");
        self->reload = true;
    }
    return signal != 0 && signal != SIGHUP;
}

static int commit(broker_t *self, int signals) {
    size_t count;
    const record_t *records = effects_records(self->effects, &count);
    if (count == 0) return 0;
    for (;;) {
        CRASH_POINT("commit.before");
        int err = journal_commit(self->journal, records, count, self->journal_why);
        if (!err) break;
        if (err != ERR_IO) return err;
        journal_failed(self);
        journal_make_room(self->journal);
        if (self->quit) return ERR_BUSY;
        int64_t until = clock_boot_ms() + RETRY_MS;
        for (int64_t now; (now = clock_boot_ms()) < until;) {
            program_alive(now); /* trying again is all that can be done */
            if (sockets_wait_control(self->sockets, signals, (long)(until - now)) &&
                take_signal(self, signals))
                return ERR_BUSY;
            answer_questions_only(self);
        }
    }
    CRASH_POINT("commit.after");
    if (!self->journal_ok) log_warn("journal_recovered", "records=%zu", count);
    self->journal_ok = true;
    return 0;
}

int broker_turn(broker_t *self, int signals) {
    int err = tell_unopened(self);
    if (!err) err = tell_tasks(self, EV_NOT_PUSHED, self->unread, &self->unread_count);
    if (!err) err = tell_tasks(self, EV_NO_ROOM, self->no_room, &self->no_room_count);
    if (!err) err = drain(self);
    doc_destroy(&self->status);
    moment_t now = broker_now();
    if (!err) {
        spool_turn(self->spool, now.ms);
        spool_set_aside(self->spool, core_buried_bodies(self->core));
        bodies_turn(self->bodies, now.ms);
        core_hold_fetching(self->core, bodies_hold(self->bodies));
    }
    if (!err) err = core_step(self->core, &(event_t){.kind = EV_TICK}, now, self->effects);
    if (!err) err = commit(self, signals);
    if (!err) err = broker_send(self, clock_boot_ms() - now.ms);
    if (core_debug(self->core) != self->debug) {
        self->debug = !self->debug;
        log_set_level(self->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    }
    effects_clear(self->effects, doc_free);
    return err;
}

long broker_due_ms(broker_t *self) {
    if (self->tasks_capped || self->unopened_count > 0 || self->unread_count > 0 || self->no_room_count > 0 ||
        self->reload)
        return 0;
    int64_t now = clock_boot_ms(), due = core_due_ms(self->core, now);
    int64_t bodies = bodies_due_ms(self->bodies, now);
    due = bodies < due ? bodies : due;
    if (due == INT64_MAX) return -1;
    return due <= now ? 0 : due - now > 60000 ? 60000 : (long)(due - now);
}
