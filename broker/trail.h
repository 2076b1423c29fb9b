/* What has happened to a task so far, in few octets: kept with it in memory, written along with the rows that
 * the journal writes anyway, and at its end once more as its history. */
#ifndef SLUICE_BROKER_TRAIL_H
#define SLUICE_BROKER_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/messages.h"

#define TRAIL_MAX 4096 /* octets; of more the middle is left out */

/* Journals have them: what a kind is, and what it tells, stays as it is. */
typedef enum {
    TRAIL_FETCHED = 1, /* AC handed it out */
    TRAIL_ACCEPTED,    /* the broker has it */
    TRAIL_PUSHED,      /* to: the worker; a: attempt */
    TRAIL_CLAIMED,     /* by the worker it was pushed to */
    TRAIL_KEPT,        /* to: a worker that came back with it, after a restart or in a new session */
    TRAIL_TAKEN_BACK,  /* in trails of older builds: given back, or not claimed */
    TRAIL_LOST,        /* text: why its worker lost it */
    TRAIL_STARTED,     /* the request to the tool */
    TRAIL_CONNECTED,   /* to the tool; at: after the start */
    TRAIL_FIRST_BYTE,  /* of the tool's answer */
    TRAIL_RESULT,      /* a: HTTP status, b: octets of the body, c: 1, in older builds, for NOT_DONE */
    TRAIL_FAILED,      /* text: the error result that the broker made */
    TRAIL_TRY,         /* a: HTTP status, b: call * 16 + outcome, c: ms until the next try, text: reason */
    TRAIL_BURIED,      /* text: why AC will not take it */
    TRAIL_REVIVED,     /* by hand */
    TRAIL_DELIVERED,   /* a: HTTP status, b: call * 16 + outcome */
    TRAIL_DROPPED,     /* text: why */
    TRAIL_HELD_AGAIN,  /* AC handed it out once more: ignored */
    TRAIL_OMITTED,     /* a: so many entries were left out here */
    TRAIL_NOT_DONE,    /* in place of RESULT: a: HTTP status, text: why the agent could not do the request */
    TRAIL_GIVEN_BACK,  /* by its worker, before it was started */
    TRAIL_UNCLAIMED,   /* taken back by the broker; text: why */
    TRAIL_KINDS
} trail_kind_t;

/* An entry; what its kind does not name is 0 or "". */
typedef struct {
    trail_kind_t kind;
    int64_t at_wall_ms;
    uint64_t a, b, c;
    str_t text;   /* or the name of the worker */
    str_t host;   /* of the worker */
    uint64_t pid; /* of the worker */
} trail_entry_t;

typedef struct {
    unsigned char *bytes;
    uint32_t len, size;
    bool unwritten; /* the journal has not all of it */
} trail_t;

/* Adds an entry; texts are cut to 200 octets. `base_ms` is the wall time the trail's own times refer to, the
 * same at each call. Out of memory the entry is left out: the trail is for people. */
void trail_add(trail_t *self, int64_t base_ms, const trail_entry_t *entry);
/* A copy of stored octets, as far as they are sound. */
void trail_load(trail_t *self, const void *bytes, size_t len);
void trail_clear(trail_t *self);

/* Reads the entry at *at and moves on; false at the end, or where the octets are damaged. Texts are borrowed.
 */
bool trail_next(const void *bytes, size_t len, int64_t base_ms, size_t *at, trail_entry_t *entry);

#endif
