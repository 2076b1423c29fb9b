/* What executors and uploaders say of tasks: claims, results, outcomes, what they give back or bring along.
 */
#include <string.h>

#include "broker/backoff.h"
#include "broker/core_internal.h"
#include "common/err.h"

static bool with(const task_t *task, const worker_t *worker, uint32_t attempt) {
    return task && task->worker == worker && task->attempt == attempt;
}

/* What is pushed to it does arrive: this task, or, when it is not its any more, what it had of it. */
static void is_reached(core_t *core, worker_t *worker, const task_t *task, uint32_t attempt) {
    worker->mute = 0;
    worker->rest_ms = 0;
    way_came(&worker->way, with(task, worker, attempt) ? task->way_mark : 0, core->now.ms);
}

/* It was a long time on its way to the worker, was taken back, and nobody has got it since: it is the
 * worker's after all. When it cannot be, for that is what it is told then, it never will be. */
static void take_late(core_t *core, worker_t *worker, task_t *task, uint32_t attempt) {
    if (!task || task->late_session != worker->session || task->attempt != attempt) return;
    task->late_session = 0;
    if (task->state != TASK_READY || worker->out >= worker->slots) return;
    stage_dequeue(&core->execute, task);
    core_move(core, task, TASK_EV_PUSH);
    worker_take(worker, task);
    task_await_claim(core, task);
}

void task_claimed(core_t *core, worker_t *worker, const msg_ref_t *ref) {
    task_t *task = tasks_find(&core->tasks, ref->number);
    take_late(core, worker, task, ref->attempt);
    is_reached(core, worker, task, ref->attempt);
    if (!with(task, worker, ref->attempt)) {
        if (task && task->last_session == worker->session && task->last_attempt == ref->attempt) {
            /* overtaken by its own result, or repeated after it */
            msg_type_t type = worker->role == ROLE_EXECUTOR ? MSG_STORED : MSG_GONE;
            effects_msg(core->fx, worker->instance, type)->ref = *ref;
            return;
        }
        task_deny(core, worker->instance, ref->session, ref->number, ref->attempt,
                  task ? DENIED_OTHER : DENIED_UNKNOWN);
        return;
    }
    if (task->state == TASK_PUSHED && task->deadline_ms <= core->now.ms) {
        task_deny(core, worker->instance, ref->session, ref->number, ref->attempt, DENIED_EXPIRED);
        task_fail_expired(core, task);
        return;
    }
    if (task->state == TASK_PUSHED || task->state == TASK_DONE_PUSHED) task_claim(core, task);
    task_answer(core, worker->instance, MSG_CLAIMED, worker->session, task);
}

/* What the executor measured, in the broker's time: the end, and from there back. */
static void note_result(core_t *core, task_t *task, const msg_result_t *result) {
    int64_t end_ms = core->now.wall_ms - result->ended_ms, start_ms = end_ms - result->tool_ms;
    bool not_done = (result->flags & RESULT_AGENT) != 0;
    const struct {
        trail_kind_t kind;
        int64_t after_ms; /* of the start, below 0: it did not happen */
    } marks[] = {{TRAIL_STARTED, result->flags & RESULT_STARTED ? 0 : -1},
                 {TRAIL_CONNECTED, result->connect_ms},
                 {TRAIL_FIRST_BYTE, result->first_byte_ms}};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (marks[i].after_ms >= 0 && marks[i].after_ms <= UINT32_MAX)
            trail_add(&task->trail, task->accepted_wall_ms,
                      &(trail_entry_t){.kind = marks[i].kind, .at_wall_ms = start_ms + marks[i].after_ms});
    trail_add(&task->trail, task->accepted_wall_ms,
              &(trail_entry_t){.kind = not_done ? TRAIL_NOT_DONE : TRAIL_RESULT,
                               .at_wall_ms = end_ms,
                               .a = result->http_status,
                               .b = result->body_bytes,
                               .text = result->reason});
}

