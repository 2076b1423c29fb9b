/* Bodies on their way from executors into the spool (docs/PROTOCOL.md, "Streams"): who has announced one, how
 * far each may send, and what has come. Uses files, but sends by way of its handler; one thread. */
#ifndef SLUICE_BROKER_BODIES_H
#define SLUICE_BROKER_BODIES_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/spool.h"
#include "common/messages.h"

typedef struct bodies_t bodies_t;

#define BODIES_WINDOW ((uint64_t)8 * MSG_CHUNK_MAX) /* most octets a stream may be ahead */
#define BODIES_POOL                                                                                          \
    ((uint64_t)32 * MSG_CHUNK_MAX) /* and all streams together: what waits in sockets is memory */

typedef struct {
    void *ctx;
    void (*send)(void *ctx, uint64_t peer, const msg_t *msg);
    /* Whether the task is with the executor of that session, in that attempt. */
    bool (*runs)(void *ctx, uint64_t session, uint64_t number, uint32_t attempt);
    /* Whether its executor is about to end: its bodies need room on the disk alone, and go before others. */
    bool (*leaves)(void *ctx, uint64_t session);
    /* There is no room for the task's body, and none will come: the task is to be ended. */
    void (*no_room)(void *ctx, uint64_t number, uint32_t attempt);
} bodies_handler_t;

/* The spool is borrowed. NULL when out of memory. */
bodies_t *bodies_new(spool_t *spool, const bodies_handler_t *handler);
/* Gives up what is being written. Accepts NULL; nulls the pointer. */
void bodies_destroy(bodies_t **self);

/* BODY of the peer, once or again. ERR_NOMEM. */
int bodies_announced(bodies_t *self, uint64_t peer, const msg_body_t *body, int64_t now_ms);
/* CHUNK: written at once; the last one syncs the file, which may take its time. */
void bodies_chunk(bodies_t *self, const msg_chunk_t *chunk, const void *bytes, uint64_t size, int64_t now_ms);
/* Any RESULT of the session: it came by the same pipe as the chunks. */
void bodies_heard(bodies_t *self, uint64_t session, int64_t now_ms);
/* RESULT whose body is a stream: true when the body is whole and kept, or the task is not with its sender any
 * more, so that the result may be judged. From then on the file is the task's. */
bool bodies_result(bodies_t *self, const msg_result_t *result, int64_t now_ms);
/* Ends streams whose task or session is over and those that stand still, lets waiting ones begin, and gives
 * credit. */
void bodies_turn(bodies_t *self, int64_t now_ms);

/* Why no more may be fetched: a constant, or NULL. As of the last turn. */
const char *bodies_hold(const bodies_t *self);
unsigned bodies_count(const bodies_t *self);
/* How many of them wait for room; the task and the length of the one that is first in line. */
unsigned bodies_waiting(const bodies_t *self, uint64_t *number, uint64_t *bytes);
/* The body of a task that is on its way, or waits for room. */
typedef struct {
    uint64_t length, received;
    unsigned place; /* among those that wait for room, from 1; 0: it has room */
} body_view_t;

/* False when the task has none. */
bool bodies_look(const bodies_t *self, uint64_t number, body_view_t *view);
/* When bodies_turn() is due by time alone; INT64_MAX for never. */
int64_t bodies_due_ms(const bodies_t *self, int64_t now_ms);

#endif
