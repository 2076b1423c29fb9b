/*
 * Every task of the run: the queue AC hands out from, and what has become of each task. All
 * counters that speak of tasks (handed, delivered, lost, ...) are kept here.
 */
#ifndef MOCK_AC_TASKS_H
#define MOCK_AC_TASKS_H

#include <stdbool.h>
#include <stdint.h>

#include "books.h"
#include "plan.h"
#include "text.h"

typedef struct tasks tasks_t;
typedef struct task task_t;

/* What a new task is made of. tasks_add takes over everything it owns. */
typedef struct {
    char *id;
    char *method; /* as the tool must see it */
    char *raw;    /* the task's JSON; NULL for a generated one, whose JSON is rendered on demand */
    size_t raw_len;
    char *expect; /* a JSON object, or NULL */
    size_t expect_len;
    uint64_t number; /* of a generated task, from 1; 0 for a scripted one */
    uint64_t input_bytes;
    int64_t expiry_ts_ms; /* Unix ms; 0: from its first handing */
    int64_t lifetime_ms;  /* from its first handing */
    plan_t plan;
} task_init_t;

/* Appends the JSON of a generated task. */
typedef void (*render_fn)(void *ctx, const task_t *task, buf_t *out);

/* Keeps records of the first `record_limit` tasks. `books` is borrowed. */
tasks_t *tasks_new(books_t *books, size_t record_limit, render_fn render, void *render_ctx);
void tasks_destroy(tasks_t **self);

/* The next number for a generated task. */
uint64_t tasks_next_number(const tasks_t *self);

/*
 * Puts a task at the end of the queue. When its id is known already, that task is put into the
 * queue again (with the new raw text and plan), and one more result of it will be right if it
 * has been delivered before.
 */
task_t *tasks_add(tasks_t *self, task_init_t *init);

/* NULL when there is none. */
task_t *tasks_by_id(const tasks_t *self, span_t id);
task_t *tasks_by_number(const tasks_t *self, uint64_t number);

/* The task at the head of the queue, taken out of it; NULL when the queue is empty. */
task_t *tasks_take(tasks_t *self);

/* Back to the head of the queue, as if it had never been taken. */
void tasks_put_back(tasks_t *self, task_t *task);

/* ---- what happens to a task ---- */

void task_handed(tasks_t *self, task_t *task);

/* Its answer has not reached anybody, it seems; without effect once the task has been seen again. */
void task_handed_to_dead(tasks_t *self, task_t *task);

/* Its connection was closed in order before any other request on it. */
void task_closed_after(tasks_t *self, task_t *task);
void task_executed(tasks_t *self, task_t *task);
/* The tool has sent its whole answer. */
void task_answered(task_t *task);
void task_accepted(tasks_t *self, task_t *task);

/* The tool is down until then (monotonic): that explains network errors of all tasks handed out before. */
void tasks_outage(tasks_t *self, int64_t until_us);
bool task_met_outage(const tasks_t *self, const task_t *task);

/* Calls `each` with every task that has been handed out and has no result. */
void tasks_outstanding(tasks_t *self, void (*each)(void *ctx, const task_t *task), void *ctx);

/* A fault at the tool: it explains an error result, or another answer than the planned one. */
void task_faulted(task_t *task, fault_t fault);
/* Whether the tool has left a request for it without an answer, or with half of one. */
bool task_was_cut_off(const task_t *task);

/* ---- what is known of a task ---- */

span_t task_id(const task_t *task);
span_t task_raw(tasks_t *self, task_t *task);
span_t task_method(const task_t *task);
span_t task_expect(const task_t *task); /* length 0: none */
const plan_t *task_plan(const task_t *task);
uint64_t task_number(const task_t *task);
uint64_t task_input_bytes(const task_t *task);
int64_t task_expiry_ts_ms(const task_t *task); /* 0 before it was handed out */
int64_t task_handed_us(const task_t *task);    /* monotonic, of the last handing */
int64_t task_handings(const task_t *task);
int64_t task_tool_calls(const task_t *task);
int64_t task_results(const task_t *task);
const char *task_state(const task_t *task); /* "waiting", "outstanding", "handed_to_dead" or "delivered" */
const fault_t *task_faults(const task_t *task, size_t *count);

typedef enum { RECORD_TOOL_CALLS, RECORD_RESULTS, RECORD_KINDS } record_t;

/* True while records of this task are kept. */
bool task_recorded(const tasks_t *self, const task_t *task);

/* Adds a JSON object to the records; recorded objects are separated by commas. */
void task_record(tasks_t *self, task_t *task, record_t kind, span_t object);
span_t task_records(const task_t *task, record_t kind);

#endif