void task_result(core_t *core, const msg_result_t *result, void **doc, uint64_t doc_bytes) {
    worker_t *worker = session_executor(core, result->session);
    if (!worker) {
        core->view.counters.bad_sessions++;
        return; /* its worker will say HELLO and learn what to keep */
    }
    worker->heard_ms = worker->result_ms = core->now.ms;
    task_t *task = tasks_find(&core->tasks, result->number);
    take_late(core, worker, task, result->attempt);
    if (!with(task, worker, result->attempt)) {
        if (task && task->last_session == result->session) {
            msg_t *msg = effects_msg(core->fx, worker->instance, MSG_STORED);
            msg->ref = (msg_ref_t){result->session, result->number, result->attempt};
            return;
        }
        task_deny(core, worker->instance, result->session, result->number, result->attempt,
                  task ? DENIED_OTHER : DENIED_UNKNOWN);
        return;
    }
    if (task->state == TASK_PUSHED)
        is_reached(core, worker, task, result->attempt); /* it tells as a claim does */
    task_answer(core, worker->instance, MSG_STORED, worker->session, task);
    task_take_back(task);
    core_move(core, task, TASK_EV_RESULT);
    task->last_session = worker->session;
    task->last_attempt = task->attempt;
    core->tasks.doc_bytes += doc_bytes - task->doc_bytes;
    task->doc_bytes = doc_bytes;
    core->view.counters.results++;
    note_result(core, task, result);
    if (!(result->flags & RESULT_STREAM))
        task->body_bytes = 0;
    else
        task->call = task->body == BODY_RAW ? CALL_UPLOAD_URL : CALL_UPLOAD_RESULT;
    record_t *record = task_record(core, REC_TASK_DONE, task);
    record->doc = *doc;
    *doc = NULL;
    task_becomes_done(core, task);
}

void task_returned(core_t *core, worker_t *worker, const msg_return_t *give_back) {
    task_t *task = tasks_find(&core->tasks, give_back->number);
    take_late(core, worker, task, give_back->attempt);
    is_reached(core, worker, task, give_back->attempt);
    if (!with(task, worker, give_back->attempt)) {
        task_deny(core, worker->instance, give_back->session, give_back->number, give_back->attempt,
                  task ? DENIED_OTHER : DENIED_UNKNOWN);
        return;
    }
    core->view.counters.returned++;
    worker->leaving = true;
    task_answer(core, worker->instance, MSG_GONE, worker->session, task);
    if (give_back->started && task->state == TASK_RUNNING) {
        task_lost(core, task, "its executor gave it back");
    } else {
        task_note(core, task, TRAIL_GIVEN_BACK);
        task_ready_again(core, task, TASK_EV_UNCLAIMED);
    }
}

static void note_outcome(core_t *core, task_t *task, trail_kind_t kind, const msg_uploaded_t *uploaded,
                         int64_t wait_ms) {
    trail_add(&task->trail, task->accepted_wall_ms,
              &(trail_entry_t){.kind = kind,
                               .at_wall_ms = core->now.wall_ms,
                               .a = uploaded->http_status,
                               .b = (uint64_t)uploaded->call * 16 + uploaded->outcome,
                               .c = wait_ms > 0 ? (uint64_t)wait_ms : 0,
                               .text = uploaded->reason});
}

static void result_accepted(core_t *core, task_t *task, const msg_uploaded_t *uploaded) {
    core_move(core, task, TASK_EV_ACCEPTED);
    core->view.counters.delivered++;
    note_outcome(core, task, TRAIL_DELIVERED, uploaded, 0);
    task_gone(core, &task, TASK_UPLOADING);
}

static void result_refused(core_t *core, task_t *task, const msg_uploaded_t *uploaded) {
    note_outcome(core, task, TRAIL_TRY, uploaded, 0);
    buried_add(core, task, uploaded);
}

static void result_retried(core_t *core, task_t *task, const msg_uploaded_t *uploaded) {
    core_move(core, task, TASK_EV_RETRY);
    core->view.counters.retried++;
    outcome_t outcome = (outcome_t)uploaded->outcome;
    bool agents = outcome == OUTCOME_BUSY || outcome == OUTCOME_LIMITED; /* no fault of this result */
    if (outcome != OUTCOME_NOT_SENT) {
        if (!agents) tasks_set_tries(&core->tasks, task, task->tries + 1);
        task->next_try_ms =
            agents ? core->gate.pause_ms : core->now.ms + backoff_result_ms(task->tries, &core->gate.random);
        if (!agents) task->in_line_ms = task->next_try_ms;
        task_set_reason(task, uploaded->reason);
        note_outcome(core, task, TRAIL_TRY, uploaded, task->next_try_ms - core->now.ms);
        record_t *record = task_record(core, REC_TASK_TRY, task);
        record->task.reason = effects_text(core->fx, uploaded->reason);
    } else {
        task_note(core, task, TRAIL_GIVEN_BACK);
    }
    task_enqueue(core, task);
}

