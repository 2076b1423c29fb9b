#include "broker/stage.h"

#include <stdlib.h>

void stage_init(stage_t *self, stage_id_t id) {
    *self = (stage_t){.id = id};
}

void stage_clear(stage_t *self) {
    while (self->workers) {
        worker_t *worker = self->workers;
        self->workers = worker->next;
        free(worker);
    }
    heap_clear(&self->queue);
    heap_clear(&self->large);
}

static heap_t *queue_of(stage_t *self, const task_t *task) {
    return task_has_body(task) ? &self->large : &self->queue;
}

/* What AC has failed on lets others go first, for many such results with all their tries would keep those
 * waiting that it takes; but not all that are to come, unless it has failed on it many times. */
static int64_t turn_of(const task_t *task) {
    if (task->tries >= GIVEN_UP_TRIES) return INT64_MAX / 2 + task->in_line_ms;
    return task->in_line_ms + (int64_t)task->tries * STAGE_TRY_MS;
}

int stage_enqueue(stage_t *self, task_t *task) {
    return heap_put(queue_of(self, task), &task->queued, turn_of(task), task->number, task);
}

void stage_dequeue(stage_t *self, task_t *task) {
    heap_remove(queue_of(self, task), &task->queued);
}

static bool large_may_go(const stage_t *self) {
    unsigned out = 0;
    for (const worker_t *worker = self->workers; worker; worker = worker->next)
        for (const task_t *task = worker->tasks; task; task = task->next)
            out += task_has_body(task);
    return out < STAGE_LARGE_MAX;
}

task_t *stage_next_task(const stage_t *self) {
    task_t *task = heap_first(&self->queue), *large = heap_first(&self->large);
    if (!large || !large_may_go(self)) return task;
    return task && heap_less(&task->queued, &large->queued) ? task : large;
}

static bool may_take(const worker_t *worker, int64_t now_ms) {
    if (!worker->ready || worker->leaving || worker->out >= worker->slots) return false;
    bool nothing_under_way = worker->out == worker->claimed;
    if (worker->mute) return nothing_under_way && now_ms >= worker->rest_ms;
    return nothing_under_way || way_has_room(&worker->way);
}

static bool is_better(const worker_t *worker, const worker_t *best) {
    if (!best || (worker->mute == 0) != (best->mute == 0)) return !best || worker->mute == 0;
    return worker->slots - worker->out > best->slots - best->out;
}

worker_t *stage_next_worker(const stage_t *self, int64_t now_ms) {
    worker_t *best = NULL;
    for (worker_t *worker = self->workers; worker; worker = worker->next)
        if (may_take(worker, now_ms) && is_better(worker, best)) best = worker;
    return best;
}

void stage_add_worker(stage_t *self, worker_t *worker) {
    worker->next = self->workers;
    self->workers = worker;
}

void stage_remove_worker(stage_t *self, worker_t *worker) {
    for (worker_t **at = &self->workers; *at; at = &(*at)->next) {
        if (*at != worker) continue;
        *at = worker->next;
        return;
    }
}

void worker_take(worker_t *worker, task_t *task) {
    task->worker = worker;
    task->holder = worker->instance;
    task->beat = worker->beat;
    task->missed = 0;
    task->late_session = 0;
    task->prev = NULL;
    task->next = worker->tasks;
    if (worker->tasks) worker->tasks->prev = task;
    worker->tasks = task;
    worker->out++;
}

void worker_drop(task_t *task) {
    worker_t *worker = task->worker;
    if (!worker) return;
    if (task->prev)
        task->prev->next = task->next;
    else
        worker->tasks = task->next;
    if (task->next) task->next->prev = task->prev;
    task->prev = task->next = NULL;
    task->worker = NULL;
    worker->out--;
}

uint32_t stage_slots(const stage_t *self) {
    uint32_t slots = 0;
    for (const worker_t *worker = self->workers; worker; worker = worker->next)
        if (worker->ready && !worker->leaving) slots += worker->mute ? 1 : worker->slots;
    return slots;
}
