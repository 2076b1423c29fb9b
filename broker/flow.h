/* How much of large bodies may be on its way from one session, and whether what is under way still comes. All
 * that an executor sends goes through one pipe, in order: a chunk waits behind the chunks of other streams
 * and behind results, so a stream cannot be judged by itself. No I/O; times are CLOCK_BOOTTIME. */
#ifndef SLUICE_BROKER_FLOW_H
#define SLUICE_BROKER_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "common/messages.h"

#define FLOW_CHUNK    ((uint64_t)MSG_CHUNK_MAX)
#define FLOW_BEGIN    (2 * FLOW_CHUNK)  /* the window of a new session */
#define FLOW_MOST     (32 * FLOW_CHUNK) /* and the widest */
#define FLOW_WIDE     (8 * FLOW_CHUNK)  /* from here on credit is given two chunks at a time */
#define FLOW_GROWS_MS 500   /* a chunk that comes this much later than the fastest did still widens it */
#define FLOW_SLOW_MS  1000  /* and one that comes this much later narrows it */
#define FLOW_STALL_MS 30000 /* nothing came: what was under way is lost */
#define FLOW_ALONE_MS (4 * FLOW_STALL_MS) /* nor a chunk, although results did */
#define FLOW_PASS_MS  10000               /* what was allowed so much later has come */

typedef struct {
    uint64_t window;    /* octets that may be under way */
    int64_t fastest_ms; /* from credit to arrival, but at most FLOW_GROWS_MS: that much is the way's own */
    int64_t narrowed_ms;
    int64_t heard_ms; /* when anything came */
    int64_t chunk_ms; /* when a chunk did */
    int64_t come_ms;  /* the latest time of a credit whose chunk has come */
} flow_t;

void flow_begin(flow_t *self, int64_t now_ms);
/* A RESULT, or a chunk of no known stream: the pipe is not cut. */
void flow_heard(flow_t *self, int64_t now_ms);
/* A chunk that was allowed at `given_ms`; `full` when the window allowed no more. */
void flow_arrived(flow_t *self, int64_t given_ms, bool full, int64_t now_ms);
/* Octets that credit is given by. */
uint64_t flow_step(const flow_t *self);
/* Whether a chunk that was allowed at `given_ms` and has not come is not to be waited for. */
bool flow_lost(const flow_t *self, int64_t given_ms, int64_t now_ms);

#endif
