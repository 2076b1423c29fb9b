/* A stage of the pipeline: its ready queue, its workers with their slots, and who has what. `execute` and
 * `upload` are two instances. */
#ifndef SLUICE_BROKER_STAGE_H
#define SLUICE_BROKER_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/tasks.h"
#include "broker/way.h"

/* A peer with a session. Fetchers have one too, with no slots and in no stage. */
struct worker_t {
    uint64_t instance, place, session;
    role_t role;
    uint64_t key; /* of its connection, 0 for a local one */
    char name[65];
    char version[33];
    char host[65];
    uint32_t pid;
    uint16_t slots;
    uint32_t out;     /* tasks pushed to it or claimed by it */
    uint32_t claimed; /* of these, claimed */
    uint32_t mute;    /* how often in a row what was pushed to it was not claimed in time */
    int64_t rest_ms;  /* a mute worker gets nothing before this time */
    way_t way;        /* of what is pushed to it */
    bool ready;       /* its PULL is connected */
    bool leaving;     /* it drains: it said so, or gave tasks back */
    int64_t heard_ms;
    int64_t result_ms; /* when a RESULT came last; 0: none did in this session */
    uint32_t beat;
    uint64_t beat_seq;  /* of its latest heartbeat */
    uint64_t hello_seq; /* of the HELLO that began the session */
    task_t *tasks;      /* what it has, newest first */
    worker_t *next;
};

#define STAGE_LARGE_MAX 4 /* such results out at a time: the other slots are for those that take no time */

#define STAGE_TRY_MS 60000 /* for each of its tries a result lets those go first that came so much later */

typedef struct {
    stage_id_t id;
    heap_t queue;      /* tasks that may be pushed, in their order */
    heap_t large;      /* of these, results with bodies in the spool */
    worker_t *workers; /* of the stage's role */
} stage_t;

/* Slots of the workers that take tasks; of one that is mute, one. */
uint32_t stage_slots(const stage_t *self);

void stage_init(stage_t *self, stage_id_t id);
void stage_clear(stage_t *self); /* frees the workers */

int stage_enqueue(stage_t *self, task_t *task); /* ERR_NOMEM */
void stage_dequeue(stage_t *self, task_t *task);
/* The next task to hand out, NULL when none. The one place where the order is decided: the one that has
 * waited longest, with a minute more for each time that AC failed on it; after GIVEN_UP_TRIES all others go
 * first; but for large results beyond STAGE_LARGE_MAX. */
task_t *stage_next_task(const stage_t *self);
/* The worker that gets it: the one with the most free slots; NULL when none has one. One to which much is
 * under way gets no more until that is claimed. One that is mute (its PULL may not be reached, behind a
 * firewall say) comes last, and gets one task at a time, for a trial, whatever it has claimed before. */
worker_t *stage_next_worker(const stage_t *self, int64_t now_ms);

/* Takes over the worker. */
void stage_add_worker(stage_t *self, worker_t *worker);
void stage_remove_worker(stage_t *self, worker_t *worker); /* unlinks; the caller frees */
void worker_take(worker_t *worker, task_t *task);
void worker_drop(task_t *task); /* no effect when nobody has it */

#endif
