#include "tasks.h"

#include <stdlib.h>

#include "loop.h"
#include "map.h"
#include "mem.h"

#define RECORD_BYTES_MAX (256u << 20)
#define FAULTS_KEPT      4

struct task {
    task_init_t init;
    size_t index;
    bool waiting;
    bool dead;   /* its last handing went to a dead connection */
    bool seen;   /* at the tool or as a result since its last handing */
    bool closed; /* the connection of its last handing closed right after */
    int64_t handed_us;
    int64_t answered_us; /* by the tool, in whole; 0: not yet */
    int64_t handings;
    int64_t tool_calls;
    int64_t tool_calls_due;
    int64_t results;
    int64_t results_due;
    fault_t faults[FAULTS_KEPT];
    size_t fault_count;
    buf_t records[RECORD_KINDS];
    task_t *prev; /* in the queue */
    task_t *next;
};

struct tasks {
    books_t *books;
    render_fn render;
    void *render_ctx;
    map_t *by_id;
    task_t **all;
    size_t count;
    size_t cap;
    task_t **numbered;
    size_t numbered_count;
    size_t numbered_cap;
    task_t *head;
    task_t *tail;
    size_t record_limit;
    size_t record_bytes;
    int64_t outage_until_us;
};

tasks_t *tasks_new(books_t *books, size_t record_limit, render_fn render, void *render_ctx) {
    tasks_t *self = mem_new(1, sizeof *self);
    *self =
        (tasks_t){.books = books, .render = render, .render_ctx = render_ctx, .record_limit = record_limit};
    self->by_id = map_new();
    return self;
}

static void init_free(task_init_t *init) {
    free(init->id);
    free(init->method);
    free(init->raw);
    free(init->expect);
    plan_free(&init->plan);
}

void tasks_destroy(tasks_t **self) {
    if (!*self) return;
    for (size_t i = 0; i < (*self)->count; i++) {
        task_t *task = (*self)->all[i];
        init_free(&task->init);
        for (int kind = 0; kind < RECORD_KINDS; kind++)
            buf_free(&task->records[kind]);
        free(task);
    }
    map_destroy(&(*self)->by_id);
    free((*self)->all);
    free((*self)->numbered);
    free(*self);
    *self = NULL;
}

uint64_t tasks_next_number(const tasks_t *self) {
    return self->numbered_count + 1;
}

/* ---- the queue ---- */

static void queue_tail(tasks_t *self, task_t *task) {
    task->waiting = true;
    task->prev = self->tail;
    task->next = NULL;
    if (self->tail)
        self->tail->next = task;
    else
        self->head = task;
    self->tail = task;
    books_add(self->books, BOOK_WAITING, 1);
}

void tasks_put_back(tasks_t *self, task_t *task) {
    task->waiting = true;
    task->prev = NULL;
    task->next = self->head;
    if (self->head)
        self->head->prev = task;
    else
        self->tail = task;
    self->head = task;
    books_add(self->books, BOOK_WAITING, 1);
}

task_t *tasks_take(tasks_t *self) {
    task_t *task = self->head;
    if (!task) return NULL;
    self->head = task->next;
    if (self->head)
        self->head->prev = NULL;
    else
        self->tail = NULL;
    task->waiting = false;
    if (!task->init.expiry_ts_ms) task->init.expiry_ts_ms = wall_ms() + task->init.lifetime_ms;
    books_add(self->books, BOOK_WAITING, -1);
    return task;
}

static task_t **append(task_t **list, size_t *count, size_t *cap, task_t *task) {
    if (*count == *cap) {
        *cap = *cap ? *cap * 2 : 256;
        list = mem_resize(list, *cap, sizeof(task_t *));
    }
    list[(*count)++] = task;
    return list;
}

/* The plan of a repeated task replaces the old one, which may still be on its way to a client:
 * it is kept with a task that nobody finds. */
static void keep_old(tasks_t *self, const task_init_t *old) {
    task_t *keeper = mem_new(1, sizeof *keeper);
    keeper->init = *old;
    keeper->index = self->count;
    self->all = append(self->all, &self->count, &self->cap, keeper);
}

task_t *tasks_add(tasks_t *self, task_init_t *init) {
    task_t *task = tasks_by_id(self, span_of(init->id));
    if (task) {
        keep_old(self, &task->init);
    } else {
        task = mem_new(1, sizeof *task);
        task->results_due = task->tool_calls_due = 1;
        task->index = self->count;
        self->all = append(self->all, &self->count, &self->cap, task);
        map_put(self->by_id, span_of(init->id), task);
        books_add(self->books, BOOK_TASKS_TOTAL, 1);
    }
    task->init = *init;
    *init = (task_init_t){0};
    if (task->init.number)
        self->numbered = append(self->numbered, &self->numbered_count, &self->numbered_cap, task);
    if (!task->waiting) queue_tail(self, task);
    return task;
}

task_t *tasks_by_id(const tasks_t *self, span_t id) {
    return map_get(self->by_id, id);
}

task_t *tasks_by_number(const tasks_t *self, uint64_t number) {
    return number >= 1 && number <= self->numbered_count ? self->numbered[number - 1] : NULL;
}

/* ---- what happens to a task ---- */

/* Adds the task's share of the counters that follow from its state, or takes it out. */
static void share(const tasks_t *self, const task_t *task, int64_t sign) {
    if (!task->handings) return;
    bool open = !task->results;
    books_add(self->books, BOOK_HANDED, sign);
    books_add(self->books, BOOK_DELIVERED, open ? 0 : sign);
    books_add(self->books, BOOK_OUTSTANDING, open ? sign : 0);
    books_add(self->books, BOOK_HANDED_TO_DEAD, open && task->dead ? sign : 0);
    books_add(self->books, BOOK_LOST, open && !task->dead ? sign : 0);
    books_add(self->books, BOOK_LOST_AFTER_CLOSE, open && !task->dead && task->closed ? sign : 0);
}

