#include "common/link_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/crash_point.h"
#include "common/err.h"

#define RECONNECT_MS        50
#define RECONNECT_MAX_MS    100
#define CONNECT_TIMEOUT_MS  2000
#define KEEPALIVE_IDLE_S    5
#define KEEPALIVE_EVERY_S   2
#define KEEPALIVE_TRIES     3
#define MONITOR_EVENT_BYTES 6

bool wire_is_loopback(const char *host, size_t len) {
    char text[INET_ADDRSTRLEN];
    struct in_addr v4;
    if (len >= sizeof text) return false;
    memcpy(text, host, len);
    text[len] = '\0';
    return (inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127) ||
           strcmp(text, "localhost") == 0 || strcmp(text, "[::1]") == 0;
}

const char *wire_base_fault(const char *base, bool encrypted) {
    if (strlen(base) > WIRE_ENDPOINT_MAX - 32) return "the broker's endpoint is too long";
    if (strncmp(base, "ipc://", 6) == 0)
        return base[6] ? NULL : "the broker's endpoint wants a directory: ipc://DIR";
    const char *colon = strrchr(base, ':');
    if (strncmp(base, "tcp://", 6) != 0 || colon <= base + 6)
        return "the broker's endpoint must be ipc://DIR or tcp://HOST:PORT";
    char *end;
    long port = strtol(colon + 1, &end, 10);
    if (*end || end == colon + 1 || port < 1 || port > 65000)
        return "the broker's endpoint wants a port of 1 to 65000: tcp://HOST:PORT";
    if (!encrypted && !wire_is_loopback(base + 6, (size_t)(colon - base) - 6))
        return "plain tcp to the broker is for loopback addresses only";
    return NULL;
}

void wire_endpoint(const char *base, const char *name, unsigned offset, char buf[WIRE_ENDPOINT_MAX]) {
    if (strncmp(base, "ipc://", 6) == 0) {
        snprintf(buf, WIRE_ENDPOINT_MAX, "%s/%s", base, name);
        return;
    }
    const char *colon = strrchr(base, ':');
    snprintf(buf, WIRE_ENDPOINT_MAX, "%.*s:%lu", (int)(colon - base), base,
             strtoul(colon + 1, NULL, 10) + offset);
}

void wire_worker_endpoint(const char *base, const char *endpoint, char buf[WIRE_ENDPOINT_MAX]) {
    const char *port = strrchr(endpoint, ':'), *colon = strrchr(base, ':');
    if (strncmp(base, "tcp://", 6) == 0 && strncmp(endpoint, "tcp://", 6) == 0 && port && colon)
        snprintf(buf, WIRE_ENDPOINT_MAX, "%.*s%s", (int)(colon - base), base, port);
    else
        snprintf(buf, WIRE_ENDPOINT_MAX, "%s", endpoint);
}

static bool set_int(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

void *wire_socket(void *context, int type, int high_water, const void *identity) {
    int64_t largest = MSG_WIRE_MAX;
    void *socket = zmq_socket(context, type);
    if (!socket) return NULL;
    bool ok = set_int(socket, ZMQ_LINGER, PROTOCOL_LINGER_MS) && set_int(socket, ZMQ_SNDHWM, high_water) &&
              set_int(socket, ZMQ_RCVHWM, high_water) && set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) &&
              set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) &&
              set_int(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS) &&
              /* No ZMTP heartbeats: they would cut the connection of a broker that stands still for a while,
               * and libzmq 4.3.4 aborts when it wakes with that cut and its own high-water mark before it.
               * The application's heartbeat judges; the kernel's finds a tcp peer that has vanished. */
              set_int(socket, ZMQ_TCP_KEEPALIVE, 1) &&
              set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S) &&
              set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EVERY_S) &&
              set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_TRIES) &&
              /* After a longer cut the kernel would wait for minutes until it sends again. */
              set_int(socket, ZMQ_TCP_MAXRT, PROTOCOL_TCP_DEAD_MS) &&
              /* Nothing is queued for a broker that is away: what waits is said anew in the next session. */
              set_int(socket, ZMQ_IMMEDIATE, 1) &&
              zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) == 0 &&
              (!identity || zmq_setsockopt(socket, ZMQ_ROUTING_ID, identity, 8) == 0);
    if (!ok) wire_close(&socket);
    return socket;
}

bool wire_secure(void *socket, const char *endpoint, const link_key_t *key) {
    if (strncmp(endpoint, "tcp://[", 7) == 0 && !set_int(socket, ZMQ_IPV6, 1)) return false;
    return !key || (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, key->broker, KEY_BYTES) == 0 &&
                    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, key->own.public_key, KEY_BYTES) == 0 &&
                    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key->own.secret_key, KEY_BYTES) == 0);
}

void wire_close(void **socket) {
    if (*socket) zmq_close(*socket);
    *socket = NULL;
}

