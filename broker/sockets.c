#include "broker/sockets.h"

#include <czmq.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/worker_sockets.h"
#include "common/clock.h"
#include "common/err.h"

#define CONTROL_HWM      1000
#define PORT_TASKS       1
#define PORT_RESULTS     2
#define PORT_EVENTS      3
#define PORT_WORKERS     8
#define BACKLOG_POLL_MAX 64

struct sockets_t {
    zsock_t *sources[FROM_COUNT];
    zsock_t *events;
    char *runtime_dir;
    worker_sockets_t workers;
};

static int fail(char *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fail(char *why, int err, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, SOCKETS_WHY_MAX, fmt, args);
    va_end(args);
    return err;
}

/* Splits tcp://HOST:PORT; the configuration has checked its form. */
static bool split_tcp(const char *bind, char *host, size_t size, int *port) {
    const char *rest = bind + sizeof "tcp://" - 1, *colon = strrchr(rest, ':');
    if (!colon || (size_t)(colon - rest) >= size) return false;
    memcpy(host, rest, (size_t)(colon - rest));
    host[colon - rest] = '\0';
    *port = (int)strtol(colon + 1, NULL, 10);
    return *port > 0;
}

static int bind_one(sockets_t *self, zsock_t **socket, int type, const char *name, int port, char *why) {
    *socket = zsock_new(type);
    if (!*socket) return fail(why, ERR_NOMEM, "out of memory or sockets");
    zsock_set_linger(*socket, PROTOCOL_LINGER_MS);
    zsock_set_maxmsgsize(*socket, type == ZMQ_ROUTER ? MSG_CONTROL_MAX : (int)MSG_WIRE_MAX);
    zsock_set_handshake_ivl(*socket, PROTOCOL_HANDSHAKE_MS);
    int mark = type == ZMQ_PULL ? PROTOCOL_HWM : CONTROL_HWM;
    zsock_set_rcvhwm(*socket, mark);
    zsock_set_sndhwm(*socket, mark);
    if (type == ZMQ_ROUTER) {
        zsock_set_router_mandatory(*socket, 1);
        zsock_set_router_handover(*socket, 1);
    }
    char endpoint[512];
    if (self->runtime_dir)
        (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/%s", self->runtime_dir, name);
    else
        (void)snprintf(endpoint, sizeof endpoint, "tcp://%s:%d", self->workers.host, port);
    if (zsock_bind(*socket, "%s", endpoint) == -1)
        return fail(why, ERR_IO, "cannot listen on %s: %s", endpoint, zmq_strerror(zmq_errno()));
    if (self->runtime_dir && socket_share(endpoint) != 0)
        return fail(why, ERR_IO, "cannot let the group of %s use %s: %s", self->runtime_dir, endpoint,
                    strerror(errno));
    return 0;
}

int sockets_open(const char *bind, const char *runtime_dir, int worker_ports, sockets_t **out,
                 char why[SOCKETS_WHY_MAX]) {
    sockets_t *self = calloc(1, sizeof *self);
    if (!self) return fail(why, ERR_NOMEM, "out of memory");
    int port = 0, err = 0;
    if (bind[0] == '\0') {
        self->runtime_dir = strdup(runtime_dir);
        self->workers.runtime_dir = self->runtime_dir;
    } else {
        if (!split_tcp(bind, self->workers.host, sizeof self->workers.host, &port))
            err = fail(why, ERR_INVALID, "--bind %s must be tcp://HOST:PORT", bind);
        self->workers.first_port = port + PORT_WORKERS;
        self->workers.ports = worker_ports;
        self->workers.rests_until = calloc((size_t)worker_ports + 1, sizeof(int64_t));
    }
    if (!err && !self->runtime_dir && !self->workers.rests_until) err = fail(why, ERR_NOMEM, "out of memory");
    if (!err) err = bind_one(self, &self->sources[FROM_CONTROL], ZMQ_ROUTER, "control", port, why);
    if (!err) err = bind_one(self, &self->sources[FROM_TASKS], ZMQ_PULL, "tasks-in", port + PORT_TASKS, why);
    if (!err)
        err = bind_one(self, &self->sources[FROM_RESULTS], ZMQ_PULL, "results-in", port + PORT_RESULTS, why);
    if (!err) err = bind_one(self, &self->events, ZMQ_PUB, "events", port + PORT_EVENTS, why);
    if (err)
        sockets_close(&self);
    else
        *out = self;
    return err;
}

void sockets_close(sockets_t **self) {
    if (!*self) return;
    worker_sockets_clear(&(*self)->workers);
    for (int i = 0; i < FROM_COUNT; i++)
        zsock_destroy(&(*self)->sources[i]);
    zsock_destroy(&(*self)->events);
    free((*self)->runtime_dir);
    free(*self);
    *self = NULL;
}

/* --- receiving --- */

static bool receive_part(void *raw, zmq_msg_t *part, bool *more) {
    (void)zmq_msg_init(part);
    if (zmq_msg_recv(part, raw, ZMQ_DONTWAIT) == -1) {
        (void)zmq_msg_close(part);
        return false;
    }
    *more = zmq_msg_more(part) != 0;
    return true;
}

static uint64_t peer_of(zmq_msg_t *identity) {
    if (zmq_msg_size(identity) != 8) return 0;
    uint64_t peer = 0;
    const unsigned char *bytes = zmq_msg_data(identity);
    for (int i = 0; i < 8; i++)
        peer = peer << 8 | bytes[i];
    return peer;
}

bool sockets_receive(sockets_t *self, source_t source, received_t *got) {
    void *raw = zsock_resolve(self->sources[source]);
    bool more = false;
    memset(got, 0, sizeof *got);
    (void)zmq_msg_init(&got->identity);
    (void)zmq_msg_init(&got->header);
    (void)zmq_msg_init(&got->payload);
    if (source == FROM_CONTROL) {
        if (!receive_part(raw, &got->identity, &more)) return false;
        got->peer = peer_of(&got->identity);
        if (!more) return true; /* no header: refused as malformed */
    }
    if (!receive_part(raw, &got->header, &more)) return false;
    if (more) got->has_payload = receive_part(raw, &got->payload, &more);
    while (more) {
        zmq_msg_t extra;
        if (!receive_part(raw, &extra, &more)) break;
        (void)zmq_msg_close(&extra);
        got->extra++;
    }
    return true;
}

void sockets_done(received_t *got) {
    (void)zmq_msg_close(&got->identity);
    (void)zmq_msg_close(&got->header);
    (void)zmq_msg_close(&got->payload);
}

/* --- sending --- */

static void free_bytes(void *data, void *hint) {
    (void)hint;
    free(data);
}

/* The encoded message as a frame that owns its bytes. */
static int header_frame(const msg_t *msg, zmq_msg_t *frame) {
    char *bytes;
    size_t size;
    int err = msg_encode(msg, &bytes, &size);
    if (err) return err;
    if (zmq_msg_init_data(frame, bytes, size, free_bytes, NULL) != 0) {
        free(bytes);
        return ERR_NOMEM;
    }
    return 0;
}

static int send_frame(void *raw, zmq_msg_t *frame, int flags) {
    if (zmq_msg_send(frame, raw, flags | ZMQ_DONTWAIT) != -1) return 0;
    (void)zmq_msg_close(frame);
    return zmq_errno() == EAGAIN ? ERR_FULL : ERR_NOT_FOUND;
}

static int send_to(sockets_t *self, const void *identity, size_t size, const msg_t *msg, doc_t *payload) {
    void *raw = zsock_resolve(self->sources[FROM_CONTROL]);
    zmq_msg_t to, header, body;
    int err = header_frame(msg, &header);
    if (err) return err;
    if (zmq_msg_init_size(&to, size) != 0) {
        (void)zmq_msg_close(&header);
        return ERR_NOMEM;
    }
    memcpy(zmq_msg_data(&to), identity, size);
    if (payload)
        err = doc_share(payload, &body); /* before anything is sent: a message goes whole or not at all */
    if (!err) err = send_frame(raw, &to, ZMQ_SNDMORE);
    if (err)
        (void)zmq_msg_close(&header);
    else
        err = send_frame(raw, &header, payload ? ZMQ_SNDMORE : 0);
    if (!err && payload) return send_frame(raw, &body, 0);
    if (payload) (void)zmq_msg_close(&body);
    return err;
}

void sockets_answer(sockets_t *self, received_t *to, const msg_t *msg, doc_t *payload) {
    (void)send_to(self, zmq_msg_data(&to->identity), zmq_msg_size(&to->identity), msg, payload);
}

int sockets_control(sockets_t *self, uint64_t peer, const msg_t *msg) {
    unsigned char identity[8];
    for (int i = 0; i < 8; i++)
        identity[i] = (unsigned char)(peer >> (56 - 8 * i));
    return send_to(self, identity, sizeof identity, msg, NULL);
}

int sockets_worker_open(sockets_t *self, uint64_t peer, uint64_t session, uint16_t slots,
                        const char **endpoint) {
    return worker_sockets_open(&self->workers, peer, session, slots, clock_boot_ms(), endpoint);
}

void sockets_worker_close(sockets_t *self, uint64_t peer, int64_t now_ms) {
    worker_sockets_close(&self->workers, peer, now_ms);
}

int sockets_push(sockets_t *self, uint64_t peer, const msg_t *msg, doc_t *payload) {
    worker_socket_t *socket = worker_sockets_find(&self->workers, peer);
    if (!socket) return ERR_NOT_FOUND;
    zmq_msg_t header, body;
    int err = header_frame(msg, &header);
    if (err) return err;
    err = doc_share(payload, &body);
    if (err) {
        (void)zmq_msg_close(&header);
        return err;
    }
    return worker_socket_send(socket, &header, &body);
}

void sockets_publish(sockets_t *self, const msg_t *msg) {
    zmq_msg_t header;
    if (header_frame(msg, &header) == 0) (void)send_frame(zsock_resolve(self->events), &header, 0);
}

bool sockets_wait(sockets_t *self, int fd, long timeout_ms) {
    zmq_pollitem_t items[FROM_COUNT + 1 + BACKLOG_POLL_MAX];
    worker_socket_t *behind[BACKLOG_POLL_MAX];
    int count = 0, backlogs = 0;
    for (int i = 0; i < FROM_COUNT; i++)
        items[count++] = (zmq_pollitem_t){zsock_resolve(self->sources[i]), 0, ZMQ_POLLIN, 0};
    items[count++] = (zmq_pollitem_t){NULL, fd, ZMQ_POLLIN, 0};
    for (worker_socket_t *s = self->workers.list; s && backlogs < BACKLOG_POLL_MAX; s = s->next) {
        if (!s->first) continue;
        behind[backlogs++] = s;
        items[count++] = (zmq_pollitem_t){zsock_resolve(s->push), 0, ZMQ_POLLOUT, 0};
    }
    if (zmq_poll(items, count, timeout_ms) <= 0) return false;
    for (int i = 0; i < backlogs; i++)
        if (items[FROM_COUNT + 1 + i].revents & ZMQ_POLLOUT) worker_socket_flush(behind[i]);
    return (items[FROM_COUNT].revents & ZMQ_POLLIN) != 0;
}

bool sockets_wait_control(sockets_t *self, int fd, long timeout_ms) {
    zmq_pollitem_t items[] = {{zsock_resolve(self->sources[FROM_CONTROL]), 0, ZMQ_POLLIN, 0},
                              {NULL, fd, ZMQ_POLLIN, 0}};
    return zmq_poll(items, 2, timeout_ms) > 0 && (items[1].revents & ZMQ_POLLIN) != 0;
}
