#include "broker/sockets.h"

#include <arpa/inet.h>
#include <czmq.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/zap.h"
#include "common/clock.h"
#include "common/dirs.h"
#include "common/err.h"
#include "common/link_wire.h"
#include "common/log.h"

#define CONTROL_HWM       1000
#define PORT_TASKS        1
#define PORT_RESULTS      2
#define PORT_EVENTS       3
#define PORT_WORKERS      8
#define BACKLOG_POLL_MAX  64
#define DOOR_MAX          2
#define HANDSHAKE_TOLD_MS 60000
#define RENEW_TRIES       2000 /* a millisecond apart */

struct sockets_t {
    void *sources[FROM_COUNT];
    bool unread[FROM_COUNT]; /* libzmq tells of news once: until a receive has found nothing, there may be
                                some */
    void *events;
    char *runtime_dir;
    int port;    /* of control under tcp; 0: ipc alone */
    bool shared; /* the group may use the runtime directory: executors of another user */
    key_pair_t key;
    zap_t *zap;      /* NULL: nothing is encrypted */
    inlet_t monitor; /* of handshakes with control, which fail in silence */
    int64_t handshake_told_ms;
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

/* Binds to tcp as well. What is set before holds for what is bound after, so that ipc stays as it is. */
static int bind_tcp(sockets_t *self, void *socket, const char *name, int offset, char *why) {
    const key_pair_t *key = self->workers.key;
    if (!socket_secure(socket, self->workers.host, key, name))
        return fail(why, ERR_IO, "cannot encrypt %s: %s", name, zmq_strerror(zmq_errno()));
    char endpoint[256];
    (void)snprintf(endpoint, sizeof endpoint, "tcp://%s:%d", self->workers.host, self->port + offset);
    if (zmq_bind(socket, endpoint) == -1)
        return fail(why, ERR_IO, "cannot listen on %s: %s", endpoint, zmq_strerror(zmq_errno()));
    return 0;
}

static int bind_one(sockets_t *self, void **socket, int type, const char *name, int offset, char *why) {
    *socket = socket_new(type, type == ZMQ_PULL ? PROTOCOL_HWM : CONTROL_HWM,
                         type == ZMQ_ROUTER ? MSG_CONTROL_MAX : (int)MSG_WIRE_MAX);
    if (!*socket) return fail(why, ERR_IO, "no more sockets: %s", zmq_strerror(zmq_errno()));
    if (type == ZMQ_ROUTER) {
        zsock_set_router_mandatory(*socket, 1);
        zsock_set_router_handover(*socket, 1);
    }
    /* before anybody can knock */
    if (type == ZMQ_ROUTER && self->zap && !inlet_open(&self->monitor, wire_monitor(zsys_init(), *socket, 0)))
        return fail(why, ERR_NOMEM, "no monitor of the control socket");
    char endpoint[512];
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/%s", self->runtime_dir, name);
    if (zmq_bind(*socket, endpoint) == -1)
        return fail(why, ERR_IO, "cannot listen on %s: %s", endpoint, zmq_strerror(zmq_errno()));
    bool for_executors = type == ZMQ_ROUTER || offset == PORT_RESULTS;
    self->shared = dirs_shared(endpoint + sizeof "ipc://" - 1);
    if (for_executors && socket_share(endpoint) != 0)
        return fail(why, ERR_IO, "cannot let the group of %s use %s: %s", self->runtime_dir, endpoint,
                    strerror(errno));
    /* fetchers share this machine: with keys, nobody has anything to bring there from another */
    if (self->port == 0 || (self->workers.key && offset == PORT_TASKS)) return 0;
    return bind_tcp(self, *socket, name, offset, why);
}

static int prepare_tcp(sockets_t *self, const sockets_options_t *options, char *why) {
    if (!split_tcp(options->bind, self->workers.host, sizeof self->workers.host, &self->port))
        return fail(why, ERR_INVALID, "--bind %s must be tcp://HOST:PORT", options->bind);
    self->workers.first_port = self->port + PORT_WORKERS;
    self->workers.ports = options->worker_ports;
    self->workers.rests_until = calloc((size_t)options->worker_ports + 1, sizeof(int64_t));
    if (!self->workers.rests_until) return fail(why, ERR_NOMEM, "out of memory");
    if (!options->key) return 0;
    self->key = *options->key;
    self->workers.key = &self->key;
    self->zap = zap_new(options->keyring);
    return self->zap ? 0 : fail(why, ERR_NOMEM, "no socket to ask for keys: %s", zmq_strerror(zmq_errno()));
}

int sockets_open(const sockets_options_t *options, sockets_t **out, char why[SOCKETS_WHY_MAX]) {
    sockets_t *self = calloc(1, sizeof *self);
    if (!self) return fail(why, ERR_NOMEM, "out of memory");
    int err = 0;
    self->runtime_dir = strdup(options->runtime_dir);
    self->workers.runtime_dir = self->runtime_dir;
    if (!self->runtime_dir) err = fail(why, ERR_NOMEM, "out of memory");
    if (!err && options->bind[0]) err = prepare_tcp(self, options, why);
    if (!err) err = bind_one(self, &self->sources[FROM_CONTROL], ZMQ_ROUTER, "control", 0, why);
    if (!err) err = bind_one(self, &self->sources[FROM_TASKS], ZMQ_PULL, "tasks-in", PORT_TASKS, why);
    if (!err) err = bind_one(self, &self->sources[FROM_RESULTS], ZMQ_PULL, "results-in", PORT_RESULTS, why);
    if (!err) err = bind_one(self, &self->events, ZMQ_PUB, "events", PORT_EVENTS, why);
    for (int i = 0; i < FROM_COUNT; i++)
        self->unread[i] = true;
    if (err)
        sockets_close(&self);
    else
        *out = self;
    return err;
}

void sockets_close(sockets_t **self) {
    if (!*self) return;
    worker_sockets_clear(&(*self)->workers);
    if ((*self)->monitor.socket) (void)zmq_socket_monitor((*self)->sources[FROM_CONTROL], NULL, 0);
    inlet_close(&(*self)->monitor);
    for (int i = 0; i < FROM_COUNT; i++)
        wire_close(&(*self)->sources[i]);
    wire_close(&(*self)->events);
    zap_destroy(&(*self)->zap);
    key_wipe(&(*self)->key, sizeof(*self)->key);
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

/* "NAME:UID:GID:PID" */
bool sockets_uid(const char *address, uint32_t *uid) {
    const char *at = address ? address + strlen(address) : NULL;
    for (int colons = 0; at && colons < 3; colons++) {
        do
            at = at > address ? at - 1 : NULL;
        while (at && *at != ':');
    }
    char *end;
    unsigned long value = at ? strtoul(at + 1, &end, 10) : 0;
    if (!at || end == at + 1 || *end != ':' || value > UINT32_MAX) return false;
    *uid = (uint32_t)value;
    return true;
}

bool sockets_address(const char *address) {
    char plain[INET6_ADDRSTRLEN];
    unsigned char parsed[16];
    size_t len = address ? strcspn(address, "%") : 0; /* the zone of a link-local one */
    if (len == 0 || len >= sizeof plain) return false;
    memcpy(plain, address, len);
    plain[len] = '\0';
    return inet_pton(AF_INET, plain, parsed) == 1 || inet_pton(AF_INET6, plain, parsed) == 1;
}

/* By which connection it came. ZeroMQ names the address of a tcp peer, and the process of one by ipc; a peer
 * by ipc may give itself a User-Id, so that nothing is believed of it in a directory that others may use. */
static void look_at_peer(const sockets_t *self, received_t *got) {
    const char *address = zmq_msg_gets(&got->header, "Peer-Address");
    got->user = zmq_msg_gets(&got->header, "User-Id");
    got->by_tcp = sockets_address(address);
    if (got->by_tcp || !self->shared) return;
    if (!sockets_uid(address, &got->uid)) got->uid = SOCKETS_NOBODY;
    got->by_other = got->uid != 0 && got->uid != geteuid();
}

bool sockets_receive(sockets_t *self, source_t source, received_t *got) {
    void *raw = self->sources[source];
    bool more = false;
    memset(got, 0, sizeof *got);
    (void)zmq_msg_init(&got->identity);
    (void)zmq_msg_init(&got->header);
    (void)zmq_msg_init(&got->payload);
    if (!self->unread[source]) return false;
    if (!receive_part(raw, source == FROM_CONTROL ? &got->identity : &got->header, &more)) {
        if (zmq_errno() != EINTR) self->unread[source] = false;
        return false;
    }
    if (source == FROM_CONTROL) {
        got->peer = peer_of(&got->identity);
        if (!more) return true; /* no header: refused as malformed */
        if (!receive_part(raw, &got->header, &more)) return false;
    }
    if (self->port > 0 || self->shared) look_at_peer(self, got);
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
    void *raw = self->sources[FROM_CONTROL];
    self->unread[FROM_CONTROL] = true; /* sending may take in news unnoticed */
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

int sockets_worker_open(sockets_t *self, const worker_wish_t *wish, const char **endpoint) {
    return worker_sockets_open(&self->workers, wish, clock_boot_ms(), endpoint);
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
    return worker_socket_send(socket, msg->task.number, &header, &body);
}

void sockets_unpush(sockets_t *self, uint64_t peer, uint64_t number) {
    worker_socket_t *socket = worker_sockets_find(&self->workers, peer);
    if (socket) worker_socket_drop(socket, number);
}

void sockets_publish(sockets_t *self, const msg_t *msg) {
    zmq_msg_t header;
    if (header_frame(msg, &header) == 0) (void)send_frame(self->events, &header, 0);
}

/* What libzmq has for us by now; it takes in what its descriptor has told. Interrupted in that it does not
 * know, and there may be something. */
static bool has(void *socket, int event) {
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) != 0 || (events & event) != 0;
}

/* Sends backlogs as far as they go; whether any is left. */
static bool flush(sockets_t *self) {
    bool left = false;
    for (worker_socket_t *s = self->workers.list; s; s = s->next) {
        if (s->first && has(s->push, ZMQ_POLLOUT)) worker_socket_flush(s);
        left = left || s->first;
    }
    return left;
}

/* libzmq ends the former listener in a thread of its own: for a moment its port may still be taken. */
int sockets_renew_events(sockets_t *self) {
    char why[SOCKETS_WHY_MAX];
    const struct timespec pause = {.tv_nsec = 1000000};
    int err = ERR_IO;
    if (self->events) zsock_set_linger(self->events, 0);
    for (int i = 0; i < RENEW_TRIES && err == ERR_IO; i++) {
        wire_close(&self->events);
        if (i > 0) (void)nanosleep(&pause, NULL);
        err = bind_one(self, &self->events, ZMQ_PUB, "events", PORT_EVENTS, why);
    }
    return err;
}

/* Those who knock: their keys, and their handshakes that fail before a key is seen. */
static void serve_door(sockets_t *self) {
    int64_t now_ms = clock_boot_ms();
    zap_turn(self->zap, now_ms);
    for (wire_event_t event; (event = wire_event(&self->monitor)) != WIRE_NOTHING;) {
        if (event != WIRE_NO_HANDSHAKE && event != WIRE_OTHER_SECURITY) continue;
        if (self->handshake_told_ms && now_ms - self->handshake_told_ms < HANDSHAKE_TOLD_MS) continue;
        self->handshake_told_ms = now_ms;
        log_warn("handshake_failed", "socket=control why=\"%s\"",
                 event == WIRE_OTHER_SECURITY ? "the peer speaks another protocol, or has another brokerKey"
                                              : "the connection ended in the middle");
    }
}

/* The sockets behind which those wait who connect: at most DOOR_MAX. */
static int door_of(sockets_t *self, inlet_t *door[DOOR_MAX]) {
    if (!self->zap) return 0;
    door[0] = zap_inlet(self->zap);
    door[1] = &self->monitor;
    return DOOR_MAX;
}

/* Whether nothing is known to have come from the sources up to `last`, nor at the door. */
static bool is_quiet(sockets_t *self, source_t last) {
    bool quiet = !self->zap || !(zap_inlet(self->zap)->unread || self->monitor.unread);
    for (source_t i = 0; i <= last; i++) {
        if (self->unread[i]) self->unread[i] = has(self->sources[i], ZMQ_POLLIN);
        quiet = quiet && !self->unread[i];
    }
    return quiet;
}

static unsigned wait_for(sockets_t *self, source_t last, const int *fds, int fd_count, long timeout_ms,
                         bool backlog) {
    struct pollfd polled[SOCKETS_FDS_MAX + FROM_COUNT + DOOR_MAX + BACKLOG_POLL_MAX];
    inlet_t *door[DOOR_MAX];
    int count = 0, first_source = fd_count, first_door = fd_count + (int)last + 1;
    int doors = door_of(self, door), rest = first_door + doors;
    unsigned readable = 0;
    for (; count < fd_count; count++)
        polled[count] = (struct pollfd){.fd = fds[count], .events = POLLIN};
    for (; count < first_door; count++)
        polled[count] =
            (struct pollfd){.fd = zsock_fd(self->sources[count - first_source]), .events = POLLIN};
    for (; count < rest; count++)
        polled[count] = (struct pollfd){.fd = door[count - first_door]->fd, .events = POLLIN};
    for (worker_socket_t *s = backlog ? self->workers.list : NULL; s && count < rest + BACKLOG_POLL_MAX;
         s = s->next)
        if (s->first) polled[count++] = (struct pollfd){.fd = zsock_fd(s->push), .events = POLLIN};
    bool any = poll(polled, (nfds_t)count, is_quiet(self, last) ? (int)timeout_ms : 0) > 0;
    for (int i = 0; any && i < rest; i++) {
        if (i < first_source)
            readable |= polled[i].revents & POLLIN ? 1u << i : 0;
        else if (polled[i].revents && i < first_door)
            self->unread[i - first_source] = true;
        else if (polled[i].revents)
            door[i - first_door]->unread = true;
    }
    if (self->zap) serve_door(self);
    return readable;
}

unsigned sockets_wait(sockets_t *self, const int *fds, int count, long timeout_ms) {
    bool backlog = flush(self);
    unsigned readable = wait_for(self, FROM_COUNT - 1, fds, count, timeout_ms, backlog);
    if (backlog) (void)flush(self);
    return readable;
}

bool sockets_wait_control(sockets_t *self, int fd, long timeout_ms) {
    return wait_for(self, FROM_CONTROL, &fd, 1, timeout_ms, false) != 0;
}