void *wire_monitor(void *context, void *socket, unsigned serial) {
    char address[48];
    snprintf(address, sizeof address, "inproc://monitor-%u", serial);
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    if (zmq_socket_monitor(socket, address, events) != 0) return NULL;
    void *monitor = zmq_socket(context, ZMQ_PAIR);
    /* Without a mark: libzmq's own thread waits for room with the monitored socket locked, for ever when that
     * socket is just being closed. */
    if (monitor && (!set_int(monitor, ZMQ_LINGER, 0) || !set_int(monitor, ZMQ_RCVHWM, 0) ||
                    zmq_connect(monitor, address) != 0))
        wire_close(&monitor);
    return monitor;
}

bool inlet_open(inlet_t *self, void *socket) {
    size_t size = sizeof self->fd;
    *self = (inlet_t){.socket = socket, .fd = -1, .unread = true};
    return socket && zmq_getsockopt(socket, ZMQ_FD, &self->fd, &size) == 0;
}

void inlet_close(inlet_t *self) {
    wire_close(&self->socket);
    *self = (inlet_t){.fd = -1};
}

/* A receive that got nothing: the next news shows at the descriptor. */
static void found_nothing(inlet_t *self) {
    if (zmq_errno() != EINTR) self->unread = false;
}

wire_event_t wire_event(inlet_t *monitor) {
    unsigned char bytes[MONITOR_EVENT_BYTES];
    uint16_t event;
    char address[WIRE_ENDPOINT_MAX];
    while (monitor->unread) {
        int size = zmq_recv(monitor->socket, bytes, sizeof bytes, ZMQ_DONTWAIT);
        if (size < 0) {
            found_nothing(monitor);
            return WIRE_NOTHING;
        }
        (void)zmq_recv(monitor->socket, address, sizeof address, ZMQ_DONTWAIT);
        if (size < MONITOR_EVENT_BYTES) continue;
        memcpy(&event, bytes, sizeof event);
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) return WIRE_CONNECTED;
        if (event == ZMQ_EVENT_DISCONNECTED) return WIRE_DISCONNECTED;
        if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) return WIRE_KEY_REFUSED;
        if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) return WIRE_NO_HANDSHAKE;
        if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) return WIRE_OTHER_SECURITY;
    }
    return WIRE_NOTHING;
}

void wire_refusal(wire_event_t event, const link_key_t *key, char *text, size_t size) {
    char hex[KEY_HEX_SIZE];
    const char *why;
    if (event == WIRE_KEY_REFUSED && key) {
        key_hex(key->own.public_key, hex);
        snprintf(text, size,
                 "handshake failed: the broker does not accept this key; there: sluice key allow %s:%s:%s",
                 key_role_name(key->own.role), key->own.name, hex);
        return;
    }
    if (event == WIRE_OTHER_SECURITY)
        why = key ? "the broker listens there without encryption; it has no key (sluice key new NAME --role "
                    "broker)"
                  : "the broker wants an encrypted link; name its key with --brokerKey, and this program's "
                    "own with "
                    "--key";
    else
        why = key ? "the broker's key is another than --brokerKey says, or no broker listens there"
                  : "no broker of this kind listens there";
    snprintf(text, size, "handshake failed: %s", why);
}

int wire_send(void *socket, const msg_t *msg, const void *payload, size_t payload_bytes) {
    char *header = NULL;
    size_t header_bytes = 0;
    int rc = msg_encode(msg, &header, &header_bytes);
    if (rc != 0) return rc;
    CRASH_POINT_MSG("send", msg->type);
    size_t payload_max;
    bool two = msg_has_payload(msg->type, &payload_max);
    rc = zmq_send(socket, header, header_bytes, ZMQ_DONTWAIT | (two ? ZMQ_SNDMORE : 0)) < 0 ? ERR_FULL : 0;
    free(header);
    if (rc == 0 && two && zmq_send(socket, payload ? payload : "", payload_bytes, ZMQ_DONTWAIT) < 0)
        rc = ERR_FULL;
    CRASH_POINT_MSG("sent", msg->type);
    return rc;
}

/* Drops the frames that no message has. */
static void skip_rest(void *socket) {
    for (bool more = true; more;) {
        zmq_msg_t rest;
        (void)zmq_msg_init(&rest);
        more = zmq_msg_recv(&rest, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&rest) != 0;
        (void)zmq_msg_close(&rest);
    }
}

int wire_recv(inlet_t *self, zmq_msg_t *header, zframe_t **payload) {
    *payload = NULL;
    if (!self->unread) return ERR_NOT_FOUND;
    (void)zmq_msg_init(header);
    if (zmq_msg_recv(header, self->socket, ZMQ_DONTWAIT) < 0) {
        found_nothing(self);
        (void)zmq_msg_close(header);
        return ERR_NOT_FOUND;
    }
    if (zmq_msg_more(header)) *payload = zframe_recv(self->socket);
    if (!*payload || !zframe_more(*payload)) return 0;
    skip_rest(self->socket);
    zframe_destroy(payload);
    (void)zmq_msg_close(header);
    return ERR_MALFORMED;
}
