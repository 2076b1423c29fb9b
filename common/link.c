#include "common/link.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/crash_point.h"
#include "common/err.h"
#include "common/link_wire.h"

#define LATE_MS          1000 /* a gap between two turns after which we were stopped, not the broker */
#define PULL_WAIT_MS     500  /* for the PULL's connection before the first HEARTBEAT */
#define HELLO_RETRY_MS   100  /* when the HELLO could not be sent */
#define PUSH_LOOK_MS     10   /* for the PUSH's first connection */
#define PUSH_TELL_MS     3000 /* it takes longer than control's by so much */
#define TURN_MAX         128  /* messages of one socket in a turn */
#define WHY_MAX          320
#define INLETS           4
#define RECONNECT_MS     1000 /* after a handshake that ZeroMQ does not try again */
#define NO_HANDSHAKES    3    /* in a row are no accident */
#define FAULT_BROKER_BIT 16   /* of `faults`: what the broker refused stands above what we refused */

struct link_t {
    link_handler_t handler;
    char *base, *name;
    role_t role;
    uint64_t instance, place;
    uint16_t slots;
    bool encrypted;
    link_key_t key;
    void *context, *push;
    inlet_t control, control_monitor, pull, pull_monitor;
    unsigned monitors; /* made so far */
    uint64_t session;
    uint64_t hello_seq;
    int64_t hello_due_ms; /* while there is no session */
    int64_t half_ms;      /* since when only control is connected, before the first HELLO; 0: it is not so */
    int64_t reconnect_ms; /* when to connect anew after a refusal, 0 for never */
    bool was_refused;     /* since the last connection that was made */
    unsigned no_handshakes;
    uint64_t beat_seq;
    int64_t beat_due_ms, heard_ms, turn_ms, now_ms;
    int64_t heartbeat_ms, lost_ms;
    const char *restart; /* the session is to end at the next safe point, and why */
    bool ended;          /* BYE was said */
    bool foreign;        /* the broker speaks another version */
    uint32_t faults;     /* kinds told already */
    char agent_id[65], host[65];
    char why[WHY_MAX];
    msg_scratch_t scratch;
    msg_held_t held[MSG_HELD_MAX];
    uint64_t nums[MSG_HELD_MAX];
};

static void instance_octets(uint64_t instance, unsigned char octets[8]) {
    for (int i = 0; i < 8; i++)
        octets[i] = (unsigned char)(instance >> (56 - 8 * i));
}

static void push_endpoint(const link_t *self, char buf[WIRE_ENDPOINT_MAX]) {
    bool fetcher = self->role == ROLE_FETCHER;
    wire_endpoint(self->base, fetcher ? "tasks-in" : "results-in", fetcher ? 1 : 2, buf);
}

/* Connects control, or the PUSH; again with `again`. */
static bool connect_one(link_t *self, void *socket, const char *endpoint, bool again) {
    if (again) (void)zmq_disconnect(socket, endpoint); /* fails when ZeroMQ has given up by itself */
    return wire_secure(socket, endpoint, self->encrypted ? &self->key : NULL) &&
           zmq_connect(socket, endpoint) == 0;
}

static bool connect_control(link_t *self, bool again) {
    char endpoint[WIRE_ENDPOINT_MAX];
    wire_endpoint(self->base, "control", 0, endpoint);
    return connect_one(self, self->control.socket, endpoint, again);
}

static bool connect_push(link_t *self, bool again) {
    char endpoint[WIRE_ENDPOINT_MAX];
    push_endpoint(self, endpoint);
    return connect_one(self, self->push, endpoint, again);
}

static const char *open_sockets(link_t *self) {
    unsigned char identity[8];
    instance_octets(self->instance, identity);
    self->context = zmq_ctx_new();
    if (!self->context) return "no ZeroMQ context";
    if (!inlet_open(&self->control, wire_socket(self->context, ZMQ_DEALER, 1000, identity)))
        return "no control socket";
    if (!inlet_open(&self->control_monitor,
                    wire_monitor(self->context, self->control.socket, ++self->monitors)))
        return "no monitor of the control socket";
    if (!connect_control(self, false)) return "the control endpoint cannot be connected";
    if (self->role == ROLE_UPLOADER) return NULL;
    self->push = wire_socket(self->context, ZMQ_PUSH, PROTOCOL_HWM, NULL);
    if (!self->push || !connect_push(self, false)) return "no socket to push to the broker";
    return NULL;
}

