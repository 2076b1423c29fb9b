#include "executor/from_broker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/program.h"
#include "executor/drain.h"
#include "executor/run_task.h"
#include "executor/send_body.h"
#include "executor/to_broker.h"

static uint32_t on_held(void *ctx, msg_held_t *items, uint32_t max) {
    executor_t *self = ctx;
    uint32_t count = slots_count(self->slots);

    if (count > max) count = max;
    for (uint32_t i = 0; i < count; i++) {
        run_t *run = slots_at(self->slots, i);
        items[i] = (msg_held_t){.session = run->session,
                                .number = run->number,
                                .attempt = run->attempt,
                                .phase = (uint8_t)run_phase(run)};
        if (link_session(self->link) == 0) run->told_unstarted = run_phase(run) == PHASE_UNSTARTED;
    }
    return count;
}

static bool is_dropped(const msg_welcome_t *welcome, uint64_t number) {
    for (uint32_t i = 0; i < welcome->drop.count; i++) {
        if (welcome->drop.items[i] == number) return true;
    }
    return false;
}

/* What is kept belongs to the new session: a task that has not started is claimed anew, a result sent again.
 * One that runs, or has ended, is the executor's already. */
static void on_welcome(void *ctx, const msg_welcome_t *welcome) {
    executor_t *self = ctx;

    log_info("session_begun", "session=%" PRIu64 " held=%u dropped=%u", welcome->session,
             slots_count(self->slots), welcome->drop.count);
    program_ready("in session with the broker");
    if (self->shut_ms > 0) self->shut_ms = 0; /* the broker was away: its results-in is another */
    for (uint32_t i = slots_count(self->slots); i-- > 0;) {
        run_t *run = slots_at(self->slots, i);
        if (is_dropped(welcome, run->number)) {
            log_warn("task_dropped", "number=%" PRIu64 " phase=%d", run->number, run_phase(run));
            run_forget(self, run);
            continue;
        }
        run->session = welcome->session;
        run->claimed = !run->told_unstarted;
        send_body_again(run);
        run->next_send_ms = 0;
        to_broker_send_due(self, run);
    }
}

static void apply_config(executor_t *self, const msg_config_t *config) {
    if (config->verify && !self->settings.verify) {
        self->settings.verify = true;
        log_info("config", "verify=true");
    }
    self->settings.upload_to_ac = config->upload_to_ac;
    if (config->debug != self->debug_told) log_set_level(config->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    self->debug_told = config->debug;
    if (config->generation > self->generation) self->generation = config->generation;
    if (config->pool_size) executor_set_slots(self, config->pool_size);
    for (uint32_t i = slots_count(self->slots); i-- > 0;)
        run_start_if_due(self, slots_at(self->slots, i));
}

/* The run an answer speaks of, NULL when it is gone or was another attempt. */
static run_t *run_of(const executor_t *self, uint64_t number, uint32_t attempt) {
    run_t *run = slots_find(self->slots, number);

    return run && run->attempt == attempt ? run : NULL;
}

static void on_claimed(executor_t *self, const msg_ref_t *claimed) {
    run_t *run = run_of(self, claimed->number, claimed->attempt);

    if (!run || run->claimed) return;
    run->claimed = true;
    run->next_send_ms = 0;
    if (self->draining) drain_one(self, run);
    run_start_if_due(self, run);
    run = run_of(self, claimed->number, claimed->attempt);
    if (run) to_broker_send_due(self, run);
}

static void on_denied(executor_t *self, const msg_denied_t *denied) {
    run_t *run = run_of(self, denied->number, denied->attempt);

    if (!run) return;
    log_warn("task_denied", "number=%" PRIu64 " attempt=%u reason=%u phase=%d", denied->number,
             denied->attempt, denied->reason, run_phase(run));
    run_forget(self, run);
}

static void on_answered(executor_t *self, const msg_ref_t *ref, bool stored) {
    run_t *run = run_of(self, ref->number, ref->attempt);

    if (run && stored) to_broker_stored(self, run);
    /* STORED for a claim: its TASK came twice, the second time after the result was stored */
    if (run && (stored ? run->result || !run->claimed : run->give_back)) run_forget(self, run);
}

static void on_message(void *ctx, const msg_t *msg) {
    executor_t *self = ctx;

    switch (msg->type) {
    case MSG_CONFIG:
        apply_config(self, &msg->config);
        break;
    case MSG_CLAIMED:
        on_claimed(self, &msg->ref);
        break;
    case MSG_DENIED:
        on_denied(self, &msg->denied);
        break;
    case MSG_STORED:
        on_answered(self, &msg->ref, true);
        break;
    case MSG_GONE:
        on_answered(self, &msg->ref, false);
        break;
    case MSG_CREDIT:
        send_body_credit(self, &msg->credit);
        break;
    case MSG_ABORT:
        send_body_abort(self, &msg->abort);
        break;
    case MSG_DRAIN:
        log_info("broker_drains", "mode=%u", msg->drain.mode);
        break;
    default:
        log_debug("message_ignored", "type=%s", msg_type_name(msg->type));
        break;
    }
}

/* A task that is held already and comes again: the same push, or a later one after which the former is void.
 */
static bool is_repeat(executor_t *self, const msg_task_t *task) {
    run_t *run = slots_find(self->slots, task->number);

    if (!run) return false;
    if (run->attempt == task->attempt) return true;
    log_warn("task_pushed_again", "number=%" PRIu64 " attempt=%u before=%u", task->number, task->attempt,
             run->attempt);
    run_forget(self, run);
    return false;
}

static int64_t deadline_after(int64_t now_ms, int64_t remaining_ms) {
    return remaining_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + remaining_ms;
}

static void on_task(void *ctx, const msg_task_t *task, zframe_t **payload) {
    executor_t *self = ctx;
    char id[MSG_TASK_ID_MAX + 1];
    run_t *run;

    if (is_repeat(self, task)) return;
    run = slots_add(self->slots);
    if (!run) {
        log_error("task_refused", "number=%" PRIu64 " held=%u", task->number, slots_count(self->slots));
        return; /* not claimed, it is taken back */
    }
    run->owner = self;
    run->session = task->session;
    run->number = task->number;
    run->attempt = task->attempt;
    run->generation = task->generation;
    run->task_id = strdup(str_copy(task->task_id, id, sizeof id));
    run->idempotent = (task->flags & TASK_IDEMPOTENT) != 0;
    run->received_ms = self->now_ms;
    run->deadline_ms = deadline_after(self->now_ms, task->remaining_ms);
    run->payload = *payload;
    *payload = NULL;
    if (!run->task_id) {
        run_forget(self, run);
        return;
    }
    if (self->draining) drain_one(self, run);
    to_broker_send_due(self, run);
    if (run->give_back) return;
    run_prepare(self, run);
    run = run_of(self, task->number, task->attempt);
    if (run) run_start_if_due(self, run);
}

static void on_lost(void *ctx, const char *why) {
    executor_t *self = ctx;
    char quoted[LOG_QUOTED_MAX];

    log_warn("session_lost", "held=%u why=%s", slots_count(self->slots), log_quote(why, quoted));
    program_waits("waiting for the broker");
}

static void on_fault(void *ctx, const char *what) {
    char quoted[LOG_QUOTED_MAX];

    (void)ctx;
    log_warn("protocol_fault", "what=%s", log_quote(what, quoted));
}

link_handler_t from_broker_handler(executor_t *self) {
    return (link_handler_t){.ctx = self,
                            .held = on_held,
                            .welcome = on_welcome,
                            .message = on_message,
                            .task = on_task,
                            .lost = on_lost,
                            .fault = on_fault};
}
