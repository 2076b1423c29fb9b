#include "fetcher/poll_ac.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ac_metrics.h"
#include "common/clock.h"
#include "common/crash_point.h"
#include "common/err.h"
#include "common/log.h"
#include "fetcher/read_task.h"

#define IN_MEMORY_MAX 2
#define UNSYNCED_MAX  WINDOW_SLOTS
#define AT_RISK_MS    5

#define QUICK_EMPTY_MS 1000 /* AC that is well holds an idle poll longer than this */

struct poll_ac_t {
    ac_seat_t *seat;
    const ac_door_t *door;
    metrics_t *metrics;
    link_t *link;
    to_broker_t *to_broker;
    bool stopped, fresh; /* fresh: the next poll goes on a new connection */
    outcome_t last;      /* for telling a change in the log */
    uint64_t aborted;    /* polls cut off after they were sent */
    read_task_t task;
};

poll_ac_t *poll_ac_new(ac_seat_t *seat, const ac_door_t *door, link_t *link, to_broker_t *to_broker,
                       metrics_t *metrics) {
    poll_ac_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->seat = seat;
    self->door = door;
    self->metrics = metrics;
    self->link = link;
    self->to_broker = to_broker;
    self->last = OUTCOME_DONE;
    return self;
}

void poll_ac_destroy(poll_ac_t **self) {
    free(*self);
    *self = NULL;
}

/* Once per change of kind. */
static void tell(poll_ac_t *self, const ac_answer_t *answer, outcome_t outcome, const char *reason) {
    char quoted[LOG_QUOTED_MAX];
    bool well = outcome == OUTCOME_DONE || outcome == OUTCOME_EMPTY;
    bool was_well = self->last == OUTCOME_DONE || self->last == OUTCOME_EMPTY;
    if (outcome == OUTCOME_ABORTED)
        log_warn("poll_aborted", "count=%" PRIu64 " elapsed_ms=%u why=%s task_may_be_lost=1", ++self->aborted,
                 answer->elapsed_ms, log_quote(reason, quoted));
    else if (!well && outcome != self->last)
        log_warn("poll_failed", "outcome=%d status=%u retry_after_ms=%" PRId64 " why=%s", (int)outcome,
                 answer->http_status, answer->retry_after_ms, log_quote(reason, quoted));
    if (well && !was_well) log_info("poll_well_again", "status=%u", answer->http_status);
    self->last = outcome;
}

static void report(poll_ac_t *self, const ac_answer_t *answer, outcome_t outcome, const char *reason) {
    msg_t msg = {.type = MSG_REPORT};
    msg.report = (msg_report_t){
        .session = link_session(self->link),
        .credit = ac_seat_credit(self->seat),
        .call = CALL_GET_TASK,
        .outcome = (uint8_t)outcome,
        .http_status = answer->http_status,
        .retry_after_ms = answer->retry_after_ms,
        .elapsed_ms = answer->elapsed_ms,
        .reason = {reason, (uint32_t)strnlen(reason, 200)},
    };
    (void)link_send(self->link, &msg); /* without a session the broker learns of it by the next one */
}

static outcome_t keep_task(poll_ac_t *self, int64_t now_ms, char why[256]) {
    char quoted[LOG_QUOTED_MAX];
    read_task_t *task = &self->task;
    task->fetched.credit = ac_seat_credit(self->seat);
    if (task->note[0]) log_warn("task_note", "what=%s", log_quote(task->note, quoted));
    if (task->error[0]) log_warn("task_invalid", "why=%s", log_quote(task->error, quoted));
    CRASH_POINT("fetch.read");
    int rc = to_broker_add(self->to_broker, &task->fetched, task->task, task->task_bytes, now_ms);
    if (rc == 0) return OUTCOME_DONE;
    log_error("task_lost", "why=%s octets=%zu", log_quote(err_str(rc), quoted), task->task_bytes);
    snprintf(why, 256, "a task that cannot be kept");
    return OUTCOME_MALFORMED;
}

