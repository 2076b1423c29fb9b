/* Tasks on their way: in from the fetcher, out to workers, back as results, away to AC. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/backoff.h"
#include "broker/core_internal.h"
#include "common/err.h"

/* --- records and messages --- */

static record_t *record_task(core_t *core, record_type_t type, const task_t *task) {
    record_t *record = effects_record(core->fx, type);
    record->task.number = task->number;
    record->task.attempt = task->attempt;
    record->task.tries = task->tries;
    record->task.holder = task->holder;
    record->task.next_try_ms = task->next_try_ms;
    record->task.call = task->call;
    return record;
}

static void answer_ref(core_t *core, uint64_t peer, msg_type_t type, uint64_t session, const task_t *task) {
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

static stage_t *stage_of_task(core_t *core, const task_t *task) {
    return task->state <= TASK_RUNNING ? &core->execute : &core->upload;
}

/* Takes the task from its worker, if any. */
static void take_back(task_t *task) {
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
    if (task->state == TASK_READY) {
        core_check(core, tasks_set_due(&core->tasks, task, task->deadline_ms));
    } else if (task->state == TASK_DONE && task->next_try_ms > core->now.ms) {
        core_check(core, tasks_set_due(&core->tasks, task, task->next_try_ms));
        return;
    } else {
        core_check(core, tasks_set_due(&core->tasks, task, INT64_MAX));
    }
    if ((task->state == TASK_READY || task->state == TASK_DONE) && !task->waits_rejoin)
        core_check(core, stage_enqueue(stage_of_task(core, task), task));
}

static void watch_claim(core_t *core, task_t *task) {
    int64_t due = task->state == TASK_RUNNING ? task->deadline_ms + RUNNING_OVER_MS : INT64_MAX;
    core_check(core, tasks_set_due(&core->tasks, task, due));
}

static void claim(core_t *core, task_t *task) {
    core_move(core, task, TASK_EV_CLAIM);
    task->worker->claimed++;
    watch_claim(core, task);
    if (task->state == TASK_RUNNING && !task_idempotent(task)) {
        record_task(core, REC_TASK_RUNNING, task);
        task->journaled = true;
    }
}

static void becomes_done(core_t *core, task_t *task) {
    task->journaled = false;
    task->waits_rejoin = false;
    task->attempt = task->pushes = 0;
    task->next_try_ms = 0;
    task_enqueue(core, task);
}

/* The broker answers for the task: an error result takes the place of its work. */
static void task_fail(core_t *core, task_t *task, const char *text) {
    stage_dequeue(&core->execute, task);
    take_back(task);
    core_move(core, task, TASK_EV_FAIL);
    record_t *record = record_task(core, REC_TASK_FAIL, task);
    record->task.reason = effects_text(core->fx, str_of(text));
    becomes_done(core, task);
}

static void fail_expired(core_t *core, task_t *task) {
    core->view.counters.expired++;
    char text[160];
    (void)snprintf(text, sizeof text,
                   "Agent Side Error: Error: task expired %" PRId64 " ms ago, before it was sent to the tool",
                   core->now.ms - task->deadline_ms);
    task_fail(core, task, text);
}

static void ready_again(core_t *core, task_t *task, task_event_t event) {
    take_back(task);
    core_move(core, task, event);
    if (task->journaled) record_task(core, REC_TASK_READY, task);
    task->journaled = false;
    task->waits_rejoin = false;
    task_enqueue(core, task);
}

static bool may_redeliver(const core_t *core, const task_t *task) {
    if (core->settings.redeliver == REDELIVER_ALWAYS) return true;
    return core->settings.redeliver == REDELIVER_IDEMPOTENT && task_idempotent(task);
}

static void log_lost(core_t *core, const task_t *task, const char *what, const char *why) {
    char quoted[LOG_QUOTED_MAX];
    effects_log(core->fx, LOG_LEVEL_WARN, what, "task=%s method=%s why=\"%s\"",
                log_quote(task->task_id, quoted), task->method, why);
}

void task_lost(core_t *core, task_t *task, const char *why) {
    switch (task->state) {
    case TASK_PUSHED:
    case TASK_DONE_PUSHED:
        core->view.counters.unclaimed++;
        ready_again(core, task, TASK_EV_UNCLAIMED);
        break;
    case TASK_UPLOADING:
        ready_again(core, task, TASK_EV_REDELIVER);
        break;
    default: /* RUNNING */
        if (may_redeliver(core, task)) {
            core->view.counters.redelivered++;
            log_lost(core, task, "task_redelivered", why);
            ready_again(core, task, TASK_EV_REDELIVER);
            break;
        }
        core->view.counters.outcome_unknown++;
        log_lost(core, task, "task_outcome_unknown", why);
        char text[128];
        (void)snprintf(text, sizeof text,
                       "Agent Side Error: Error: outcome unknown: executor lost during %.32s; not repeated",
                       task->method);
        task_fail(core, task, text);
    }
}

/* --- from the fetcher --- */

static fetcher_window_t *window_of(core_t *core, uint64_t instance) {
    fetcher_window_t *oldest = &core->windows[0];
    for (int i = 0; i < FETCHERS_MAX; i++) {
        if (core->windows[i].instance == instance) return &core->windows[i];
        if (core->windows[i].used < oldest->used) oldest = &core->windows[i];
    }
    *oldest = (fetcher_window_t){.instance = instance};
    return oldest;
}

/* Marks the fetch as seen; false when it was seen before (as in the anti-replay window of RFC 4303, 3.4.3).
 */
static bool window_mark(core_t *core, uint64_t instance, uint64_t seq) {
    fetcher_window_t *w = window_of(core, instance);
    w->used = ++core->window_use;
    if (seq > w->seq) {
        uint64_t shift = seq - w->seq;
        /* bit i stands for seq - 1 - i */
        w->mask =
            shift > 64 ? 0 : (shift == 64 ? 0 : w->mask << shift) | (w->seq ? (uint64_t)1 << (shift - 1) : 0);
        w->seq = seq;
    } else {
        uint64_t back = w->seq - seq;
        if (back == 0 || back > 64 || (w->mask >> (back - 1) & 1)) return false;
        w->mask |= (uint64_t)1 << (back - 1);
    }
    record_t *record = effects_record(core->fx, REC_FETCHER);
    record->instance = instance;
    record->seq = w->seq;
    record->mask = w->mask;
    return true;
}

static void answer_accepted(core_t *core, const msg_fetched_t *fetched, verdict_t verdict, uint64_t number) {
    /* A fetch out of an inbox carries a former instance: the answer goes to the fetchers there are. */
    for (worker_t *worker = core->fetchers; worker; worker = worker->next) {
        msg_t *msg = effects_msg(core->fx, worker->instance, MSG_ACCEPTED);
        msg->accepted = (msg_accepted_t){fetched->instance, fetched->seq, (uint8_t)verdict, number};
    }
}

/* A logs task has nothing to do at a tool: the uploader answers it, with the task as its document. */
static bool skips_execute(const msg_fetched_t *fetched) {
    return (fetched->flags & TASK_LOGS) && !(fetched->flags & TASK_INVALID);
}

static task_t *new_task(core_t *core, const msg_fetched_t *f, void **doc, uint64_t doc_bytes) {
    int64_t remaining;
    if (__builtin_sub_overflow(f->expiry_ms, core->now.wall_ms, &remaining))
        remaining = f->expiry_ms > 0 ? INT64_MAX / 4 : INT64_MIN / 4;
    if (remaining > INT64_MAX / 4) remaining = INT64_MAX / 4;
    if (remaining < INT64_MIN / 4) remaining = INT64_MIN / 4;
    task_image_t image = {.number = core->next_number++,
                          .task_id = f->task_id,
                          .method = f->method,
                          .host = f->host,
                          .reason = str_of(""),
                          .state = skips_execute(f) ? TASK_DONE : TASK_READY,
                          .call = skips_execute(f) ? CALL_UPLOAD_LOGS : CALL_PUT_RESULT,
                          .flags = f->flags,
                          .deadline_ms = core->now.ms + remaining,
                          .expiry_wall_ms = core->now.wall_ms + remaining,
                          .accepted_wall_ms = core->now.wall_ms,
                          .generation = core->generation,
                          .doc_bytes = doc_bytes};
    if (core->settings.redeliver == REDELIVER_NEVER)
        image.flags &=
            (uint16_t)~TASK_IDEMPOTENT; /* treated like a POST: run only once its claim is on disk */
    task_t *task = tasks_add(&core->tasks, &image);
    if (!task) {
        core_check(core, ERR_NOMEM);
        return NULL;
    }
    record_t *record = effects_record(core->fx, REC_TASK_NEW);
    record->task = image;
    record->task.task_id = effects_text(core->fx, image.task_id);
    record->task.method = effects_text(core->fx, image.method);
    record->task.host = effects_text(core->fx, image.host);
    record->doc = *doc;
    *doc = NULL;
    return task;
}

/* More than any fetcher brings that keeps to its credits. What is not accepted its sender keeps, and repeats.
 */
static bool has_no_room(const core_t *core) {
    const uint32_t *counts = core->tasks.counts;
    uint32_t ready = counts[TASK_READY] + counts[TASK_PUSHED];
    uint32_t results = counts[TASK_DONE] + counts[TASK_DONE_PUSHED] + counts[TASK_UPLOADING];
    uint32_t counted = results - (core->tasks.retrying < results ? core->tasks.retrying : results);
    return ready >= 2 * core->settings.task_queue + PROTOCOL_FETCH_WINDOW ||
           counted >= 2 * core->settings.response_queue + stage_slots(&core->execute) + PROTOCOL_FETCH_WINDOW;
}

void task_fetched(core_t *core, const msg_fetched_t *fetched, void **doc, uint64_t doc_bytes) {
    if (has_no_room(core)) {
        core->view.counters.no_room++;
        return;
    }
    if (!window_mark(core, fetched->instance, fetched->seq)) {
        core->view.counters.repeated++;
        answer_accepted(core, fetched, VERDICT_REPEAT, 0);
        return;
    }
    gate_fetch_ended(&core->gate, fetched->credit);
    credit_outcome(core, CALL_GET_TASK, OUTCOME_DONE, 0, 200, -1, 0, str_of(""));
    task_t *held = tasks_find_id(&core->tasks, fetched->task_id);
    if (held) {
        core->view.counters.held_already++;
        log_lost(core, held, "task_held_already", task_state_name(held->state));
        answer_accepted(core, fetched, VERDICT_HELD, held->number);
        return;
    }
    if (fetched->flags & TASK_CONFIG)
        config_take(core, fetched->config); /* before the task: it gets the new generation */
    task_t *task = new_task(core, fetched, doc, doc_bytes);
    if (!task) return;
    core->view.counters.fetched++;
    if (fetched->flags & TASK_INVALID) core->view.counters.invalid++;
    answer_accepted(core, fetched, VERDICT_NEW, task->number);
    if (fetched->flags & TASK_INVALID) {
        char text[512];
        task_fail(core, task, str_copy(fetched->error, text, sizeof text));
    } else {
        task_enqueue(core, task);
    }
}

/* --- from executors and uploaders --- */

static bool with(const task_t *task, const worker_t *worker, uint32_t attempt) {
    return task && task->worker == worker && task->attempt == attempt;
}

void task_claimed(core_t *core, worker_t *worker, const msg_ref_t *ref) {
    task_t *task = tasks_find(&core->tasks, ref->number);
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
        fail_expired(core, task);
        return;
    }
    if (task->state == TASK_PUSHED || task->state == TASK_DONE_PUSHED) claim(core, task);
    answer_ref(core, worker->instance, MSG_CLAIMED, worker->session, task);
}

