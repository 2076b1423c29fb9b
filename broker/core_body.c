/* What the core knows of bodies that come as streams: whose they are. The octets are bodies.c's. */
#include <inttypes.h>
#include <stdio.h>

#include "broker/core_internal.h"

static bool with(const task_t *task, const worker_t *worker, uint32_t attempt) {
    return task && task->worker == worker && task->attempt == attempt;
}

bool core_runs(const core_t *self, uint64_t session, uint64_t number, uint32_t attempt) {
    const worker_t *worker = session_executor(self, session);
    return worker && with(tasks_find(&self->tasks, number), worker, attempt);
}

bool core_leaves(const core_t *self, uint64_t session) {
    const worker_t *worker = session_executor(self, session);
    return worker && worker->leaving;
}

bool core_has_body(const core_t *self, uint64_t number) {
    const task_t *task = tasks_find(&self->tasks, number);
    return task && task_has_body(task);
}

void core_body_found(core_t *self, uint64_t number, uint64_t bytes) {
    task_t *task = tasks_find(&self->tasks, number);
    if (task) tasks_set_body(&self->tasks, task, bytes);
}

uint64_t core_buried_bodies(const core_t *self) {
    return self->tasks.buried_bodies;
}

void task_body(core_t *core, worker_t *worker, const msg_body_t *body) {
    task_t *task = tasks_find(&core->tasks, body->number);
    if (with(task, worker, body->attempt)) {
        task->body = body->kind;
        task->body_bytes = body->length;
        task_ended(core, task);
        return;
    }
    if (task && task->last_session == worker->session && task->last_attempt == body->attempt) {
        msg_t *msg = effects_msg(core->fx, worker->instance, MSG_STORED);
        msg->ref = (msg_ref_t){worker->session, body->number, body->attempt};
        return;
    }
    task_deny(core, worker->instance, body->session, body->number, body->attempt,
              task ? DENIED_OTHER : DENIED_UNKNOWN);
}

/* It would be the same the next time, so it is not done again. */
void task_no_room(core_t *core, uint64_t number, uint32_t attempt) {
    task_t *task = tasks_find(&core->tasks, number);
    if (!task || !task->worker || task->attempt != attempt || task->state != TASK_RUNNING) return;
    task_deny(core, task->worker->instance, task->worker->session, number, attempt, DENIED_LOST);
    char text[160];
    (void)snprintf(text, sizeof text,
                   "Agent Side Error: Error: the answer of %" PRIu64
                   " octets came, and the disk of the agent has no room for it",
                   task->body_bytes);
    task_log(core, task, "task_answer_dropped", "its body has no room on the disk");
    task_fail(core, task, text);
}
