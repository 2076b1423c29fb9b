#include "cli/ask.h"

#include <czmq.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/key.h"
#include "common/link_wire.h"
#include "common/messages.h"

#define ENDPOINT_MAX 512

struct ask_t {
    zsock_t *sock;
    inlet_t monitor; /* of its handshakes */
    bool met;        /* there was a connection: what was sent may have got there */
    bool encrypted;
    link_key_t key;
    uint64_t seq;
    char endpoint[ENDPOINT_MAX];
    msg_scratch_t scratch;
};

/* The options of the socket; what a tool has queued need not outlive it. */
static int set_up(zsock_t *sock) {
    void *handle = zsock_resolve(sock);
    int64_t most = MSG_WIRE_MAX;
    int linger = 0;
    uint64_t instance = random_u64();
    unsigned char id[8];
    for (int i = 0; i < 8; i++)
        id[i] = (unsigned char)(instance >> (56 - 8 * i));
    return zmq_setsockopt(handle, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
                   zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &most, sizeof most) == 0 &&
                   zmq_setsockopt(handle, ZMQ_ROUTING_ID, id, sizeof id) == 0
               ? 0
               : ERR_IO;
}

/* Encrypts the socket when the options say so, and watches its handshakes, which fail in silence. */
static int secure(ask_t *self, const config_t *config, char why[ASK_WHY_MAX]) {
    char reason[KEY_WHY_MAX];
    void *raw = zsock_resolve(self->sock);
    if (key_load_link(config, KEY_TOOL, &self->key, &self->encrypted, reason) != 0) {
        (void)snprintf(why, ASK_WHY_MAX, "%s", reason);
        return ERR_INVALID;
    }
    if (wire_secure(raw, self->endpoint, self->encrypted ? &self->key : NULL) &&
        inlet_open(&self->monitor, wire_monitor(zsys_init(), raw, (unsigned)(random_u64() & 0xffffff))))
        return 0;
    (void)snprintf(why, ASK_WHY_MAX, "cannot make a socket: %s", zmq_strerror(errno));
    return ERR_IO;
}

ask_t *ask_new(const config_t *config, char why[ASK_WHY_MAX]) {
    char base[ENDPOINT_MAX - 16];
    ask_t *self = calloc(1, sizeof *self);
    config_broker_endpoint(config, base, sizeof base);
    if (self == NULL || (self->sock = zsock_new(ZMQ_DEALER)) == NULL || set_up(self->sock) != 0) {
        (void)snprintf(why, ASK_WHY_MAX, "cannot make a socket: %s",
                       self != NULL ? zmq_strerror(errno) : "out of memory");
        ask_destroy(&self);
        return NULL;
    }
    (void)snprintf(self->endpoint, sizeof self->endpoint, "%s%s", base,
                   strncmp(base, "ipc://", 6) == 0 ? "/control" : "");
    if (secure(self, config, why) != 0) {
        ask_destroy(&self);
        return NULL;
    }
    if (zsock_connect(self->sock, "%s", self->endpoint) != 0) {
        (void)snprintf(why, ASK_WHY_MAX, "cannot connect to the broker at %s: %s", self->endpoint,
                       zmq_strerror(errno));
        ask_destroy(&self);
    }
    return self;
}

void ask_destroy(ask_t **self) {
    if (*self == NULL) return;
    if ((*self)->monitor.socket) (void)zmq_socket_monitor(zsock_resolve((*self)->sock), NULL, 0);
    inlet_close(&(*self)->monitor);
    zsock_destroy(&(*self)->sock);
    key_wipe(&(*self)->key, sizeof(*self)->key);
    free(*self);
    *self = NULL;
}

static int nomem(char why[ASK_WHY_MAX]) {
    (void)snprintf(why, ASK_WHY_MAX, "out of memory");
    return ERR_NOMEM;
}

/* What the handshakes came to: false when they tell nothing. */
static bool refused(ask_t *self, char *text, size_t size) {
    bool failed = false;
    self->monitor.unread = true; /* nobody has looked at its descriptor */
    for (wire_event_t event; (event = wire_event(&self->monitor)) != WIRE_NOTHING;) {
        self->met = self->met || event == WIRE_CONNECTED;
        if (event == WIRE_DISCONNECTED) continue;
        failed = event >= WIRE_KEY_REFUSED;
        if (failed) wire_refusal(event, self->encrypted ? &self->key : NULL, text, size);
    }
    return failed;
}

