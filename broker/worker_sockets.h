/* The PUSH sockets of the workers, and what waits in front of them. Part of sockets.c's job. */
#ifndef SLUICE_BROKER_WORKER_SOCKETS_H
#define SLUICE_BROKER_WORKER_SOCKETS_H

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/key.h"

#define PORT_REST_MS 60000

/* A message that waits for its worker's socket. */
typedef struct waiting_t {
    uint64_t number; /* of its task */
    zmq_msg_t header, payload;
    struct waiting_t *next;
} waiting_t;

typedef struct worker_socket_t {
    uint64_t peer;
    void *push;
    char endpoint[256];
    int port; /* index in the range, -1 for ipc */
    uint16_t slots;
    char user[KEY_HEX_SIZE]; /* whose key may read it; "" for plain */
    bool used;               /* something was sent */
    waiting_t *first, **last;
    struct worker_socket_t *next;
} worker_socket_t;

/* What a worker's socket is to be. */
typedef struct {
    uint64_t peer, session;
    uint16_t slots;
    bool tcp;
    bool shared;      /* by ipc, for another user's executor */
    const char *user; /* the public key in hex of who alone may read it; NULL: plain */
} worker_wish_t;

typedef struct {
    const char *runtime_dir; /* ipc */
    char host[128];          /* tcp; "" for none */
    const key_pair_t *key;   /* of the broker; NULL for plain tcp */
    int first_port, ports;
    int64_t *rests_until; /* by port index: INT64_MAX while in use */
    worker_socket_t *list;
} worker_sockets_t;

/* Lets the group of a shared runtime directory connect to a socket in it. ERR_IO with errno. */
int socket_share(const char *endpoint);

int worker_sockets_open(worker_sockets_t *self, const worker_wish_t *wish, int64_t now_ms,
                        const char **endpoint);
void worker_sockets_close(worker_sockets_t *self, uint64_t peer, int64_t now_ms);
worker_socket_t *worker_sockets_find(worker_sockets_t *self, uint64_t peer);
/* TASK of that number. Takes over both frames. ERR_NOMEM. */
int worker_socket_send(worker_socket_t *socket, uint64_t number, zmq_msg_t *header, zmq_msg_t *payload);
/* Drops what waits of the task. */
void worker_socket_drop(worker_socket_t *socket, uint64_t number);
/* Sends what waits, as far as the socket takes it. */
void worker_socket_flush(worker_socket_t *socket);
/* A socket of libzmq with the broker's options, which CZMQ's setters take; `mark` is for both directions.
 * NULL when libzmq has as many as it may (zsock_new() would end the process), of which those that are closed
 * count until its own thread has seen to them: whoever says HELLO without end gets there. */
void *socket_new(int type, int mark, int largest);
/* Makes it the encrypted server of this domain (broker/zap.h), before it is bound to tcp; `key` may be NULL.
 */
bool socket_secure(void *socket, const char *host, const key_pair_t *key, const char *domain);
void worker_sockets_clear(worker_sockets_t *self);

#endif