/* Reads the answer, and takes its task if there is one. */
static outcome_t take_task(poll_ac_t *self, const ac_answer_t *answer, int64_t now_ms, char why[256]) {
    outcome_t outcome = read_task(answer->body, answer->body_bytes, clock_wall_ms(), &self->task, why);
    if (outcome == OUTCOME_DONE) outcome = keep_task(self, now_ms, why);
    read_task_clear(&self->task);
    return outcome;
}

static void measure(const poll_ac_t *self, const ac_answer_t *answer, outcome_t outcome) {
    const str_t *id = &self->task.fetched.task_id;
    bool has_task = outcome == OUTCOME_DONE;
    char task_id[MSG_TASK_ID_MAX + 1];
    ac_answer_t measured = *answer;
    if (!self->metrics || answer->stale) return;
    measured.outcome = outcome;
    if (has_task) (void)snprintf(task_id, sizeof task_id, "%.*s", (int)id->len, id->ptr);
    ac_metrics(self->metrics, self->door, &measured, has_task ? task_id : NULL, &has_task);
}

static void on_answer(void *ctx, const ac_answer_t *answer) {
    poll_ac_t *self = ctx;
    int64_t now_ms = clock_boot_ms();
    char why[256] = "";
    outcome_t outcome = answer->outcome;
    const char *reason = answer->reason;
    if (outcome == OUTCOME_DONE) {
        outcome = take_task(self, answer, now_ms, why);
        reason = why;
    }
    tell(self, answer, outcome, reason);
    measure(self, answer, outcome);
    self->fresh = answer->stale;
    if (outcome == OUTCOME_DONE) return; /* the next turn goes on */
    if (answer->stale && !self->stopped && ac_seat_may_start(self->seat, now_ms)) return;
    report(self, answer, outcome, reason);
    if (outcome != OUTCOME_EMPTY || answer->elapsed_ms < QUICK_EMPTY_MS) ac_seat_release(self->seat);
}

static void poll(poll_ac_t *self, int64_t now_ms) {
    ac_request_t request = {
        .call = CALL_GET_TASK, .agent_id = link_agent_id(self->link), .fresh = self->fresh};
    char quoted[LOG_QUOTED_MAX];
    self->fresh = false;
    int rc = ac_seat_start(self->seat, &request, now_ms, on_answer, self);
    if (rc == 0) return;
    log_error("poll_not_started", "why=%s", log_quote(err_str(rc), quoted));
    ac_seat_release(self->seat);
}

void poll_ac_stop(poll_ac_t *self, bool stopped) {
    self->stopped = stopped;
}

void poll_ac_turn(poll_ac_t *self, int64_t now_ms) {
    bool may_poll = !self->stopped && to_broker_has_room(self->to_broker);
    if (ac_seat_busy(self->seat) || link_session(self->link) == 0) return;
    if (!may_poll) {
        ac_seat_unwant(self->seat);
        ac_seat_release(self->seat);
        return;
    }
    /* At most so many tasks are in this process alone: the next poll waits for their ACCEPTED, a moment with
     * the credit in hand, longer without it. */
    at_risk_t risk = to_broker_at_risk(self->to_broker, now_ms);
    if (risk.in_memory >= IN_MEMORY_MAX || risk.unsynced >= UNSYNCED_MAX) {
        if (risk.age_ms >= AT_RISK_MS) {
            ac_seat_unwant(self->seat);
            ac_seat_release(self->seat);
        }
        return;
    }
    if (ac_seat_may_start(self->seat, now_ms)) {
        poll(self, now_ms);
        return;
    }
    if (ac_seat_lingers(self->seat, now_ms)) return; /* the broker may raise the budget */
    ac_seat_release(self->seat);                     /* the budget is used up, or the credit was revoked */
    if (!ac_seat_held(self->seat)) ac_seat_want(self->seat, now_ms);
}

bool poll_ac_idle(const poll_ac_t *self) {
    return !ac_seat_busy(self->seat) && !ac_seat_held(self->seat);
}
