#include "broker/worker_sockets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/sockets.h"
#include "broker/zap.h"
#include "common/dirs.h"
#include "common/err.h"
#include "common/link_wire.h"

worker_socket_t *worker_sockets_find(worker_sockets_t *self, uint64_t peer) {
    for (worker_socket_t *s = self->list; s; s = s->next)
        if (s->peer == peer) return s;
    return NULL;
}

static int free_port(worker_sockets_t *self, int64_t now_ms) {
    for (int i = 0; i < self->ports; i++)
        if (self->rests_until[i] <= now_ms) return i;
    return -1;
}

void *socket_new(int type, int mark, int largest) {
    void *socket = zmq_socket(zsys_init(), type);
    if (!socket) return NULL;
    zsock_set_linger(socket, PROTOCOL_LINGER_MS);
    zsock_set_sndhwm(socket, mark);
    zsock_set_rcvhwm(socket, mark);
    zsock_set_maxmsgsize(socket, largest);
    zsock_set_handshake_ivl(socket, PROTOCOL_HANDSHAKE_MS);
    zsock_set_tcp_maxrt(socket, PROTOCOL_TCP_DEAD_MS);
    return socket;
}

bool socket_secure(void *socket, const char *host, const key_pair_t *key, const char *domain) {
    int on = 1;
    if (host[0] == '[' && zmq_setsockopt(socket, ZMQ_IPV6, &on, sizeof on) != 0) return false;
    return !key || (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &on, sizeof on) == 0 &&
                    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key->secret_key, KEY_BYTES) == 0 &&
                    zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain)) == 0);
}

int socket_share(const char *endpoint) {
    const char *path = endpoint + sizeof "ipc://" - 1;
    return dirs_shared(path) && chmod(path, 0660) != 0 ? ERR_IO : 0;
}

/* Names an endpoint and binds to it; tcp tries further ports when another program has one. */
static int bind_somewhere(worker_sockets_t *self, worker_socket_t *s, const worker_wish_t *wish,
                          int64_t now_ms) {
    char domain[ZAP_DOMAIN_MAX];
    s->port = -1;
    if (!wish->tcp || !self->host[0]) {
        (void)snprintf(s->endpoint, sizeof s->endpoint, "ipc://%s/worker-%" PRIu64, self->runtime_dir,
                       wish->session);
        if (zmq_bind(s->push, s->endpoint) == -1) return ERR_IO;
        return wish->shared ? socket_share(s->endpoint) : 0;
    }
    if (self->key && !wish->user) return ERR_STATE; /* its key was revoked meanwhile */
    (void)snprintf(domain, sizeof domain, "worker:%s", wish->user ? wish->user : "");
    if (!socket_secure(s->push, self->host, self->key, domain)) return ERR_IO;
    for (;;) {
        int port = free_port(self, now_ms);
        if (port < 0) return ERR_FULL;
        self->rests_until[port] = now_ms + PORT_REST_MS;
        (void)snprintf(s->endpoint, sizeof s->endpoint, "tcp://%s:%d", self->host, self->first_port + port);
        if (zmq_bind(s->push, s->endpoint) == -1) continue;
        self->rests_until[port] = INT64_MAX;
        s->port = port;
        return 0;
    }
}

/* After a cut the repeats of a HELLO come all at once, and each begins a session. A port for each, which then
 * rests, would use up the range: a socket by which nothing went yet serves the next session as well. */
static bool serves_again(const worker_socket_t *s, const worker_wish_t *wish) {
    return s && s->port >= 0 && !s->used && wish->tcp && s->slots == wish->slots &&
           strcmp(s->user, wish->user ? wish->user : "") == 0;
}

