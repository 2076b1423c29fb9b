/* The broker's sockets: control, tasks-in, results-in, events, and one PUSH per worker (docs/PROTOCOL.md
 * section 1). Receives whole messages, sends encoded ones; knows nothing of what they mean. One thread; never
 * blocks. */
#ifndef SLUICE_BROKER_SOCKETS_H
#define SLUICE_BROKER_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "broker/doc.h"
#include "common/messages.h"

typedef struct sockets_t sockets_t;

#define SOCKETS_WHY_MAX 320

typedef enum { FROM_CONTROL, FROM_RESULTS, FROM_TASKS, FROM_COUNT } source_t;

/* Binds. `bind` is "" for ipc in `runtime_dir`, or tcp://HOST:PORT; `worker_ports` as the option. ERR_IO or
 * ERR_NOMEM with `why`. */
int sockets_open(const char *bind, const char *runtime_dir, int worker_ports, sockets_t **self,
                 char why[SOCKETS_WHY_MAX]);
/* Sends what is queued (linger) and closes. */
void sockets_close(sockets_t **self);

/* A received message. `peer` is 0 but on control. `payload` is initialised only when has_payload. */
typedef struct {
    uint64_t peer;
    zmq_msg_t identity, header, payload;
    bool has_payload;
    unsigned extra; /* frames beyond the allowed ones, dropped */
} received_t;

/* Takes the next message, if there is one. The caller ends with sockets_done(). */
bool sockets_receive(sockets_t *self, source_t source, received_t *got);
void sockets_done(received_t *got);

/* Answers on control by the identity of a received message, also when it is no worker's. */
void sockets_answer(sockets_t *self, received_t *to, const msg_t *msg, doc_t *payload);
/* Sends on control; a peer that is not there is no error (nothing depends on a message arriving). */
int sockets_control(sockets_t *self, uint64_t peer, const msg_t *msg);
/* Opens the worker's PUSH with a mark of `slots`, in place of a former one. The endpoint, valid until it is
 * closed, goes to *endpoint. ERR_FULL when no port is free, ERR_IO, ERR_NOMEM. */
int sockets_worker_open(sockets_t *self, uint64_t peer, uint64_t session, uint16_t slots,
                        const char **endpoint);
void sockets_worker_close(sockets_t *self, uint64_t peer, int64_t now_ms);
/* Pushes to the worker; what its socket does not take at once is kept and sent when it does. */
int sockets_push(sockets_t *self, uint64_t peer, const msg_t *msg, doc_t *payload);
/* Publishes on events. */
void sockets_publish(sockets_t *self, const msg_t *msg);

/* Waits for a message, for room in a worker's socket that has a backlog, or for `fd`; at most `timeout_ms`
 * (-1: no end). Sends backlogs. Returns whether `fd` is readable. */
bool sockets_wait(sockets_t *self, int fd, long timeout_ms);
/* The same for control and `fd` alone. */
bool sockets_wait_control(sockets_t *self, int fd, long timeout_ms);

#endif
