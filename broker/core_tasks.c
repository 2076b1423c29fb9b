/* What all parts of the core do with a task: its records, its moves and its place in a queue. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/core_internal.h"
#include "common/err.h"

/* --- records and messages --- */

void task_note(core_t *core, task_t *task, trail_kind_t kind) {
    trail_add(&task->trail, task->accepted_wall_ms,
              &(trail_entry_t){.kind = kind, .at_wall_ms = core->now.wall_ms});
}

void task_note_text(core_t *core, task_t *task, trail_kind_t kind, str_t text) {
    trail_add(&task->trail, task->accepted_wall_ms,
              &(trail_entry_t){.kind = kind, .at_wall_ms = core->now.wall_ms, .text = text});
}

void task_note_worker(core_t *core, task_t *task, trail_kind_t kind, const worker_t *worker) {
    trail_add(&task->trail, task->accepted_wall_ms,
              &(trail_entry_t){.kind = kind,
                               .at_wall_ms = core->now.wall_ms,
                               .a = task->attempt,
                               .text = str_of(worker->name),
                               .host = str_of(worker->host),
                               .pid = worker->pid});
}

record_t *task_record(core_t *core, record_type_t type, task_t *task) {
    record_t *record = effects_record(core->fx, type);
    record->task.number = task->number;
    record->task.attempt = task->attempt;
    record->task.tries = task->tries;
    record->task.holder = task->holder;
    record->task.next_try_ms = task->next_try_ms;
    record->task.call = task->call;
    record->task.trail = effects_text(core->fx, (str_t){(const char *)task->trail.bytes, task->trail.len});
    task->trail.unwritten = false;
    return record;
}

/* By records that change nothing else. Those there are for RUNNING and BURIED would. */
void tasks_tell_trails(core_t *core) {
    for (task_t *task = tasks_first(&core->tasks); task; task = tasks_next(&core->tasks)) {
        if (!task->trail.unwritten || task->journaled || task->state == TASK_BURIED || task->unread) continue;
        if (task->state <= TASK_RUNNING) {
            task_record(core, REC_TASK_READY, task);
        } else {
            record_t *record = task_record(core, REC_TASK_TRY, task);
            record->task.reason = effects_text(core->fx, str_of(task->reason));
        }
    }
}

void task_answer(core_t *core, uint64_t peer, msg_type_t type, uint64_t session, const task_t *task) {
    msg_t *msg = effects_msg(core->fx, peer, type);
    msg->ref = (msg_ref_t){session, task->number, task->attempt};
}

void task_deny(core_t *core, uint64_t peer, uint64_t session, uint64_t number, uint32_t attempt,
               denied_t reason) {
    core->view.counters.denied++;
    msg_t *msg = effects_msg(core->fx, peer, MSG_DENIED);
    msg->denied = (msg_denied_t){session, number, attempt, (uint8_t)reason};
}

/* --- moves --- */

stage_t *task_stage(core_t *core, const task_t *task) {
    return task->state <= TASK_RUNNING ? &core->execute : &core->upload;
}

void task_take_back(task_t *task) {
    if (task->worker && (task->state == TASK_RUNNING || task->state == TASK_UPLOADING))
        task->worker->claimed--;
    task->ended = false;
    worker_drop(task);
}

void task_ended(core_t *core, task_t *task) {
    if (task->state != TASK_RUNNING) return;
    task->ended = true;
    core_check(core, tasks_set_due(&core->tasks, task, INT64_MAX));
}

void task_enqueue(core_t *core, task_t *task) {
    if ((task->state == TASK_DONE || task->unread) && task->next_try_ms > core->now.ms) {
        core_check(core, tasks_set_due(&core->tasks, task, task->next_try_ms));
        return;
    }
    if (task->state == TASK_READY && !task->unread) {
        /* one that may be with a worker that comes back may have ended in time */
        core_check(core,
                   tasks_set_due(&core->tasks, task, task->waits_rejoin ? INT64_MAX : task->deadline_ms));
    } else {
        core_check(core, tasks_set_due(&core->tasks, task, INT64_MAX));
    }
    if ((task->state == TASK_READY || task->state == TASK_DONE) && !task->waits_rejoin)
        core_check(core, stage_enqueue(task_stage(core, task), task));
}

void task_watch(core_t *core, task_t *task) {
    int64_t due = task->state == TASK_RUNNING ? task->deadline_ms + RUNNING_OVER_MS : INT64_MAX;
    core_check(core, tasks_set_due(&core->tasks, task, due));
}

void task_await_claim(core_t *core, task_t *task) {
    task->pushed_ms = core->now.ms;
    core_check(core, tasks_set_due(&core->tasks, task, core->now.ms + PROTOCOL_CLAIM_MS));
}