int worker_sockets_open(worker_sockets_t *self, const worker_wish_t *wish, int64_t now_ms,
                        const char **endpoint) {
    worker_socket_t *former = worker_sockets_find(self, wish->peer);
    if (serves_again(former, wish)) {
        *endpoint = former->endpoint;
        return 0;
    }
    worker_sockets_close(self, wish->peer, now_ms);
    worker_socket_t *s = calloc(1, sizeof *s);
    if (!s) return ERR_NOMEM;
    s->peer = wish->peer;
    s->slots = wish->slots;
    (void)snprintf(s->user, sizeof s->user, "%s", wish->user ? wish->user : "");
    s->last = &s->first;
    s->push = socket_new(ZMQ_PUSH, wish->slots ? wish->slots : 1, (int)MSG_WIRE_MAX);
    int err = s->push ? bind_somewhere(self, s, wish, now_ms) : ERR_FULL;
    if (err) {
        wire_close(&s->push);
        free(s);
        return err;
    }
    s->next = self->list;
    self->list = s;
    *endpoint = s->endpoint;
    return 0;
}

static void drop_waiting(worker_socket_t *s, waiting_t **at) {
    waiting_t *waiting = *at;
    *at = waiting->next;
    if (s->last == &waiting->next) s->last = at;
    (void)zmq_msg_close(&waiting->header);
    (void)zmq_msg_close(&waiting->payload);
    free(waiting);
}

static void drop_first(worker_socket_t *s) {
    drop_waiting(s, &s->first);
}

static void socket_free(worker_sockets_t *self, worker_socket_t *s, int64_t now_ms) {
    while (s->first)
        drop_first(s);
    if (s->port >= 0) self->rests_until[s->port] = now_ms + PORT_REST_MS;
    zsock_set_linger(s->push, 0); /* its session is over: what is queued is stale */
    wire_close(&s->push);
    if (strncmp(s->endpoint, "ipc://", 6) == 0) (void)unlink(s->endpoint + sizeof "ipc://" - 1);
    free(s);
}

void worker_sockets_close(worker_sockets_t *self, uint64_t peer, int64_t now_ms) {
    for (worker_socket_t **at = &self->list; *at; at = &(*at)->next) {
        worker_socket_t *s = *at;
        if (s->peer != peer) continue;
        *at = s->next;
        socket_free(self, s, now_ms);
        return;
    }
}

void worker_sockets_clear(worker_sockets_t *self) {
    while (self->list)
        worker_sockets_close(self, self->list->peer, 0);
    free(self->rests_until);
    self->rests_until = NULL;
}

static bool try_send(worker_socket_t *s, zmq_msg_t *header, zmq_msg_t *payload) {
    if (zmq_msg_send(header, s->push, ZMQ_DONTWAIT | ZMQ_SNDMORE) == -1) return false;
    /* once the first part is taken the rest never waits */
    if (zmq_msg_send(payload, s->push, ZMQ_DONTWAIT) == -1) (void)zmq_msg_close(payload);
    return true;
}

int worker_socket_send(worker_socket_t *s, uint64_t number, zmq_msg_t *header, zmq_msg_t *payload) {
    s->used = true;
    if (!s->first && try_send(s, header, payload)) return 0;
    waiting_t *waiting = malloc(sizeof *waiting);
    if (!waiting) {
        (void)zmq_msg_close(header);
        (void)zmq_msg_close(payload);
        return ERR_NOMEM;
    }
    (void)zmq_msg_init(&waiting->header);
    (void)zmq_msg_init(&waiting->payload);
    (void)zmq_msg_move(&waiting->header, header);
    (void)zmq_msg_move(&waiting->payload, payload);
    (void)zmq_msg_close(header);
    (void)zmq_msg_close(payload);
    waiting->number = number;
    waiting->next = NULL;
    *s->last = waiting;
    s->last = &waiting->next;
    return 0;
}

void worker_socket_drop(worker_socket_t *s, uint64_t number) {
    for (waiting_t **at = &s->first; *at;) {
        if ((*at)->number == number)
            drop_waiting(s, at);
        else
            at = &(*at)->next;
    }
}

void worker_socket_flush(worker_socket_t *s) {
    while (s->first && try_send(s, &s->first->header, &s->first->payload))
        drop_first(s);
}
