/* The life of a task as a pure transition table. READY, RUNNING, DONE and BURIED are in the journal; the
 * pushed states and UPLOADING live in memory only, and are READY or DONE after a restart. */
#ifndef SLUICE_BROKER_TASK_STATE_H
#define SLUICE_BROKER_TASK_STATE_H

typedef enum {
    TASK_READY,       /* waits for an executor */
    TASK_PUSHED,      /* with an executor, not claimed */
    TASK_RUNNING,     /* claimed by an executor */
    TASK_DONE,        /* has a result, waits for an uploader or for its next try */
    TASK_DONE_PUSHED, /* result with an uploader, not claimed */
    TASK_UPLOADING,   /* claimed by an uploader */
    TASK_BURIED,      /* AC refused the result; kept for a person */
    TASK_GONE,        /* AC has the result */
    TASK_STATES
} task_state_t;

typedef enum {
    TASK_EV_PUSH,      /* sent to a worker */
    TASK_EV_UNCLAIMED, /* taken back before a claim: time, return, session end */
    TASK_EV_CLAIM,     /* the worker's claim is accepted */
    TASK_EV_RESULT,    /* a result has come */
    TASK_EV_REDELIVER, /* the claim is over and the work may be done again */
    TASK_EV_FAIL,      /* becomes an error result: expired, outcome unknown, invalid */
    TASK_EV_RETRY,     /* upload failed, try again later */
    TASK_EV_ACCEPTED,  /* AC has taken the result */
    TASK_EV_REFUSED,   /* AC will never take it */
    TASK_EV_REVIVE,    /* a person retries a buried result */
    TASK_EV_DROP,      /* a person drops a buried result */
    TASK_EVENTS
} task_event_t;

/* The next state, or ERR_STATE where the table has no entry. */
int task_next(task_state_t state, task_event_t event);

const char *task_state_name(task_state_t state);
const char *task_event_name(task_event_t event);

#endif