void task_claim(core_t *core, task_t *task) {
    core_move(core, task, TASK_EV_CLAIM);
    task->unread = 0;
    task_note(core, task, TRAIL_CLAIMED);
    task->worker->claimed++;
    task_watch(core, task);
    if (task->state == TASK_RUNNING && !task_idempotent(task)) {
        task_record(core, REC_TASK_RUNNING, task);
        task->journaled = true;
    }
}

void task_becomes_done(core_t *core, task_t *task) {
    task->journaled = false;
    task->waits_rejoin = false;
    task->attempt = task->pushes = task->unread = 0;
    task->next_try_ms = 0;
    task_enqueue(core, task);
}

void task_fail(core_t *core, task_t *task, const char *text) {
    stage_dequeue(&core->execute, task);
    task_take_back(task);
    core_move(core, task, TASK_EV_FAIL);
    task->body_bytes = 0;
    task_note_text(core, task, TRAIL_FAILED, str_of(text));
    record_t *record = task_record(core, REC_TASK_FAIL, task);
    record->task.reason = effects_text(core->fx, str_of(text));
    task_becomes_done(core, task);
}

/* Whether an executor has had it that did not give it back untouched, as far as its trail tells. */
static bool was_claimed(const task_t *task) {
    bool latest = false, earlier = false;
    size_t at = 0;
    trail_entry_t entry;
    while (trail_next(task->trail.bytes, task->trail.len, 0, &at, &entry)) {
        if (entry.kind == TRAIL_PUSHED) {
            earlier = earlier || latest;
            latest = false;
        } else if (entry.kind == TRAIL_CLAIMED || entry.kind == TRAIL_GIVEN_BACK) {
            latest = entry.kind == TRAIL_CLAIMED;
        }
    }
    return latest || earlier;
}

void task_fail_expired(core_t *core, task_t *task) {
    core->view.counters.expired++;
    char text[160];
    (void)snprintf(text, sizeof text, "Agent Side Error: Error: task expired %" PRId64 " ms ago, %s",
                   core->now.ms - task->deadline_ms,
                   was_claimed(task) ? "and the executor that had it brought no result"
                                     : "before it was sent to the tool");
    task_fail(core, task, text);
}

void task_ready_again(core_t *core, task_t *task, task_event_t event) {
    task_take_back(task);
    core_move(core, task, event);
    if (task->journaled) task_record(core, REC_TASK_READY, task);
    task->journaled = false;
    task->waits_rejoin = false;
    task_enqueue(core, task);
}

static bool may_redeliver(const core_t *core, const task_t *task) {
    if (core->settings.redeliver == REDELIVER_ALWAYS) return true;
    return core->settings.redeliver == REDELIVER_IDEMPOTENT && task_idempotent(task);
}

void task_log(core_t *core, const task_t *task, const char *what, const char *why) {
    char quoted[LOG_QUOTED_MAX];
    effects_log(core->fx, LOG_LEVEL_WARN, what, "task=%s method=%s why=\"%s\"",
                log_quote(task->task_id, quoted), task->method, why);
}

void task_lost(core_t *core, task_t *task, const char *why) {
    switch (task->state) {
    case TASK_PUSHED:
    case TASK_DONE_PUSHED:
        core->view.counters.unclaimed++;
        task_note_text(core, task, TRAIL_UNCLAIMED, str_of(why));
        task_ready_again(core, task, TASK_EV_UNCLAIMED);
        break;
    case TASK_UPLOADING:
        task_note_text(core, task, TRAIL_LOST, str_of(why));
        task_ready_again(core, task, TASK_EV_REDELIVER);
        break;
    default: /* RUNNING */
        task_note_text(core, task, TRAIL_LOST, str_of(why));
        if (may_redeliver(core, task)) {
            core->view.counters.redelivered++;
            task_log(core, task, "task_redelivered", why);
            task->journaled = true; /* if only for its trail: this is rare */
            task_ready_again(core, task, TASK_EV_REDELIVER);
            break;
        }
        core->view.counters.outcome_unknown++;
        task_log(core, task, "task_outcome_unknown", why);
        char text[128];
        (void)snprintf(text, sizeof text,
                       "Agent Side Error: Error: outcome unknown: executor lost during %.32s; not repeated",
                       task->method);
        task_fail(core, task, text);
    }
}

void task_gone(core_t *core, task_t **task, task_state_t from) {
    task_t *t = *task;
    record_t *record = task_record(core, REC_TASK_GONE, t);
    record->at = core->now.wall_ms;
    record->task.state = (uint8_t)from;
    record->task.task_id = effects_text(core->fx, str_of(t->task_id));
    record->task.method = effects_text(core->fx, str_of(t->method));
    record->task.host = effects_text(core->fx, str_of(t->host));
    record->task.accepted_wall_ms = t->accepted_wall_ms;
    effects_out(core->fx, OUT_FORGET, 0)->number = t->number;
    tasks_remove(&core->tasks, task);
}