void task_result(core_t *core, const msg_result_t *result, void **doc, uint64_t doc_bytes) {
    worker_t *worker = session_executor(core, result->session);
    if (!worker) {
        core->view.counters.bad_sessions++;
        return; /* its worker will say HELLO and learn what to keep */
    }
    worker->heard_ms = core->now.ms;
    task_t *task = tasks_find(&core->tasks, result->number);
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
    answer_ref(core, worker->instance, MSG_STORED, worker->session, task);
    take_back(task);
    core_move(core, task, TASK_EV_RESULT);
    task->last_session = worker->session;
    task->last_attempt = task->attempt;
    core->tasks.doc_bytes += doc_bytes - task->doc_bytes;
    task->doc_bytes = doc_bytes;
    core->view.counters.results++;
    if (result->flags & RESULT_STREAM)
        task->call = task->body == BODY_RAW ? CALL_UPLOAD_URL : CALL_UPLOAD_RESULT;
    record_t *record = record_task(core, REC_TASK_DONE, task);
    record->doc = *doc;
    *doc = NULL;
    becomes_done(core, task);
}

void task_returned(core_t *core, worker_t *worker, const msg_return_t *give_back) {
    task_t *task = tasks_find(&core->tasks, give_back->number);
    if (!with(task, worker, give_back->attempt)) {
        task_deny(core, worker->instance, give_back->session, give_back->number, give_back->attempt,
                  task ? DENIED_OTHER : DENIED_UNKNOWN);
        return;
    }
    core->view.counters.returned++;
    worker->leaving = true;
    answer_ref(core, worker->instance, MSG_GONE, worker->session, task);
    if (give_back->started && task->state == TASK_RUNNING)
        task_lost(core, task, "its executor gave it back");
    else
        ready_again(core, task, TASK_EV_UNCLAIMED);
}

