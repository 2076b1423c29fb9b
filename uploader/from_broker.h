/* The results this uploader has from the broker: each is claimed, posted by post_result.c, and kept until the
 * broker says it is GONE. Owns the table of them and sends CLAIM, UPLOADED and RETURN until they are
 * answered. */
#ifndef SLUICE_UPLOADER_FROM_BROKER_H
#define SLUICE_UPLOADER_FROM_BROKER_H

#include <stdbool.h>

#include "common/ac_door.h"
#include "common/link.h"
#include "common/task_json.h"
#include "uploader/taken.h"

#define UPLOADER_SLOTS 16

typedef enum {
    RESULT_CLAIMING = 1, /* CLAIM sent, not answered */
    RESULT_CLAIMED,      /* ours, waits for a credit */
    RESULT_POSTING,      /* a request is under way */
    RESULT_STORING,      /* its body is on the way to the store */
    RESULT_PACKING,      /* a logs task: its zip is being packed */
    RESULT_OUTCOME,      /* UPLOADED sent, not answered */
    RESULT_RETURNING     /* RETURN sent, not answered */
} result_state_t;

/* A result that is held. */
typedef struct {
    result_state_t state;
    uint64_t session, number; /* the session under which it was got, and the task's number */
    uint32_t attempt;
    bool given_up; /* AC has failed on it many times */
    call_t call;
    char *task_id;
    zframe_t *payload; /* the result's JSON */
    text_t finished; /* the JSON with what came later: its s3Url, once the store has the body; that there is a
                        zip, of a logs task; else empty */
    int zip_fd;      /* of a logs task, once it is packed; else -1 */
    int64_t zip_bytes;
    unsigned refusals;  /* of the store */
    int64_t send_ms;    /* when CLAIM, UPLOADED or RETURN is due */
    int64_t outcome_ms; /* when it got its outcome */
    uint64_t order;     /* as they came */
    msg_uploaded_t outcome;
    char reason[201];
} result_t;

typedef struct from_broker_t from_broker_t;

/* What the table needs from above. */
typedef struct {
    void *ctx;
    /* The request (or the PUT, or the packing) for a result that is to be forgotten must end, without an
     * outcome. */
    void (*abort)(void *ctx, result_t *result);
} from_broker_handler_t;

/* Notes in `taken`, which is borrowed and may be NULL, what AC has taken, and posts nothing that is noted
 * there. */
from_broker_t *from_broker_new(const from_broker_handler_t *handler, taken_t *taken);
/* No request may be under way. Accepts NULL; nulls the pointer. */
void from_broker_destroy(from_broker_t **self);

/* TASK: takes the payload. While draining it is given back. */
void from_broker_task(from_broker_t *self, const msg_task_t *task, zframe_t **payload, int64_t now_ms);
/* CLAIMED, DENIED, GONE; others are ignored. */
void from_broker_message(from_broker_t *self, const msg_t *msg, int64_t now_ms);
void from_broker_welcome(from_broker_t *self, const msg_welcome_t *welcome, int64_t now_ms);
uint32_t from_broker_held(const from_broker_t *self, msg_held_t *items, uint32_t max);

/* Whether the next request for it is one that takes its time. */
bool result_is_large(const result_t *result);
/* The claimed result that is to be posted next, NULL when there is none; large ones only with `large`. They
 * go as they came, but for those that AC has failed on many times: as many as there are slots go past such a
 * one. */
result_t *from_broker_next(from_broker_t *self, bool large);
/* Whether AC has it already, from this uploader in a session that is over, or from another one: that is its
 * outcome then. */
bool from_broker_taken(from_broker_t *self, result_t *result, int64_t now_ms);
/* How many such results wait for a credit. */
unsigned from_broker_waiting(const from_broker_t *self, bool large);
/* The oldest logs task that has no zip yet, NULL when there is none. */
result_t *from_broker_unpacked(const from_broker_t *self);
/* How many AC has taken without the broker having confirmed it, and since when the oldest. */
unsigned from_broker_unheard(const from_broker_t *self, int64_t now_ms, int64_t *age_ms);
/* How many these may be, with those that AC is just being given. */
unsigned from_broker_unheard_max(const from_broker_t *self);
unsigned from_broker_count(const from_broker_t *self);
/* The request for it ended: UPLOADED is sent until it is answered. `credit` is the one it was made under. */
void from_broker_outcome(from_broker_t *self, result_t *result, uint64_t credit, const ac_answer_t *answer,
                         int64_t now_ms);

/* Gives back what is not claimed yet, with `all` also what is claimed but not posted; new ones are given back
 * as they come. */
void from_broker_return(from_broker_t *self, bool all, int64_t now_ms);

void from_broker_turn(from_broker_t *self, link_t *link, int64_t now_ms);
int64_t from_broker_due(const from_broker_t *self);

#endif
