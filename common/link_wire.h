/* The sockets under a link (link.c): options, endpoints, monitors, and one message in or out. Knows no
 * session. */
#ifndef SLUICE_COMMON_LINK_WIRE_H
#define SLUICE_COMMON_LINK_WIRE_H

#include <czmq.h>
#include <stdbool.h>

#include "common/messages.h"

#define WIRE_ENDPOINT_MAX 320

/* A socket that is read. Its descriptor becomes readable once for several messages, and any use of the socket
 * may take that away: `unread` stays true from then on until a receive has found nothing. */
typedef struct {
    void *socket; /* NULL: none */
    int fd;
    bool unread;
} inlet_t;

/* Takes over the socket; false when there is none, or no descriptor of it. */
bool inlet_open(inlet_t *self, void *socket);
/* Closes the socket, if there is one. */
void inlet_close(inlet_t *self);

/* What a monitor tells. */
typedef enum { WIRE_NOTHING, WIRE_CONNECTED, WIRE_DISCONNECTED } wire_event_t;

/* Whether `base` is "ipc://DIR" or "tcp://HOST:PORT" on a loopback address; else NULL is not returned but a
 * text that says what would be right. NULL: it is fine. */
const char *wire_base_fault(const char *base);
/* The endpoint of a socket: "BASE/NAME" under ipc, the port raised by `offset` under tcp. `base` was checked.
 */
void wire_endpoint(const char *base, const char *name, unsigned offset, char buf[WIRE_ENDPOINT_MAX]);

/* A socket with the options of the protocol. `identity` (8 octets) may be NULL. NULL on failure. */
void *wire_socket(void *context, int type, int high_water, const void *identity);
/* Closes and nulls. Accepts a pointer to NULL. */
void wire_close(void **socket);

/* A PAIR that tells of the socket's connections. `serial` makes its address unique in the context. */
void *wire_monitor(void *context, void *socket, unsigned serial);
/* The next event, WIRE_NOTHING when there is none. */
wire_event_t wire_event(inlet_t *monitor);

/* Sends without blocking; `payload` is copied, and NULL for a type without one. ERR_FULL, ERR_NOMEM,
 * ERR_INVALID. */
int wire_send(void *socket, const msg_t *msg, const void *payload, size_t payload_bytes);
/* Receives without blocking. ERR_NOT_FOUND: nothing there. ERR_MALFORMED: more than two frames. *payload is
 * NULL when there is none. The caller owns both frames after success. */
int wire_recv(inlet_t *self, zmq_msg_t *header, zframe_t **payload);

#endif
