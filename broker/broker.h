/* The broker around its core: takes messages in, steps the core, commits, sends. */
#ifndef SLUICE_BROKER_BROKER_H
#define SLUICE_BROKER_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/bodies.h"
#include "broker/core.h"
#include "broker/journal.h"
#include "broker/log_limit.h"
#include "broker/payloads.h"
#include "broker/sockets.h"

#define TURN_MESSAGES 64 /* of each socket a turn */
#define TURN_MS       5
#define UNOPENED_MAX  32
#define UNREAD_MAX    64
#define NO_ROOM_MAX   8
#define LOG_BAD_MAX   20  /* lines about bad messages in LOG_LIMIT_MS */
#define LOG_PEERS_MAX 500 /* about workers that come and go */
#define LOG_LIMIT_MS  60000

typedef struct {
    core_t *core;
    journal_t *journal;
    sockets_t *sockets;
    keyring_t *keyring; /* NULL: no connection is encrypted */
    payloads_t *payloads;
    spool_t *spool;
    bodies_t *bodies;
    effects_t *effects;
    msg_scratch_t *scratch;
    int64_t started_wall_ms;
    uint64_t bad_messages, event_seq;
    uint64_t logged_peers[64]; /* whose bad messages have been logged already */
    unsigned logged_at;
    log_limit_t bad_log, peers_log;
    uint64_t unopened[UNOPENED_MAX]; /* workers whose socket could not be opened */
    unsigned unopened_count;
    msg_ref_t unread[UNREAD_MAX]; /* pushes that have not gone out: the document could not be read */
    unsigned unread_count;
    msg_ref_t no_room[NO_ROOM_MAX]; /* tasks whose bodies nobody has room for */
    unsigned no_room_count;
    doc_t *status;                 /* of this turn, once somebody has asked for it */
    bool journal_ok, tasks_capped; /* tasks_capped: a turn ended at its cap, more waits */
    bool debug;                    /* the log level follows the core */
    bool quit;                     /* a commit that fails is not waited for */
    bool reload;                   /* SIGHUP came while one was */
    char journal_why[JOURNAL_WHY_MAX];
} broker_t;

/* One turn: drains the sockets up to the caps, steps, commits, sends. Returns 0, or an error that ends the
 * broker: ERR_NOMEM, ERR_CORRUPT. While the journal cannot be written nothing is acknowledged: ERR_IO is
 * retried each second within, answering only STATUS, until it works or a signal to stop has come by
 * `signals` (then ERR_BUSY); one to reload is noted. */
int broker_turn(broker_t *self, int signals);
/* Milliseconds until the next turn is due without a message; -1 for never. */
long broker_due_ms(broker_t *self);

/* from_peers.c: one received message into the core. ERR_NOMEM ends the broker. */
int broker_take(broker_t *self, source_t source, received_t *got);
/* guard.c: whether the message is one that its connection may bring; else it is refused. */
bool broker_admits(broker_t *self, source_t source, received_t *got, const msg_t *msg, uint64_t *key);
/* guard.c: the keys may have changed. ERR_NOMEM. */
int broker_reload_keys(broker_t *self);
/* from_peers.c: counts a bad message, logs a peer's first, and answers where there is a way back. */
void broker_refuse(broker_t *self, source_t source, received_t *got, msg_err_t code, unsigned type,
                   const char *text);
/* to_peers.c: sends what the committed step has yielded. `late_ms`: how long the commit took. */
int broker_send(broker_t *self, int64_t late_ms);
/* status.c: the JSON of `sluice status`. NULL when out of memory. */
doc_t *broker_status(broker_t *self);
/* task_report.c: the JSON of `sluice task` and of `sluice dead`. NULL when out of memory. */
doc_t *broker_find(broker_t *self, const msg_find_t *find);
doc_t *broker_list(broker_t *self, const msg_list_t *list);
/* from_peers.c: answers a tool's question that changes nothing; false when it is none. */
bool broker_answer(broker_t *self, received_t *got, const msg_t *msg);

moment_t broker_now(void);

#endif
