/* The broker's sockets: control, tasks-in, results-in, events, and one PUSH per worker (docs/PROTOCOL.md
 * section 1). Receives whole messages, sends encoded ones; knows nothing of what they mean. One thread; never
 * blocks. */
#ifndef SLUICE_BROKER_SOCKETS_H
#define SLUICE_BROKER_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "broker/doc.h"
#include "broker/keyring.h"
#include "broker/worker_sockets.h"
#include "common/messages.h"

typedef struct sockets_t sockets_t;

#define SOCKETS_WHY_MAX 320

typedef enum { FROM_CONTROL, FROM_RESULTS, FROM_TASKS, FROM_COUNT } source_t;

typedef struct {
    const char *runtime_dir;  /* ipc, always */
    const char *bind;         /* "" for ipc alone, or tcp://HOST:PORT as well */
    int worker_ports;         /* under tcp */
    const key_pair_t *key;    /* the broker's own: tcp is encrypted; NULL: it is plain */
    const keyring_t *keyring; /* who may connect then (borrowed) */
} sockets_options_t;

/* Binds. ERR_IO or ERR_NOMEM with `why`. */
int sockets_open(const sockets_options_t *options, sockets_t **self, char why[SOCKETS_WHY_MAX]);
/* Sends what is queued (linger) and closes. */
void sockets_close(sockets_t **self);

/* A received message. `peer` is 0 but on control. `payload` is initialised only when has_payload. */
typedef struct {
    uint64_t peer;
    zmq_msg_t identity, header, payload;
    bool has_payload;
    const char *user; /* the public key of an encrypted connection, in hex; NULL for others */
    bool by_tcp;
    bool by_other;  /* by ipc, from a process of another user, neither the broker's nor root: */
    uint32_t uid;   /* this one */
    unsigned extra; /* frames beyond the allowed ones, dropped */
} received_t;

/* What ZeroMQ says of the other end: the address of a tcp peer, or the user of one by ipc. */
bool sockets_address(const char *address);
bool sockets_uid(const char *address, uint32_t *uid);
#define SOCKETS_NOBODY UINT32_MAX /* a user that is not known: the peer has gone at once */
/* Takes the next message, if there is one. The caller ends with sockets_done(). */
bool sockets_receive(sockets_t *self, source_t source, received_t *got);
void sockets_done(received_t *got);

/* Answers on control by the identity of a received message, also when it is no worker's. */
void sockets_answer(sockets_t *self, received_t *to, const msg_t *msg, doc_t *payload);
/* Sends on control; a peer that is not there is no error (nothing depends on a message arriving). */
int sockets_control(sockets_t *self, uint64_t peer, const msg_t *msg);
/* Opens the worker's PUSH with a mark of its slots, under ipc or tcp as it came, in place of a former one.
 * The endpoint, valid until it is closed, goes to *endpoint. ERR_FULL when no port is free, ERR_IO,
 * ERR_NOMEM. */
int sockets_worker_open(sockets_t *self, const worker_wish_t *wish, const char **endpoint);
void sockets_worker_close(sockets_t *self, uint64_t peer, int64_t now_ms);
/* Pushes to the worker; what its socket does not take at once is kept and sent when it does. */
int sockets_push(sockets_t *self, uint64_t peer, const msg_t *msg, doc_t *payload);
/* Takes back what of the task is kept. */
void sockets_unpush(sockets_t *self, uint64_t peer, uint64_t number);
/* Ends all connections to events, which come back if they may: a key was revoked. */
int sockets_renew_events(sockets_t *self);
/* Publishes on events. */
void sockets_publish(sockets_t *self, const msg_t *msg);

/* Waits for a message, for room in a worker's socket that has a backlog, or for a descriptor of `fds` (at
 * most SOCKETS_FDS_MAX, -1 for none); at most `timeout_ms` (-1: no end). Sends backlogs, and answers those
 * who connect. Returns a bit for each descriptor that is readable. */
#define SOCKETS_FDS_MAX 4
unsigned sockets_wait(sockets_t *self, const int *fds, int count, long timeout_ms);
/* The same for control and `fd` alone: whether it is readable. */
bool sockets_wait_control(sockets_t *self, int fd, long timeout_ms);

#endif