/* Says what the socket file shows, else what may be wrong. */
static int nobody(ask_t *self, char why[ASK_WHY_MAX]) {
    char reason[ASK_WHY_MAX / 2];
    if (refused(self, reason, sizeof reason)) {
        (void)snprintf(why, ASK_WHY_MAX, "no talk with the broker at %.400s: %s", self->endpoint, reason);
        return ERR_NOT_FOUND;
    }
    const char *path = strncmp(self->endpoint, "ipc://", 6) == 0 ? self->endpoint + 6 : NULL;
    struct stat st;
    int error = path != NULL && stat(path, &st) != 0 ? errno : 0;
    if (error == ENOENT || error == ENOTDIR)
        (void)snprintf(
            why, ASK_WHY_MAX,
            "no broker at %s: there is no such socket; is the agent running, and with this --runtimeDir "
            "(or --bind)?",
            self->endpoint);
    else if (error != 0 || (path != NULL && access(path, W_OK) != 0))
        (void)snprintf(why, ASK_WHY_MAX,
                       "no broker at %s: %s; ask as the user who runs the agent, or as root", self->endpoint,
                       strerror(errno));
    else
        (void)snprintf(
            why, ASK_WHY_MAX,
            "no answer from the broker at %s within %d s; is it running, and does its log say why not?",
            self->endpoint, ASK_TIMEOUT_MS / 1000);
    return ERR_NOT_FOUND;
}

bool ask_is_there(ask_t *self, char why[ASK_WHY_MAX]) {
    if (strncmp(self->endpoint, "ipc://", 6) != 0 || access(self->endpoint + 6, W_OK) == 0) return true;
    (void)nobody(self, why);
    return false;
}

static int send_msg(ask_t *self, const msg_t *msg, char why[ASK_WHY_MAX]) {
    char *bytes;
    size_t size;
    if (msg_encode(msg, &bytes, &size) != 0) return nomem(why);
    int rc = zmq_send(zsock_resolve(self->sock), bytes, size, ZMQ_DONTWAIT);
    free(bytes);
    return rc >= 0 ? 0 : nobody(self, why);
}

/* The text of an answer's payload, terminated. */
static int take_json(zframe_t *frame, char **json, size_t *size, char why[ASK_WHY_MAX]) {
    char *copy = malloc(zframe_size(frame) + 1);
    if (copy == NULL) return nomem(why);
    memcpy(copy, zframe_data(frame), zframe_size(frame));
    copy[zframe_size(frame)] = '\0';
    *size = zframe_size(frame);
    *json = copy;
    return 0;
}

/* Whether it is what was asked for, with the JSON that a type has. */
static bool answers(const ask_t *self, const msg_t *msg, const zframe_t *payload, msg_type_t type) {
    if (msg->type != type) return false;
    if (type == MSG_DRAIN) return true;
    if (type == MSG_ORDERED) return msg->ordered.seq == self->seq;
    return msg->status.seq == self->seq && payload != NULL;
}

/* Looks at one message: ERR_BUSY when it is not the answer (yet). */
static int read_answer(ask_t *self, zmsg_t *zmsg, msg_t *answer, ask_json_t *json, char why[ASK_WHY_MAX]) {
    zframe_t *header = zmsg_first(zmsg), *payload = zmsg_next(zmsg);
    msg_t msg;
    if (header == NULL || zmsg_size(zmsg) > 2) return ERR_BUSY;
    int err = msg_decode(zframe_data(header), zframe_size(header),
                         payload != NULL ? (int64_t)zframe_size(payload) : -1, &msg, &self->scratch);
    if (err == ERR_NOMEM) return nomem(why);
    if (err != 0) {
        (void)snprintf(why, ASK_WHY_MAX, "the broker at %s answers what this version does not know: %.200s",
                       self->endpoint, self->scratch.text);
        return err == ERR_VERSION ? ERR_VERSION : ERR_MALFORMED;
    }
    if (msg.type == MSG_ERROR) {
        char text[256];
        (void)snprintf(why, ASK_WHY_MAX, "the broker at %s refuses: %s", self->endpoint,
                       str_copy(msg.error.text, text, sizeof text));
        return msg.error.code == MSG_ERR_VERSION ? ERR_VERSION : ERR_MALFORMED;
    }
    if (!answers(self, &msg, payload, answer->type)) return ERR_BUSY;
    *answer = msg;
    return json != NULL ? take_json(payload, &json->text, &json->size, why) : 0;
}