void task_uploaded(core_t *core, worker_t *worker, const msg_uploaded_t *uploaded) {
    task_t *task = tasks_find(&core->tasks, uploaded->number);
    if (!with(task, worker, uploaded->attempt)) {
        task_deny(core, worker->instance, uploaded->session, uploaded->number, uploaded->attempt,
                  task ? DENIED_OTHER : DENIED_UNKNOWN);
        return;
    }
    if (task->state == TASK_DONE_PUSHED)
        task_claim(core, task); /* the claim was lost; it must have been claimed to be posted */
    bool done = uploaded->outcome == OUTCOME_DONE;
    bool before = done && uploaded->credit == 0; /* AC took it once: it says nothing of AC now */
    if (done && uploaded->call != CALL_STORE) gate_came(&core->gate, uploaded->credit);
    core->gate.alone = task->tries >= GIVEN_UP_TRIES ? task->number : 0;
    if (uploaded->call != CALL_STORE && !before) /* the store is not AC */
        credit_outcome(core, (call_t)uploaded->call, (outcome_t)uploaded->outcome, task->number,
                       uploaded->http_status, uploaded->retry_after_ms, uploaded->elapsed_ms,
                       uploaded->reason);
    task_answer(core, worker->instance, MSG_GONE, worker->session, task);
    task_take_back(task);
    task->last_session = worker->session;
    task->last_attempt = task->attempt;
    if (uploaded->outcome == OUTCOME_DONE)
        result_accepted(core, task, uploaded);
    else if (uploaded->outcome == OUTCOME_REFUSED)
        result_refused(core, task, uploaded);
    else
        result_retried(core, task, uploaded);
}

bool task_adopt(core_t *core, worker_t *worker, const msg_held_t *held, uint64_t former_session) {
    task_t *task = tasks_find(&core->tasks, held->number);
    if (!task || task_stage(core, task) != stage_of(core, worker->role) || task->state == TASK_BURIED)
        return false;
    if (task->worker && (task->worker->instance != worker->instance ||
                         task->worker->session != former_session || task->attempt != held->attempt))
        return false;
    if (!task->worker && task->state == TASK_RUNNING && task->holder != worker->instance) return false;
    if (!task->worker && task->last_session == held->session && task->last_attempt == held->attempt)
        return false; /* its outcome was taken, and the answer was lost */
    if (held->session >> 32 == core->settings.epoch && held->attempt > task->pushes)
        return false; /* never handed out: the session was one of a journal that was moved aside */
    bool free_again = !task->worker && !task->waits_rejoin;
    if (free_again && held->phase != PHASE_UNSTARTED && task->state == TASK_READY && !task_idempotent(task))
        return false; /* it was given back, and must not be run from both */
    bool claimed = task->state == TASK_RUNNING || task->state == TASK_UPLOADING;
    task_take_back(task);
    stage_dequeue(task_stage(core, task), task);
    if (task->state == TASK_READY || task->state == TASK_DONE) core_move(core, task, TASK_EV_PUSH);
    task->attempt = held->attempt;
    task->way_mark = 0;
    if (task->pushes < held->attempt) task->pushes = held->attempt;
    task->waits_rejoin = false;
    worker_take(worker, task);
    task_note_worker(core, task, TRAIL_KEPT, worker);
    if (claimed) {
        worker->claimed++;
        task_watch(core, task); /* after a restart nothing watches it yet */
    } else if (held->phase != PHASE_UNSTARTED) {
        task_claim(core, task);
    } else {
        task_await_claim(core, task);
    }
    int64_t soon = core->now.ms + PROTOCOL_CLAIM_MS; /* this HELLO may be old, and its RESULT on the way */
    if (held->phase == PHASE_FINISHED)
        task_ended(core, task);
    else if (task->state == TASK_RUNNING && task->deadline_ms + RUNNING_OVER_MS < soon)
        core_check(core, tasks_set_due(&core->tasks, task, soon));
    return true;
}
