#include "executor/drain.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "common/program.h"
#include "executor/error_text.h"
#include "executor/run_task.h"
#include "executor/send_body.h"

/* After the drain time the broker has this long to answer what is left. */
#define ANSWER_MS PROTOCOL_LOST_MS

void drain_one(executor_t *self, run_t *run) {
    (void)self;
    if (run->started || run->result || run->give_back) return;
    run->give_back = true;
    run->next_send_ms = run->claimed ? 0 : run->next_send_ms;
}

void drain_begin(executor_t *self) {
    if (self->draining) {
        if (self->drain_deadline_ms > self->now_ms) self->drain_deadline_ms = self->now_ms;
        return;
    }
    self->draining = true;
    self->drain_deadline_ms = self->now_ms + self->drain_timeout_ms;
    log_info("draining", "held=%u timeout_ms=%d", slots_count(self->slots), self->drain_timeout_ms);
    for (uint32_t i = slots_count(self->slots); i-- > 0;)
        drain_one(self, slots_at(self->slots, i));
}

/* The drain time is up for a task that still runs: what may be repeated goes back, of the rest nobody knows.
 */
static void end_run(executor_t *self, run_t *run) {
    char why[128], text[ERROR_TEXT_MAX];

    if (run->idempotent && request_idempotent(&run->request)) {
        run_abort(self, run);
        run->give_back = true;
        run->next_send_ms = 0;
        return;
    }
    (void)snprintf(why, sizeof why, "outcome unknown: executor stopped during %.32s; not repeated",
                   run->task.method);
    error_text_agent(why, text);
    run_fail(self, run, text);
}

/* What is lost now, and what it waited for. */
static void log_incomplete(const executor_t *self) {
    uint32_t held = slots_count(self->slots), bodies = 0;
    for (uint32_t i = 0; i < held; i++)
        bodies += send_body_waits(slots_at(self->slots, i));
    log_error("drain_incomplete", "held=%u bodies_without_room=%u reason=\"%s\"", held, bodies,
              link_session(self->link) == 0 ? "no broker"
              : bodies > 0                  ? "the broker's disk has no room for large bodies"
                                            : "no answer from the broker");
}

bool drain_turn(executor_t *self, int *status) {
    bool up = self->draining && self->now_ms >= self->drain_deadline_ms;

    if (!self->draining) return false;
    for (uint32_t i = slots_count(self->slots); up && i-- > 0;) {
        run_t *run = slots_at(self->slots, i);
        if (run->easy) end_run(self, run);
    }
    if (slots_count(self->slots) > 0 && self->now_ms < self->drain_deadline_ms + ANSWER_MS) return false;
    if (slots_count(self->slots) > 0)
        log_incomplete(self);
    else
        log_info("drain_ends", NULL);
    *status = slots_count(self->slots) > 0 ? EXIT_FAILED : EXIT_CLEAN;
    return true;
}

int64_t drain_due_ms(const executor_t *self) {
    if (!self->draining) return INT64_MAX;
    return self->now_ms < self->drain_deadline_ms ? self->drain_deadline_ms
                                                  : self->drain_deadline_ms + ANSWER_MS;
}