static void result_accepted(core_t *core, task_t *task) {
    core_move(core, task, TASK_EV_ACCEPTED);
    core->view.counters.delivered++;
    record_task(core, REC_TASK_GONE, task);
    effects_out(core->fx, OUT_FORGET, 0)->number = task->number;
    tasks_remove(&core->tasks, &task);
}

static void result_refused(core_t *core, task_t *task, str_t reason) {
    core_move(core, task, TASK_EV_REFUSED);
    core->view.counters.refused++;
    task_set_reason(task, reason);
    record_t *record = record_task(core, REC_TASK_BURIED, task);
    record->task.reason = effects_text(core->fx, reason);
    effects_out(core->fx, OUT_FORGET, 0)->number = task->number;
    char id[LOG_QUOTED_MAX], why[LOG_QUOTED_MAX];
    effects_log(core->fx, LOG_LEVEL_ERROR, "result_buried", "task=%s why=%s", log_quote(task->task_id, id),
                log_quote(task->reason, why));
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
        task_set_reason(task, uploaded->reason);
        record_t *record = record_task(core, REC_TASK_TRY, task);
        record->task.reason = effects_text(core->fx, uploaded->reason);
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
        claim(core, task);            /* the claim was lost; it must have been claimed to be posted */
    if (uploaded->call != CALL_STORE) /* the store is not AC */
        credit_outcome(core, (call_t)uploaded->call, (outcome_t)uploaded->outcome, task->number,
                       uploaded->http_status, uploaded->retry_after_ms, uploaded->elapsed_ms,
                       uploaded->reason);
    answer_ref(core, worker->instance, MSG_GONE, worker->session, task);
    take_back(task);
    task->last_session = worker->session;
    task->last_attempt = task->attempt;
    if (uploaded->outcome == OUTCOME_DONE)
        result_accepted(core, task);
    else if (uploaded->outcome == OUTCOME_REFUSED)
        result_refused(core, task, uploaded->reason);
    else
        result_retried(core, task, uploaded);
}

