/* What time does to tasks, and handing them out. */
#include "broker/core_internal.h"

static void task_overdue(core_t *core, task_t *task) {
    worker_t *worker = task->worker;
    switch (task->state) {
    case TASK_READY:
        task_fail_expired(core, task);
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
    task_note_worker(core, task, TRAIL_PUSHED, worker);
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