/* Sends the question and waits for an answer of the type that `answer` has. */
static int converse(ask_t *self, const msg_t *question, int signal_fd, msg_t *answer, ask_json_t *json,
                    char why[ASK_WHY_MAX]) {
    int64_t until_ms = clock_boot_ms() + ASK_TIMEOUT_MS;
    int err = send_msg(self, question, why);
    if (err != 0) return err;
    for (;;) {
        zmq_pollitem_t items[] = {{.socket = zsock_resolve(self->sock), .events = ZMQ_POLLIN},
                                  {.fd = signal_fd, .events = ZMQ_POLLIN}};
        int64_t left_ms = until_ms - clock_boot_ms();
        if (left_ms <= 0) return nobody(self, why);
        if (zmq_poll(items, signal_fd >= 0 ? 2 : 1, (long)left_ms) < 0 && errno != EINTR)
            return nobody(self, why);
        if (items[1].revents != 0) {
            (void)snprintf(why, ASK_WHY_MAX, "stopped by a signal");
            return ERR_STATE;
        }
        if (items[0].revents == 0) continue;
        zmsg_t *zmsg = zmsg_recv(self->sock);
        err = zmsg != NULL ? read_answer(self, zmsg, answer, json, why) : ERR_BUSY;
        zmsg_destroy(&zmsg);
        if (err != ERR_BUSY) return err;
    }
}

/* The same for what is to be done: without an answer it may be done all the same, and `shows` says so. */
static int exchange(ask_t *self, const msg_t *question, int signal_fd, msg_t *answer, ask_json_t *json,
                    const char *shows, char why[ASK_WHY_MAX]) {
    char ignored[ASK_WHY_MAX / 2];
    int err = converse(self, question, signal_fd, answer, json, why);
    if (shows == NULL || (err != ERR_NOT_FOUND && err != ERR_STATE)) return err;
    (void)refused(self, ignored, sizeof ignored); /* takes in what there is to be known of the connection */
    size_t len = strlen(why);
    if (self->met)
        (void)snprintf(why + len, ASK_WHY_MAX - len,
                       " (what was ordered may have reached it, and be done still: `%s` shows)", shows);
    return err;
}

int ask_status(ask_t *self, int signal_fd, char **json, size_t *size, char why[ASK_WHY_MAX]) {
    const msg_t question = {.type = MSG_STATUS, .status = {.seq = ++self->seq}};
    msg_t answer = {.type = MSG_STATUS_REPLY};
    ask_json_t got = {0};
    int err = exchange(self, &question, signal_fd, &answer, &got, NULL, why);
    if (err != 0) return err;
    *json = got.text;
    *size = got.size;
    return 0;
}

static str_t text_of(const char *text) {
    return (str_t){text, (uint32_t)strnlen(text, MSG_TASK_ID_MAX)};
}

int ask_task(ask_t *self, int signal_fd, const char *task, bool number, ask_json_t *json,
             char why[ASK_WHY_MAX]) {
    const msg_t question = {.type = MSG_FIND,
                            .find = {++self->seq, number ? ORDER_BY_NUMBER : ORDER_BY_EITHER, text_of(task)}};
    msg_t answer = {.type = MSG_FOUND};
    return exchange(self, &question, signal_fd, &answer, json, NULL, why);
}

int ask_buried(ask_t *self, int signal_fd, uint64_t after, uint16_t max, ask_json_t *json,
               char why[ASK_WHY_MAX]) {
    const msg_t question = {.type = MSG_LIST, .list = {++self->seq, after, max}};
    msg_t answer = {.type = MSG_FOUND};
    return exchange(self, &question, signal_fd, &answer, json, NULL, why);
}

int ask_order(ask_t *self, int signal_fd, msg_order_t *order, msg_ordered_t *ordered, char why[ASK_WHY_MAX]) {
    msg_t question = {.type = MSG_ORDER}, answer = {.type = MSG_ORDERED};
    order->seq = ++self->seq;
    question.order = *order;
    int err = exchange(self, &question, signal_fd, &answer, NULL,
                       order->by == ORDER_BY_ALL ? "sluice dead" : "sluice task", why);
    if (err == 0) *ordered = answer.ordered;
    return err;
}

int ask_drain(ask_t *self, int signal_fd, bool drain, char why[ASK_WHY_MAX]) {
    const msg_t order = {.type = MSG_DRAIN, .drain = {.session = 0, .mode = drain ? 1 : 0}};
    msg_t answer = {.type = MSG_DRAIN};
    return exchange(self, &order, signal_fd, &answer, NULL, "sluice status", why);
}