void task_handed(tasks_t *self, task_t *task) {
    share(self, task, -1);
    if (task->results >= task->results_due) {
        task->results_due++;
        task->tool_calls_due++;
    }
    task->handings++;
    task->handed_us = loop_now_us();
    task->dead = task->closed = task->seen = false;
    share(self, task, 1);
    books_add(self->books, BOOK_HANDINGS, 1);
}

void task_handed_to_dead(tasks_t *self, task_t *task) {
    if (task->seen) return;
    share(self, task, -1);
    task->dead = true;
    share(self, task, 1);
}

void task_closed_after(tasks_t *self, task_t *task) {
    share(self, task, -1);
    task->closed = true;
    share(self, task, 1);
    books_add(self->books, BOOK_CLOSED_AFTER_HANDING, 1);
}

static bool method_is_safe(span_t method) {
    return span_is(method, "GET") || span_is(method, "HEAD") || span_is(method, "OPTIONS") ||
           span_is(method, "PUT") || span_is(method, "DELETE");
}

void task_executed(tasks_t *self, task_t *task) {
    share(self, task, -1);
    if (!task->tool_calls++) books_time(self->books, TIMING_HAND_TO_TOOL, loop_now_us() - task->handed_us);
    task->dead = false;
    task->seen = true;
    share(self, task, 1);
    if (task->tool_calls <= task->tool_calls_due || task->init.plan.repeats) return;
    bool safe = method_is_safe(task_method(task));
    books_add(self->books, safe ? BOOK_REEXECUTED_SAFE : BOOK_REEXECUTED_UNSAFE, 1);
    if (safe && task_was_cut_off(task)) books_add(self->books, BOOK_REEXECUTED_FAULTED, 1);
}

void task_answered(task_t *task) {
    task->answered_us = loop_now_us();
}

void task_accepted(tasks_t *self, task_t *task) {
    share(self, task, -1);
    if (!task->results++) {
        int64_t now_us = loop_now_us();
        books_time(self->books, TIMING_HAND_TO_RESULT, now_us - task->handed_us);
        if (task->answered_us) books_time(self->books, TIMING_TOOL_TO_RESULT, now_us - task->answered_us);
    }
    task->seen = true;
    share(self, task, 1);
    books_add(self->books, BOOK_RESULTS, 1);
    if (task->results > task->results_due) books_add(self->books, BOOK_DUPLICATES, 1);
    if (task->init.number) {
        free(task->init.raw);
        task->init.raw = NULL;
    }
}

void tasks_outage(tasks_t *self, int64_t until_us) {
    self->outage_until_us = until_us;
}

bool task_met_outage(const tasks_t *self, const task_t *task) {
    return task->handed_us < self->outage_until_us;
}

void tasks_outstanding(tasks_t *self, void (*each)(void *ctx, const task_t *task), void *ctx) {
    for (size_t i = 0; i < self->count; i++)
        if (self->all[i]->handings && !self->all[i]->results) each(ctx, self->all[i]);
}

void task_faulted(task_t *task, fault_t fault) {
    if (task->fault_count < FAULTS_KEPT) task->faults[task->fault_count++] = fault;
}

bool task_was_cut_off(const task_t *task) {
    for (size_t i = 0; i < task->fault_count; i++) {
        fault_kind_t kind = task->faults[i].kind;
        if (kind == FAULT_RESET || kind == FAULT_RESET_AFTER || kind == FAULT_HALF || kind == FAULT_STALL)
            return true;
    }
    return false;
}

/* ---- what is known of a task ---- */

span_t task_id(const task_t *task) {
    return span_of(task->init.id);
}

span_t task_raw(tasks_t *self, task_t *task) {
    if (!task->init.raw) {
        buf_t raw = {0};
        self->render(self->render_ctx, task, &raw);
        task->init.raw = raw.data;
        task->init.raw_len = raw.len;
    }
    return (span_t){task->init.raw, task->init.raw_len};
}

span_t task_method(const task_t *task) {
    return span_of(task->init.method);
}

span_t task_expect(const task_t *task) {
    return (span_t){task->init.expect, task->init.expect_len};
}

const plan_t *task_plan(const task_t *task) {
    return &task->init.plan;
}

uint64_t task_number(const task_t *task) {
    return task->init.number;
}

uint64_t task_input_bytes(const task_t *task) {
    return task->init.input_bytes;
}

int64_t task_expiry_ts_ms(const task_t *task) {
    return task->init.expiry_ts_ms;
}

int64_t task_handings(const task_t *task) {
    return task->handings;
}

int64_t task_tool_calls(const task_t *task) {
    return task->tool_calls;
}

int64_t task_results(const task_t *task) {
    return task->results;
}

int64_t task_handed_us(const task_t *task) {
    return task->handed_us;
}

const char *task_state(const task_t *task) {
    if (task->waiting) return "waiting";
    if (task->results) return "delivered";
    return task->dead ? "handed_to_dead" : "outstanding";
}

const fault_t *task_faults(const task_t *task, size_t *count) {
    *count = task->fault_count;
    return task->faults;
}

bool task_recorded(const tasks_t *self, const task_t *task) {
    return task->index < self->record_limit && self->record_bytes < RECORD_BYTES_MAX;
}

void task_record(tasks_t *self, task_t *task, record_t kind, span_t object) {
    buf_t *records = &task->records[kind];
    if (records->len) buf_text(records, ",");
    buf_add(records, object.data, object.len);
    self->record_bytes += object.len;
}

span_t task_records(const task_t *task, record_t kind) {
    return span_buf(&task->records[kind]);
}
