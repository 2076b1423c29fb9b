/* The broker's core: what is known of tasks, workers and credits, and what follows from each message and from
 * time. Pure: no I/O, no clock, no randomness but the seed. Each step yields effects; the shell commits their
 * records and then sends their messages (persist, then send). The same core runs in the broker and in the
 * simulator. */
#ifndef SLUICE_BROKER_CORE_H
#define SLUICE_BROKER_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/ac_gate.h"
#include "broker/effects.h"
#include "broker/tasks.h"
#include "common/messages.h"

typedef struct core_t core_t;

typedef enum { REDELIVER_IDEMPOTENT, REDELIVER_ALWAYS, REDELIVER_NEVER } redeliver_t;

typedef struct {
    uint64_t epoch; /* counts the starts on one journal, from 1; makes sessions, numbers and credits unique */
    uint64_t seed;
    char agent_id[65];
    int ac_max; /* 1 or 2 */
    uint32_t rate_per_min;
    uint32_t lookahead;  /* 0: as many as all executor slots together */
    uint32_t task_queue; /* most READY tasks */
    uint32_t response_queue;
    uint32_t response_threshold; /* percent */
    redeliver_t redeliver;
    int64_t dead_letter_days;         /* buried results are kept so long; 0: for ever */
    uint64_t dead_letter_bytes;       /* and no more of them; 0: any number */
    bool debug, verify, upload_to_ac; /* told to the workers in CONFIG */
} core_settings_t;

/* The time of a step: boot time for everything that lasts, wall time for what is stored or came from outside.
 */
typedef struct {
    int64_t ms, wall_ms;
} moment_t;

typedef enum {
    EV_MESSAGE,     /* msg came from peer (0 on tasks-in and results-in) */
    EV_TICK,        /* the end of a loop turn: time, dispatch and grants are dealt with here */
    EV_OPEN_FAILED, /* the PUSH of peer could not be opened */
    EV_KEY_REVOKED, /* key is not allowed any more: its sessions end */
    EV_NOT_PUSHED,  /* the document of task `number` could not be read: its push `attempt` has not gone out */
    EV_NO_ROOM      /* the body of task `number`, in its `attempt`, has no room and will have none */
} event_kind_t;

typedef struct {
    event_kind_t kind;
    uint64_t peer;
    const msg_t *msg;
    void **doc; /* the payload; taken by the core by setting *doc to NULL */
    uint64_t doc_bytes;
    uint64_t number;
    uint32_t attempt;
    uint64_t key; /* names the key of the connection it came by, 0 for a local one */
    bool tcp;     /* it came by tcp: so does what goes to its worker */
} event_t;

/* NULL when out of memory. */
core_t *core_new(const core_settings_t *settings);
void core_destroy(core_t **self);

/* What the journal has, before core_start(). ERR_NOMEM. */
int core_restore_task(core_t *self, const task_image_t *image);
int core_restore_worker(core_t *self, uint64_t instance, uint64_t place, role_t role);
int core_restore_fetcher(core_t *self, uint64_t instance, uint64_t seq, uint64_t mask);
void core_restore_credit(core_t *self, const credit_t *credit, int64_t now_ms); /* as gate_restore() */
void core_restore_rate(core_t *self, int64_t second, uint32_t units);
void core_restore_pause(core_t *self, int64_t until_ms, int64_t now_ms); /* that AC wants, of this boot */
void core_restore_drain(core_t *self, int64_t since_wall_ms);            /* 0: not paused by hand */
void core_restore_config(core_t *self, uint64_t generation, const global_config_t *given);
int core_start(core_t *self, moment_t now);

/* One step. ERR_NOMEM: the state may be inconsistent, the program has to end (and recovers from the journal).
 */
int core_step(core_t *self, const event_t *event, moment_t now, effects_t *effects);
/* When an EV_TICK is due without any message, in boot time. */
int64_t core_due_ms(const core_t *self, int64_t now_ms);

/* Takes those of the settings that can change while it runs; what AC has set stays over them. Workers are
 * told with the next tick. */
void core_reconfigure(core_t *self, const core_settings_t *settings);

/* The session that a worker's message on control names; 0 for messages that need none. */
uint64_t core_session_of(const msg_t *msg);
/* Whether debug lines are wanted: by the settings, or by AC. */
bool core_debug(const core_t *self);

/* Takes no new work and hands out none: the broker itself is about to end. */
void core_stop(core_t *self);

/* For those who keep bodies. Whether the executor of the session has the task in that attempt now; whether it
 * is about to end; and whether the task's result has a body of its own, kept until the task is gone. */
bool core_runs(const core_t *self, uint64_t session, uint64_t number, uint32_t attempt);
bool core_leaves(const core_t *self, uint64_t session);
bool core_has_body(const core_t *self, uint64_t number);
/* Octets of the large bodies of buried results. */
uint64_t core_buried_bodies(const core_t *self);
/* The key under which a session was begun. False when there is no such session. */
bool core_session_key(const core_t *self, uint64_t session, uint64_t *key);
/* At the start: the body of the task has so many octets. */
void core_body_found(core_t *self, uint64_t number, uint64_t bytes);
/* The tasks that the text names: by AC's taskId, and by number when it is one. False when there is none. */
bool core_find(core_t *self, str_t text, bool number_only, task_t **by_id, task_t **by_number);
/* Up to `max` buried tasks in order of their numbers, from those above `after`. */
uint32_t core_buried(core_t *self, uint64_t after, uint32_t max, task_t **tasks, bool *more);
/* Fetching pauses for this reason (a constant) until it is NULL. */
void core_hold_fetching(core_t *self, const char *why);

/* A look inside, for status and tests. */
typedef struct {
    const ac_gate_t *gate;
    tasks_t *tasks;
    const struct worker_t *executors, *uploaders, *fetchers;
    uint32_t fetch_room, lookahead, executor_slots, awaited;
    const char *fetch_paused; /* why fetching is paused, NULL when it is not */
    const char *waits_for;    /* what the gate waits for */
    int64_t drained_wall_ms;  /* since when fetching is paused by hand, 0 when it is not */
    struct {
        uint64_t fetched, repeated, held_already, no_room, delivered, refused, retried, expired,
            outcome_unknown, redelivered, unclaimed, denied, bad_sessions, results, returned, sessions_lost,
            credits_lost, invalid, malformed, revived, dropped;
    } counters;
    const core_settings_t *settings; /* with what AC has set */
    uint64_t generation;
    uint16_t pool_size; /* slots of each executor as AC has set them; 0 when it has not */
} core_view_t;

void core_look(core_t *self, int64_t now_ms, core_view_t *view);

#endif