link_t *link_new(const link_options_t *options, const link_handler_t *handler, const char **why) {
    assert(options->instance != 0);
    *why = wire_base_fault(options->broker, options->key != NULL);
    if (*why) return NULL;
    link_t *self = calloc(1, sizeof *self);
    *why = "out of memory";
    if (!self) return NULL;
    self->handler = *handler;
    self->role = options->role;
    self->instance = options->instance;
    self->place = options->place;
    self->slots = options->slots;
    self->heartbeat_ms = PROTOCOL_HEARTBEAT_MS;
    self->lost_ms = PROTOCOL_LOST_MS;
    self->hello_seq = 1;
    self->encrypted = options->key != NULL;
    if (options->key) self->key = *options->key;
    if (gethostname(self->host, sizeof self->host - 1) != 0) self->host[0] = '\0';
    self->base = strdup(options->broker);
    self->name = strdup(options->name);
    if (self->base && self->name) *why = open_sockets(self);
    if (*why) link_destroy(&self);
    return self;
}

static void close_monitored(inlet_t *inlet, inlet_t *monitor) {
    if (inlet->socket) zmq_socket_monitor(inlet->socket, NULL, 0);
    inlet_close(monitor);
    inlet_close(inlet);
}

void link_destroy(link_t **self_p) {
    link_t *self = *self_p;
    if (!self) return;
    close_monitored(&self->pull, &self->pull_monitor);
    close_monitored(&self->control, &self->control_monitor);
    wire_close(&self->push);
    if (self->context) zmq_ctx_term(self->context);
    free(self->base);
    free(self->name);
    key_wipe(&self->key, sizeof self->key);
    free(self);
    *self_p = NULL;
}

uint64_t link_session(const link_t *self) {
    return self->session;
}

const char *link_agent_id(const link_t *self) {
    return self->agent_id;
}

bool link_foreign(const link_t *self) {
    return self->foreign;
}

void link_wait(link_t *self, const int *fds, int count, long timeout_ms) {
    inlet_t *inlets[INLETS] = {&self->control, &self->control_monitor, &self->pull, &self->pull_monitor};
    struct pollfd polled[INLETS + LINK_FDS_MAX];
    assert(count <= LINK_FDS_MAX);
    for (int i = 0; i < INLETS; i++)
        polled[i] = (struct pollfd){.fd = inlets[i]->socket ? inlets[i]->fd : -1, .events = POLLIN};
    for (int i = 0; i < count; i++)
        polled[INLETS + i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    if (poll(polled, (nfds_t)(INLETS + count), link_unread(self) ? 0 : (int)timeout_ms) <= 0) return;
    for (int i = 0; i < INLETS; i++)
        if (polled[i].revents) inlets[i]->unread = true;
}

bool link_unread(const link_t *self) {
    return self->control.unread || self->control_monitor.unread || self->pull.unread ||
           self->pull_monitor.unread;
}

/* By sending on control, libzmq may learn of what has come there. */
static int send_control(link_t *self, const msg_t *msg) {
    self->control.unread = true;
    return wire_send(self->control.socket, msg, NULL, 0);
}

/* Kinds of faults beside the codes of ERROR. */
#define FAULT_HANDSHAKE 12 /* to 14 */
#define FAULT_NO_PUSH   15

/* Told once per kind: `bit` is the kind. */
static void tell_fault(link_t *self, unsigned bit, const char *what) {
    if (self->faults & (1u << (bit & 31u))) return;
    self->faults |= 1u << (bit & 31u);
    self->handler.fault(self->handler.ctx, what);
}

/* Begins a new HELLO dialogue; what is held stays with the program. */
static void end_session(link_t *self, const char *why) {
    bool had = self->session != 0;
    self->session = 0;
    self->restart = NULL;
    close_monitored(&self->pull, &self->pull_monitor);
    self->hello_seq++;
    self->hello_due_ms = self->now_ms;
    if (had && !self->ended) self->handler.lost(self->handler.ctx, why);
}

static void say_hello(link_t *self) {
    msg_t msg = {.type = MSG_HELLO};
    uint32_t count = self->handler.held(self->handler.ctx, self->held, MSG_HELD_MAX);
    msg.hello = (msg_hello_t){
        .role = (uint8_t)self->role,
        .instance = self->instance,
        .place = self->place,
        .name = {self->name, (uint32_t)strnlen(self->name, 64)},
        .program_version = str_of(SLUICE_VERSION),
        .pid = (uint32_t)getpid(),
        .host = str_of(self->host),
        .slots = self->slots,
        .seq = self->hello_seq,
        .credit = self->handler.credit ? self->handler.credit(self->handler.ctx) : 0,
        .held = {count, self->held},
    };
    int rc = send_control(self, &msg);
    self->hello_due_ms = self->now_ms + (rc == 0 ? PROTOCOL_REPEAT_MS : HELLO_RETRY_MS);
}

/* Sockets take messages only while they are connected. */
static bool takes(void *socket) {
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) != 0 || (events & ZMQ_POLLOUT);
}