bool task_adopt(core_t *core, worker_t *worker, const msg_held_t *held, uint64_t former_session) {
    task_t *task = tasks_find(&core->tasks, held->number);
    if (!task || stage_of_task(core, task) != stage_of(core, worker->role) || task->state == TASK_BURIED)
        return false;
    if (task->worker && (task->worker->instance != worker->instance ||
                         task->worker->session != former_session || task->attempt != held->attempt))
        return false;
    if (!task->worker && task->state == TASK_RUNNING && task->holder != worker->instance) return false;
    bool free_again = !task->worker && !task->waits_rejoin;
    if (free_again && held->phase != PHASE_UNSTARTED && task->state == TASK_READY && !task_idempotent(task))
        return false; /* it was given back, and must not be run from both */
    bool claimed = task->state == TASK_RUNNING || task->state == TASK_UPLOADING;
    take_back(task);
    stage_dequeue(stage_of_task(core, task), task);
    if (task->state == TASK_READY || task->state == TASK_DONE) core_move(core, task, TASK_EV_PUSH);
    task->attempt = held->attempt;
    if (task->pushes < held->attempt) task->pushes = held->attempt;
    task->waits_rejoin = false;
    worker_take(worker, task);
    if (claimed) {
        worker->claimed++;
        watch_claim(core, task); /* after a restart nothing watches it yet */
    } else if (held->phase != PHASE_UNSTARTED) {
        claim(core, task);
    } else {
        core_check(core, tasks_set_due(&core->tasks, task, core->now.ms + PROTOCOL_CLAIM_MS));
    }
    if (held->phase == PHASE_FINISHED) task_ended(core, task);
    return true;
}

