/* The task table of the core: every task held, found by number or by AC's taskId, each in at most one stage's
 * queue and with at most one time at which something is due. */
#ifndef SLUICE_BROKER_TASKS_H
#define SLUICE_BROKER_TASKS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/effects.h"
#include "broker/heap.h"
#include "broker/number_tree.h"
#include "broker/task_state.h"
#include "broker/trail.h"

typedef struct worker_t worker_t;

typedef struct task_t {
    uint64_t number;
    char *task_id, *method, *host, *reason; /* owned, never NULL */
    task_state_t state;
    uint16_t flags;
    uint8_t call;
    uint8_t body;      /* kind of the body that was announced for its result; 0 for none */
    bool waits_rejoin; /* after a restart: may be with a worker that is not back yet */
    bool journaled;    /* the journal has it as RUNNING */
    bool ended;        /* its executor has the answer and is yet to bring it: expiry no longer matters */
    int64_t deadline_ms, expiry_wall_ms, accepted_wall_ms, next_try_ms;
    int64_t in_line_ms;     /* since when: it was accepted, or its next try after AC failed on it is due */
    int64_t buried_wall_ms; /* while BURIED */
    uint32_t attempt, tries;
    uint32_t pushes;       /* the highest attempt so far: none is used twice */
    uint64_t holder;       /* instance: of the worker that has it, or had it at the last restart */
    uint64_t way_mark;     /* of its latest push on the way of its worker, 0 when it holds it by HELLO */
    int64_t pushed_ms;     /* when that was */
    uint64_t late_session; /* READY: it was not claimed in time in this session, where it may yet come */
    uint32_t unread;       /* how often in a row its document could not be read */
    uint64_t last_session; /* session under which its last result or outcome came */
    uint32_t last_attempt; /* and the attempt */
    uint64_t generation, doc_bytes;
    uint64_t body_bytes; /* of its body in the spool */
    trail_t trail;
    struct task_t *earlier, *later; /* in the list of the buried */
    number_node_t numbered;         /* and among them by its number */
    uint64_t buried_bytes;          /* what it counts for there: memory, journal and body */
    worker_t *worker;               /* while pushed, running or uploading */
    struct task_t *prev, *next;     /* in the worker's list */
    uint32_t beat;                  /* the worker's heartbeat that named it last */
    uint8_t missed;                 /* heartbeats in a row that did not */
    heap_node_t queued, timed;
} task_t;

typedef struct {
    void *by_number, *by_id; /* zhashx_t */
    heap_t timers;
    uint32_t counts[TASK_STATES];
    uint32_t given_up[TASK_STATES]; /* of these, with at least GIVEN_UP_TRIES tries */
    uint64_t doc_bytes;
    task_t *buried_first, *buried_last; /* in the order of burial */
    number_tree_t buried;               /* the same by their numbers */
    uint64_t buried_bytes;
    uint64_t buried_bodies; /* octets of their large bodies */
} tasks_t;

int tasks_init(tasks_t *self);
void tasks_clear(tasks_t *self);
/* A new task of the image, owned by the table. NULL when out of memory. */
task_t *tasks_add(tasks_t *self, const task_image_t *image);
void tasks_remove(tasks_t *self, task_t **task);
task_t *tasks_find(const tasks_t *self, uint64_t number);
task_t *tasks_find_id(const tasks_t *self, str_t task_id);
/* Moves the task along the transition table; ERR_STATE leaves it as it was. */
int tasks_event(tasks_t *self, task_t *task, task_event_t event);
void tasks_set_tries(tasks_t *self, task_t *task, uint32_t tries);
/* Results that AC is yet to take; those of them that count towards the response queue: not the ones that were
 * given up, wherever they are. */
uint32_t tasks_results(const tasks_t *self);
uint32_t tasks_results_counted(const tasks_t *self);
uint32_t tasks_given_up(const tasks_t *self);
/* Octets of a result, its body included. */
uint64_t task_bytes(const task_t *task);
/* Into the list of the buried, or out of it. */
void tasks_bury(tasks_t *self, task_t *task);
void tasks_unbury(tasks_t *self, task_t *task);
/* The buried task with the lowest number above `after`, NULL when there is none. */
task_t *tasks_buried_next(const tasks_t *self, uint64_t after);
/* The body of a buried task is found to have so many octets. */
void tasks_set_body(tasks_t *self, task_t *task, uint64_t bytes);
/* Sets when the task needs attention; INT64_MAX for never. ERR_NOMEM. */
int tasks_set_due(tasks_t *self, task_t *task, int64_t at_ms);
task_t *tasks_due(const tasks_t *self, int64_t now_ms); /* NULL when none */
/* Whether it is a result with a body of its own in the spool. */
bool task_has_body(const task_t *task);
void task_set_reason(task_t *task, str_t reason);
/* All tasks, in no order. */
task_t *tasks_first(tasks_t *self);
task_t *tasks_next(tasks_t *self);
task_t *tasks_oldest(tasks_t *self); /* by number; NULL when empty. Walks the table. */

#endif
