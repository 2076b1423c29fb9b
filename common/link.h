/* A worker's link to the broker: the control DEALER, the PULL of its tasks, the PUSH of what it brings, and
 * the session dialogue (HELLO, WELCOME, HEARTBEAT, BYE) of docs/PROTOCOL.md. The program above keeps what it
 * holds and is told when a session begins or ends. One thread; never blocks; never logs. */
#ifndef SLUICE_COMMON_LINK_H
#define SLUICE_COMMON_LINK_H

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/key.h"
#include "common/messages.h"

typedef struct link_t link_t;

typedef struct {
    role_t role;           /* fetcher, executor or uploader */
    const char *broker;    /* base endpoint: "ipc://DIR" or "tcp://HOST:PORT" (copied) */
    const char *name;      /* shown in status (copied) */
    uint64_t instance;     /* random, not 0 */
    uint64_t place;        /* of the held lock file, 0 for none */
    uint16_t slots;        /* 0 for a fetcher */
    const link_key_t *key; /* makes it encrypted (copied); NULL for a plain link */
} link_options_t;

/* What the program above does. Strings and lists are borrowed for the call. `ctx` is passed back. */
typedef struct {
    void *ctx;
    /* Lists what is held (at most `max`), each with the session under which it was got. Returns the count. */
    uint32_t (*held)(void *ctx, msg_held_t *items, uint32_t max);
    /* The AC credit held now, 0 for none. NULL for a role without credits. */
    uint64_t (*credit)(void *ctx);
    /* A new session: forget what `drop` lists, take the new session for the rest, send CLAIM, RESULT or
     * UPLOADED again as PROTOCOL section 4 says. The PULL is connected already. */
    void (*welcome)(void *ctx, const msg_welcome_t *welcome);
    /* Any other control message of the present session (stale ones are dropped before). */
    void (*message)(void *ctx, const msg_t *msg);
    /* A task of the present session. The handler takes the payload by setting *payload to NULL. */
    void (*task)(void *ctx, const msg_task_t *task, zframe_t **payload);
    /* The session is over: the broker is silent or does not know it. Keep what is held; nothing can be sent
     * until the next welcome. `why` is a text for the log. */
    void (*lost)(void *ctx, const char *why);
    /* Something the peer sent was refused, or the broker refused something: for the log, once per kind. */
    void (*fault)(void *ctx, const char *what);
} link_handler_t;

/* Connects (the broker need not be there). NULL when memory or sockets fail, or `broker` is malformed; *why
 * then says so. */
link_t *link_new(const link_options_t *options, const link_handler_t *handler, const char **why);
/* Sends what is queued (linger of PROTOCOL_LINGER_MS) and closes. */
void link_destroy(link_t **self);

/* The session, 0 while there is none. */
uint64_t link_session(const link_t *self);
const char *link_agent_id(const link_t *self); /* "" before the first WELCOME */
/* The broker speaks another version of the protocol (`fault` was told): the program is to log it and end. */
bool link_foreign(const link_t *self);

/* Waits until something has come, one of `fds` is readable, or `timeout_ms` are over; not at all while
 * link_unread(). */
#define LINK_FDS_MAX 4
void link_wait(link_t *self, const int *fds, int count, long timeout_ms);

/* Drains the sockets (at most 256 messages a call; returns true when there may be more), calls the handler,
 * says HELLO and sends heartbeats when due. `now_ms` is CLOCK_BOOTTIME. */
bool link_turn(link_t *self, int64_t now_ms);
/* Whether something may have come that link_turn() has not seen: sending may take in news unnoticed. */
bool link_unread(const link_t *self);
/* When link_turn() is due next without any event, in the time of `now_ms`. */
int64_t link_due(const link_t *self);

/* Sends on control. ERR_STATE without a session (the caller repeats later), ERR_FULL when the socket is full.
 */
int link_send(link_t *self, const msg_t *msg);
/* Pushes FETCHED to tasks-in or RESULT to results-in. `payload` is borrowed (sent as a copy sharing nothing).
 * ERR_FULL when the broker is behind; the caller keeps the message and repeats it. */
int link_push(link_t *self, const msg_t *msg, const void *payload, size_t payload_bytes);

/* Tells the broker that the slots changed (HELLO anew). */
void link_set_slots(link_t *self, uint16_t slots);
/* Ends the session in good order (BYE). */
void link_bye(link_t *self);

#endif