/* --- by time --- */

static void task_overdue(core_t *core, task_t *task) {
    worker_t *worker = task->worker;
    switch (task->state) {
    case TASK_READY:
        fail_expired(core, task);
        break;
    case TASK_DONE: /* its next try has come */
        task->next_try_ms = 0;
        task_enqueue(core, task);
        break;
    case TASK_RUNNING:
        if (worker)
            task_deny(core, worker->instance, worker->session, task->number, task->attempt, DENIED_EXPIRED);
        task_lost(core, task, "it ran past its expiry");
        break;
    case TASK_PUSHED:
    case TASK_DONE_PUSHED:
        task_lost(core, task, "it was not claimed in time");
        break;
    default:
        core_check(core, tasks_set_due(&core->tasks, task, INT64_MAX));
    }
}

void tasks_judge(core_t *core) {
    task_t *task;
    while (core->now.ms >= core->judge_ms && (task = tasks_due(&core->tasks, core->now.ms)) != NULL)
        task_overdue(core, task);
}

static void push(core_t *core, stage_t *stage, task_t *task, worker_t *worker) {
    stage_dequeue(stage, task);
    core_move(core, task, TASK_EV_PUSH);
    task->attempt = ++task->pushes;
    worker_take(worker, task);
    core_check(core, tasks_set_due(&core->tasks, task, core->now.ms + PROTOCOL_CLAIM_MS));
    out_t *out = effects_out(core->fx, OUT_PUSH, worker->instance);
    out->number = task->number;
    out->msg.type = MSG_TASK;
    out->msg.task = (msg_task_t){.session = worker->session,
                                 .number = task->number,
                                 .attempt = task->attempt,
                                 .stage = (uint8_t)stage->id,
                                 .flags = task->flags,
                                 .remaining_ms = task->deadline_ms - core->now.ms,
                                 .generation = task->generation,
                                 .tries = task->tries,
                                 .task_id = effects_text(core->fx, str_of(task->task_id)),
                                 .call = task->call};
}

void tasks_dispatch(core_t *core) {
    stage_t *stages[] = {&core->execute, &core->upload};
    for (int i = 0; i < 2; i++) {
        task_t *task;
        worker_t *worker;
        while ((task = stage_next_task(stages[i])) != NULL && (worker = stage_next_worker(stages[i])) != NULL)
            push(core, stages[i], task, worker);
    }
}
