#include "broker/tasks.h"

#include <czmq.h>
#include <stdlib.h>
#include <string.h>

#include "broker/number_map.h"
#include "common/err.h"

static int text_compare(const void *a, const void *b) {
    return strcmp(a, b);
}

static size_t text_hash(const void *key) {
    size_t hash = 1469598103934665603u;
    for (const char *c = key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return hash;
}

int tasks_init(tasks_t *self) {
    *self = (tasks_t){0};
    zhashx_t *by_number = number_map_new(), *by_id = zhashx_new();
    self->by_number = by_number;
    self->by_id = by_id;
    if (!by_number || !by_id) {
        tasks_clear(self);
        return ERR_NOMEM;
    }
    zhashx_set_key_duplicator(by_id, NULL);
    zhashx_set_key_destructor(by_id, NULL);
    zhashx_set_key_comparator(by_id, text_compare);
    zhashx_set_key_hasher(by_id, text_hash);
    return 0;
}

static void task_free(task_t *task) {
    free(task->task_id);
    free(task->method);
    free(task->host);
    free(task->reason);
    trail_clear(&task->trail);
    free(task);
}

void tasks_clear(tasks_t *self) {
    zhashx_t *by_number = self->by_number, *by_id = self->by_id;
    for (task_t *task = by_number ? zhashx_first(by_number) : NULL; task; task = zhashx_next(by_number))
        task_free(task);
    zhashx_destroy(&by_number);
    zhashx_destroy(&by_id);
    heap_clear(&self->timers);
    *self = (tasks_t){0};
}

static char *text_of(str_t text) {
    return strndup(text.ptr ? text.ptr : "", text.len);
}

static void count_in(tasks_t *self, const task_t *task) {
    self->counts[task->state]++;
    self->given_up[task->state] += task->tries >= GIVEN_UP_TRIES;
}

static void count_out(tasks_t *self, const task_t *task) {
    self->counts[task->state]--;
    self->given_up[task->state] -= task->tries >= GIVEN_UP_TRIES;
}

task_t *tasks_add(tasks_t *self, const task_image_t *image) {
    task_t *task = calloc(1, sizeof *task);
    if (!task) return NULL;
    task->number = image->number;
    task->task_id = text_of(image->task_id);
    task->method = text_of(image->method);
    task->host = text_of(image->host);
    task->reason = text_of(image->reason);
    task->state = image->state;
    task->flags = image->flags;
    task->call = image->call;
    task->deadline_ms = image->deadline_ms;
    task->expiry_wall_ms = image->expiry_wall_ms;
    task->accepted_wall_ms = image->accepted_wall_ms;
    task->next_try_ms = image->next_try_ms;
    task->buried_wall_ms = image->buried_wall_ms;
    task->attempt = task->pushes = image->attempt;
    task->tries = image->tries;
    task->holder = image->holder;
    task->generation = image->generation;
    task->doc_bytes = image->doc_bytes;
    if (!task->task_id || !task->method || !task->host || !task->reason ||
        zhashx_insert(self->by_number, &task->number, task) != 0) {
        task_free(task);
        return NULL;
    }
    (void)zhashx_insert(self->by_id, task->task_id, task); /* an id held already keeps its first task */
    count_in(self, task);
    self->doc_bytes += task->doc_bytes;
    trail_load(&task->trail, image->trail.ptr, image->trail.len);
    if (task->state == TASK_BURIED) tasks_bury(self, task);
    return task;
}

void tasks_remove(tasks_t *self, task_t **task) {
    task_t *t = *task;
    *task = NULL;
    heap_remove(&self->timers, &t->timed);
    tasks_unbury(self, t);
    if (zhashx_lookup(self->by_id, t->task_id) == t) zhashx_delete(self->by_id, t->task_id);
    zhashx_delete(self->by_number, &t->number);
    count_out(self, t);
    self->doc_bytes -= t->doc_bytes;
    task_free(t);
}

task_t *tasks_find(const tasks_t *self, uint64_t number) {
    return zhashx_lookup(self->by_number, &number);
}

task_t *tasks_find_id(const tasks_t *self, str_t task_id) {
    char id[MSG_TASK_ID_MAX + 1];
    return zhashx_lookup(self->by_id, str_copy(task_id, id, sizeof id));
}

int tasks_event(tasks_t *self, task_t *task, task_event_t event) {
    int next = task_next(task->state, event);
    if (next < 0) return next;
    count_out(self, task);
    task->state = (task_state_t)next;
    count_in(self, task);
    return 0;
}

void tasks_set_tries(tasks_t *self, task_t *task, uint32_t tries) {
    count_out(self, task);
    task->tries = tries;
    count_in(self, task);
}

static uint32_t of_results(const uint32_t *counts) {
    return counts[TASK_DONE] + counts[TASK_DONE_PUSHED] + counts[TASK_UPLOADING];
}

uint32_t tasks_results(const tasks_t *self) {
    return of_results(self->counts);
}

uint32_t tasks_given_up(const tasks_t *self) {
    return of_results(self->given_up);
}

uint32_t tasks_results_counted(const tasks_t *self) {
    return tasks_results(self) - tasks_given_up(self);
}

uint64_t task_bytes(const task_t *task) {
    return task->doc_bytes + task->body_bytes;
}

/* What a task takes beside its texts and its result, as measured (docs/INTERNALS.md): in memory, where it is
 * found by number, by id and among the buried, and in its row of the journal, which fills whole pages. */
#define MEMORY_BYTES       1000
#define ROW_BYTES          100
#define JOURNAL_PAGE_BYTES 4096

static uint64_t buried_bytes(const task_t *task) {
    uint64_t texts = strlen(task->task_id) + strlen(task->method) + strlen(task->host) +
                     strlen(task->reason) + task->trail.len;
    uint64_t row = ROW_BYTES + texts + task->doc_bytes, in_a_page = JOURNAL_PAGE_BYTES / row;
    uint64_t in_journal = in_a_page > 0
                              ? JOURNAL_PAGE_BYTES / in_a_page
                              : (row + JOURNAL_PAGE_BYTES - 1) / JOURNAL_PAGE_BYTES * JOURNAL_PAGE_BYTES;
    return MEMORY_BYTES + texts + in_journal + task->body_bytes;
}

/* Mostly at the end; at a restart they come in the order of their numbers. */
void tasks_bury(tasks_t *self, task_t *task) {
    task_t *before = self->buried_last;
    while (before && before->buried_wall_ms > task->buried_wall_ms)
        before = before->earlier;
    task->earlier = before;
    task->later = before ? before->later : self->buried_first;
    *(before ? &before->later : &self->buried_first) = task;
    *(task->later ? &task->later->earlier : &self->buried_last) = task;
    number_tree_put(&self->buried, &task->numbered, task->number, task);
    task->buried_bytes = buried_bytes(task);
    self->buried_bytes += task->buried_bytes;
    self->buried_bodies += task->body_bytes;
}

void tasks_unbury(tasks_t *self, task_t *task) {
    if (!task->earlier && self->buried_first != task) return;
    *(task->earlier ? &task->earlier->later : &self->buried_first) = task->later;
    *(task->later ? &task->later->earlier : &self->buried_last) = task->earlier;
    task->earlier = task->later = NULL;
    number_tree_remove(&self->buried, &task->numbered);
    self->buried_bytes -= task->buried_bytes;
    self->buried_bodies -= task->body_bytes;
    task->buried_bytes = 0;
}

task_t *tasks_buried_next(const tasks_t *self, uint64_t after) {
    return number_tree_next(&self->buried, after);
}

void tasks_set_body(tasks_t *self, task_t *task, uint64_t bytes) {
    if (task->state == TASK_BURIED) {
        task->buried_bytes += bytes - task->body_bytes;
        self->buried_bytes += bytes - task->body_bytes;
        self->buried_bodies += bytes - task->body_bytes;
    }
    task->body_bytes = bytes;
}

int tasks_set_due(tasks_t *self, task_t *task, int64_t at_ms) {
    if (at_ms == INT64_MAX) {
        heap_remove(&self->timers, &task->timed);
        return 0;
    }
    return heap_put(&self->timers, &task->timed, at_ms, task->number, task);
}

task_t *tasks_due(const tasks_t *self, int64_t now_ms) {
    return heap_first_key(&self->timers) <= now_ms ? heap_first(&self->timers) : NULL;
}

bool task_has_body(const task_t *task) {
    return task->state > TASK_RUNNING && (task->call == CALL_UPLOAD_RESULT || task->call == CALL_UPLOAD_URL);
}

void task_set_reason(task_t *task, str_t reason) {
    char *copy = text_of(reason);
    if (!copy) return;
    free(task->reason);
    task->reason = copy;
}

task_t *tasks_first(tasks_t *self) {
    return zhashx_first(self->by_number);
}

task_t *tasks_next(tasks_t *self) {
    return zhashx_next(self->by_number);
}

task_t *tasks_oldest(tasks_t *self) {
    task_t *oldest = NULL;
    for (task_t *task = tasks_first(self); task; task = tasks_next(self))
        if (task->state != TASK_BURIED && (!oldest || task->number < oldest->number)) oldest = task;
    return oldest;
}