static void tell_half(link_t *self) {
    char endpoint[WIRE_ENDPOINT_MAX];
    push_endpoint(self, endpoint);
    snprintf(
        self->why, sizeof self->why,
        "the broker's control is connected, and %.200s is not; can it be reached? nothing is taken before",
        endpoint);
    tell_fault(self, FAULT_NO_PUSH, self->why);
    (void)connect_push(self, true); /* it may have been refused, and is not tried again then */
}

/* Before its first session a worker waits for its PUSH: else it would take tasks whose results cannot go out.
 */
static bool is_half_connected(link_t *self) {
    if (!self->push || self->hello_seq > 1 || takes(self->push)) return false;
    bool control = takes(self->control.socket);
    self->control.unread = true; /* looking may take in news unnoticed, as sending */
    self->hello_due_ms = self->now_ms + (control ? PUSH_LOOK_MS : HELLO_RETRY_MS);
    if (!control || self->half_ms == 0) self->half_ms = control ? self->now_ms : 0;
    if (!control || self->now_ms - self->half_ms < PUSH_TELL_MS) return true;
    tell_half(self);
    self->half_ms = self->now_ms;
    return true;
}

static void beat(link_t *self) {
    msg_t msg = {.type = MSG_HEARTBEAT};
    uint32_t count = self->handler.held(self->handler.ctx, self->held, MSG_HELD_MAX);
    for (uint32_t i = 0; i < count; i++)
        self->nums[i] = self->held[i].number;
    msg.heartbeat = (msg_heartbeat_t){self->session, ++self->beat_seq, {count, self->nums}};
    (void)send_control(self, &msg); /* a full socket is a silent broker, and is judged as one */
    self->beat_due_ms = self->now_ms + self->heartbeat_ms;
}

/* A handshake fails without a word to the socket; only its monitor knows. */
static void handshake_failed(link_t *self, wire_event_t event) {
    bool told = event != WIRE_NO_HANDSHAKE || ++self->no_handshakes == NO_HANDSHAKES;
    if (event != WIRE_NO_HANDSHAKE) { /* ZeroMQ does not try again by itself */
        self->was_refused = true;
        self->reconnect_ms = self->now_ms + RECONNECT_MS;
    }
    if (!told) return;
    wire_refusal(event, self->encrypted ? &self->key : NULL, self->why, sizeof self->why);
    tell_fault(self, FAULT_HANDSHAKE + (unsigned)(event - WIRE_KEY_REFUSED), self->why);
}

static void reconnect_if_due(link_t *self) {
    if (self->reconnect_ms == 0 || self->now_ms < self->reconnect_ms) return;
    self->reconnect_ms = 0;
    self->control.unread = true; /* connecting may take in news unnoticed, as sending */
    (void)connect_control(self, true);
}

/* The monitors are hints: a new connection needs a HELLO, for the broker at its end may be another one. */
static void read_control_monitor(link_t *self) {
    for (wire_event_t event; (event = wire_event(&self->control_monitor)) != WIRE_NOTHING;) {
        if (event >= WIRE_KEY_REFUSED) handshake_failed(self, event);
        if (event != WIRE_CONNECTED) continue;
        self->no_handshakes = 0;
        self->faults &= ~(7u << FAULT_HANDSHAKE);
        if (self->was_refused && self->push)
            (void)connect_push(self, true); /* it may have been refused as well */
        self->was_refused = false;
        if (self->session) self->restart = "the connection to the broker was made anew";
        self->hello_due_ms = self->now_ms;
    }
}

static void read_pull_monitor(link_t *self) {
    while (self->pull_monitor.socket && wire_event(&self->pull_monitor) == WIRE_CONNECTED)
        if (self->beat_seq == 0) self->beat_due_ms = self->now_ms;
}

