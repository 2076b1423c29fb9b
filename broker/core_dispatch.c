/* What time does to tasks, and handing them out. */
#include <inttypes.h>
#include <string.h>

#include "broker/backoff.h"
#include "broker/core_internal.h"

/* Its tasks would come back to it again and again, the oldest first, until they expire. */
static void worker_is_mute(core_t *core, worker_t *worker) {
    way_give_up(&worker->way); /* with all that was pushed after the one that told so */
    worker->rest_ms = core->now.ms + backoff_probe_ms(++worker->mute);
    char name[LOG_QUOTED_MAX];
    effects_log(
        core->fx, LOG_LEVEL_WARN, "worker_is_mute",
        "name=%s session=%" PRIu64 " times=%u next_trial_in_ms=%" PRId64
        " why=\"it says that it is there and claims nothing; can it reach the broker's worker ports?\"",
        log_quote(worker->name, name), worker->session, worker->mute, worker->rest_ms - core->now.ms);
}

/* It is the way that is judged, unless the task has expired on it. */
static void unclaimed_overdue(core_t *core, task_t *task) {
    worker_t *worker = task->worker;
    int64_t now_ms = core->now.ms, due = way_due_ms(&worker->way, task->way_mark, task->pushed_ms);
    bool expired = task->state == TASK_PUSHED && task->deadline_ms <= now_ms;
    if (now_ms < due && !expired) {
        int64_t look = now_ms + PROTOCOL_CLAIM_MS; /* what comes meanwhile changes it */
        if (task->state == TASK_PUSHED && task->deadline_ms < look) look = task->deadline_ms;
        core_check(core, tasks_set_due(&core->tasks, task, due < look ? due : look));
        return;
    }
    if (now_ms >= due && !way_is_past(&worker->way, task->way_mark)) worker_is_mute(core, worker);
    bool may_come = task->state == TASK_PUSHED;
    effects_out(core->fx, OUT_DROP, worker->instance)->number = task->number;
    task_lost(core, task, "it was not claimed in time");
    if (may_come) task->late_session = worker->session;
}

static void try_comes(core_t *core, task_t *task) {
    task->next_try_ms = 0;
    task_enqueue(core, task);
}

/* An executor ends its requests in time. One that still lists the task has its answer, and as long as others
 * come this one may be behind them. 0: it is not waited for any more. */
static int64_t result_due_ms(const core_t *core, const task_t *task) {
    const worker_t *worker = task->worker;
    if (!worker || worker->result_ms == 0) return 0;
    int64_t due_ms = worker->result_ms + RESULT_APART_MS, latest_ms = task->deadline_ms + RESULTS_OVER_MS;
    if (due_ms > latest_ms) due_ms = latest_ms;
    return due_ms > core->now.ms ? due_ms : 0;
}

static void running_overdue(core_t *core, task_t *task) {
    worker_t *worker = task->worker;
    int64_t due_ms = result_due_ms(core, task);
    if (due_ms > 0) {
        core_check(core, tasks_set_due(&core->tasks, task, due_ms));
        return;
    }
    if (worker)
        task_deny(core, worker->instance, worker->session, task->number, task->attempt, DENIED_EXPIRED);
    task_lost(core, task, "it ran past its expiry");
}

static void task_overdue(core_t *core, task_t *task) {
    switch (task->state) {
    case TASK_READY:
        if (task->unread)
            try_comes(core, task);
        else
            task_fail_expired(core, task);
        break;
    case TASK_DONE:
        try_comes(core, task);
        break;
    case TASK_RUNNING:
        running_overdue(core, task);
        break;
    case TASK_PUSHED:
    case TASK_DONE_PUSHED:
        unclaimed_overdue(core, task);
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
    task->way_mark = way_send(&worker->way, task->doc_bytes + strlen(task->task_id) + WAY_HEADER);
    task_note_worker(core, task, TRAIL_PUSHED, worker);
    task_await_claim(core, task);
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

/* Others go past it. Nothing is written of it meanwhile, not even that it has expired: the journal cannot
 * change a row that it cannot read, and would try for ever. */
void task_not_pushed(core_t *core, uint64_t number, uint32_t attempt) {
    task_t *task = tasks_find(&core->tasks, number);
    if (!task || task->attempt != attempt || !task->worker) return;
    if (task->state != TASK_PUSHED && task->state != TASK_DONE_PUSHED) return;
    task->next_try_ms = core->now.ms + backoff_result_ms(++task->unread, &core->gate.random);
    char id[LOG_QUOTED_MAX];
    effects_log(core->fx, LOG_LEVEL_ERROR, "document_unreadable",
                "task=%s number=%" PRIu64 " times=%u next_trial_in_ms=%" PRId64
                " why=\"the journal's disk fails, or the journal is damaged; the others go on\"",
                log_quote(task->task_id, id), number, task->unread, task->next_try_ms - core->now.ms);
    task_ready_again(core, task, TASK_EV_UNCLAIMED);
}

void tasks_dispatch(core_t *core) {
    stage_t *stages[] = {&core->execute, &core->upload};
    for (int i = 0; i < 2; i++) {
        task_t *task;
        worker_t *worker;
        while ((task = stage_next_task(stages[i])) != NULL &&
               (worker = stage_next_worker(stages[i], core->now.ms)) != NULL)
            push(core, stages[i], task, worker);
    }
}