static bool open_pull(link_t *self, str_t endpoint) {
    char text[WIRE_ENDPOINT_MAX], here[WIRE_ENDPOINT_MAX];
    wire_worker_endpoint(self->base, str_copy(endpoint, text, sizeof text), here);
    close_monitored(&self->pull, &self->pull_monitor);
    if (inlet_open(&self->pull, wire_socket(self->context, ZMQ_PULL, self->slots ? self->slots : 1, NULL)) &&
        inlet_open(&self->pull_monitor, wire_monitor(self->context, self->pull.socket, ++self->monitors)) &&
        wire_secure(self->pull.socket, here, self->encrypted ? &self->key : NULL) &&
        zmq_connect(self->pull.socket, here) == 0)
        return true;
    close_monitored(&self->pull, &self->pull_monitor);
    return false;
}

static int64_t bounded(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

static void take_welcome(link_t *self, const msg_welcome_t *welcome) {
    self->control_monitor.unread = true; /* it told of the connection by which this came, maybe just now */
    read_control_monitor(self);
    if (welcome->seq != self->hello_seq || welcome->session == 0 || welcome->session == self->session) return;
    if (self->session) { /* the HELLO and its repeat were both answered: the later answer counts */
        uint64_t seq = self->hello_seq;
        end_session(self, "the broker began another session");
        self->hello_seq = seq;
    }
    if (welcome->endpoint.len > 0 && !open_pull(self, welcome->endpoint)) {
        tell_fault(self, 0, "the endpoint in WELCOME cannot be connected");
        self->hello_due_ms = self->now_ms + PROTOCOL_REPEAT_MS;
        return;
    }
    CRASH_POINT_MSG("got", MSG_WELCOME);
    self->session = welcome->session;
    self->restart = NULL;
    self->heartbeat_ms = bounded(welcome->heartbeat_ms, 50, 60000);
    self->lost_ms = bounded(welcome->lost_ms, 2 * self->heartbeat_ms, 600000);
    self->heard_ms = self->now_ms;
    self->beat_seq = 0;
    self->beat_due_ms = self->now_ms + (self->pull.socket ? PULL_WAIT_MS : 0);
    str_copy(welcome->agent_id, self->agent_id, sizeof self->agent_id);
    self->handler.welcome(self->handler.ctx, welcome);
}

static void take_error(link_t *self, const msg_error_t *error) {
    if (error->code == MSG_ERR_SESSION) {
        if (self->session) self->restart = "the broker does not know the session";
        return;
    }
    if (error->code == MSG_ERR_VERSION) self->foreign = true;
    char text[201];
    snprintf(self->why, sizeof self->why, "the broker refused %s (error %u): %s", msg_type_name(error->type),
             error->code, str_copy(error->text, text, sizeof text));
    tell_fault(self, FAULT_BROKER_BIT + (error->code & 15u), self->why);
}

/* The session a message names, NULL for a type that names none. */
static const uint64_t *session_of(const msg_t *msg) {
    switch (msg->type) {
    case MSG_HEARTBEAT:
        return &msg->heartbeat.session;
    case MSG_CONFIG:
        return &msg->config.session;
    case MSG_DRAIN:
        return &msg->drain.session;
    case MSG_GRANT:
        return &msg->grant.session;
    case MSG_REVOKE:
        return &msg->revoke.session;
    case MSG_CLAIMED:
    case MSG_STORED:
    case MSG_GONE:
        return &msg->ref.session;
    case MSG_DENIED:
        return &msg->denied.session;
    case MSG_BODY:
        return &msg->body.session;
    case MSG_CREDIT:
        return &msg->credit.session;
    case MSG_ABORT:
        return &msg->abort.session;
    default:
        return NULL;
    }
}

static void take_control(link_t *self, const msg_t *msg) {
    if (msg->type == MSG_WELCOME) {
        take_welcome(self, &msg->welcome);
        return;
    }
    if (msg->type == MSG_ERROR) {
        take_error(self, &msg->error);
        return;
    }
    const uint64_t *session = session_of(msg);
    if (!session && msg->type != MSG_ACCEPTED) {
        tell_fault(self, MSG_ERR_ROLE, "a message on control that no worker takes");
        return;
    }
    if (self->session == 0 || self->restart || (session && *session != self->session)) return; /* stale */
    self->heard_ms = self->now_ms;
    CRASH_POINT_MSG("got", msg->type);
    if (msg->type != MSG_HEARTBEAT) self->handler.message(self->handler.ctx, msg);
}

static bool decode(link_t *self, zmq_msg_t *header, zframe_t *payload, msg_t *msg) {
    int64_t payload_bytes = payload ? (int64_t)zframe_size(payload) : -1;
    if (msg_decode(zmq_msg_data(header), zmq_msg_size(header), payload_bytes, msg, &self->scratch) == 0)
        return true;
    if (self->scratch.error == MSG_ERR_VERSION) self->foreign = true;
    snprintf(self->why, sizeof self->why, "a message of the broker is bad (%s): %s",
             msg_type_name(self->scratch.type), self->scratch.text);
    tell_fault(self, (unsigned)self->scratch.error & 15u, self->why);
    return false;
}

static unsigned drain_control(link_t *self) {
    unsigned count = 0;
    for (; count < TURN_MAX && !self->restart; count++) {
        zmq_msg_t header;
        zframe_t *payload;
        msg_t msg;
        int rc = wire_recv(&self->control, &header, &payload);
        if (rc == ERR_NOT_FOUND) break;
        if (rc != 0) {
            tell_fault(self, MSG_ERR_PAYLOAD, "a message of the broker has too many frames");
            continue;
        }
        if (decode(self, &header, payload, &msg) && !self->ended) take_control(self, &msg);
        (void)zmq_msg_close(&header);
        zframe_destroy(&payload);
    }
    return count;
}

static void take_task(link_t *self, const msg_t *msg, zframe_t **payload) {
    if (msg->type != MSG_TASK) {
        tell_fault(self, MSG_ERR_TYPE, "a message on the worker socket that is no TASK");
    } else if (msg->task.session == self->session) {
        self->heard_ms = self->now_ms;
        CRASH_POINT_MSG("got", msg->type);
        self->handler.task(self->handler.ctx, &msg->task, payload);
    }
}

static unsigned drain_pull(link_t *self) {
    unsigned count = 0;
    for (; self->pull.socket && count < TURN_MAX && !self->restart && !self->ended; count++) {
        zmq_msg_t header;
        zframe_t *payload;
        msg_t msg;
        int rc = wire_recv(&self->pull, &header, &payload);
        if (rc == ERR_NOT_FOUND) break;
        if (rc != 0) {
            tell_fault(self, MSG_ERR_PAYLOAD, "a message of the broker has too many frames");
            continue;
        }
        if (decode(self, &header, payload, &msg)) take_task(self, &msg, &payload);
        (void)zmq_msg_close(&header);
        zframe_destroy(&payload);
    }
    return count;
}

bool link_turn(link_t *self, int64_t now_ms) {
    bool late = self->turn_ms != 0 && now_ms - self->turn_ms > LATE_MS;
    self->now_ms = self->turn_ms = now_ms;
    if (self->ended) return false;
    if (late && self->session) { /* what came meanwhile may still be in the kernel: ask, and wait a little */
        int64_t grace_ms = now_ms - self->lost_ms + LATE_MS;
        if (self->heard_ms < grace_ms) self->heard_ms = grace_ms;
        self->beat_due_ms = now_ms;
    }
    read_control_monitor(self);
    read_pull_monitor(self);
    reconnect_if_due(self);
    bool more = drain_control(self) == TURN_MAX;
    more = drain_pull(self) == TURN_MAX || more;
    if (self->ended) return false;
    if (self->restart) end_session(self, self->restart);
    if (self->session && !more && now_ms - self->heard_ms >= self->lost_ms)
        end_session(self, "the broker is silent");
    if (self->session == 0 && now_ms >= self->hello_due_ms && !is_half_connected(self)) say_hello(self);
    if (self->session && now_ms >= self->beat_due_ms) beat(self);
    return more;
}

int64_t link_due(const link_t *self) {
    if (self->ended) return INT64_MAX;
    if (self->restart) return self->now_ms;
    if (self->session == 0) {
        bool sooner = self->reconnect_ms && self->reconnect_ms < self->hello_due_ms;
        return sooner ? self->reconnect_ms : self->hello_due_ms;
    }
    int64_t lost_ms = self->heard_ms + self->lost_ms;
    return self->beat_due_ms < lost_ms ? self->beat_due_ms : lost_ms;
}

int link_send(link_t *self, const msg_t *msg) {
    return self->session ? send_control(self, msg) : ERR_STATE;
}

int link_push(link_t *self, const msg_t *msg, const void *payload, size_t payload_bytes) {
    return self->session && self->push ? wire_send(self->push, msg, payload, payload_bytes) : ERR_STATE;
}

void link_set_slots(link_t *self, uint16_t slots) {
    if (slots == self->slots) return;
    self->slots = slots;
    if (self->session) self->restart = "the slots changed";
}

void link_bye(link_t *self) {
    msg_t msg = {.type = MSG_BYE, .bye = {self->session}};
    if (self->session) (void)link_send(self, &msg);
    self->session = 0;
    self->ended = true;
}
