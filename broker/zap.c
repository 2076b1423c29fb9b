#include "broker/zap.h"

#include <czmq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define ENDPOINT     "inproc://zeromq.zap.01"
#define PARTS        7 /* version, request, domain, address, routing id, mechanism, key */
#define PART_MAX     256
#define REMEMBERED   64
#define LOG_AGAIN_MS 60000
#define LINES_MAX    20 /* in that time: who has many keys does not fill the log */
#define TURN_MAX     64

typedef struct {
    uint64_t key;
    const char *why;
    int64_t at_ms;
} told_t;

struct zap_t {
    inlet_t inlet;
    const keyring_t *keyring;
    told_t told[REMEMBERED];
    unsigned told_at;
    int64_t minute_ms; /* since when `lines` were logged */
    unsigned lines;
};

typedef struct {
    char data[PART_MAX];
    size_t size;
} part_t;

zap_t *zap_new(const keyring_t *keyring) {
    zap_t *self = calloc(1, sizeof *self);
    int linger = 0;
    if (!self) return NULL;
    self->keyring = keyring;
    if (inlet_open(&self->inlet, zmq_socket(zsys_init(), ZMQ_REP)) &&
        zmq_setsockopt(self->inlet.socket, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
        zmq_bind(self->inlet.socket, ENDPOINT) == 0)
        return self;
    zap_destroy(&self);
    return NULL;
}

void zap_destroy(zap_t **self) {
    if (!*self) return;
    inlet_close(&(*self)->inlet);
    free(*self);
    *self = NULL;
}

inlet_t *zap_inlet(zap_t *self) {
    return &self->inlet;
}

const char *zap_judge(const listed_key_t *key, const char *domain) {
    if (!key) return "unknown key";
    if (strcmp(domain, "control") == 0) return NULL;
    if (strcmp(domain, "results-in") == 0)
        return key->key.role == KEY_EXECUTOR ? NULL : "not an executor's key";
    if (strcmp(domain, "events") == 0) return key->key.role == KEY_TOOL ? NULL : "not a tool's key";
    if (strncmp(domain, "worker:", 7) == 0) {
        char hex[KEY_HEX_SIZE];
        key_hex(key->key.public_key, hex);
        return strcmp(domain + 7, hex) == 0 ? NULL : "not the key of this worker";
    }
    return "nobody connects there";
}

static bool tell_again(zap_t *self, uint64_t key, const char *why, int64_t now_ms) {
    if (now_ms - self->minute_ms >= LOG_AGAIN_MS) {
        self->minute_ms = now_ms;
        self->lines = 0;
    }
    if (self->lines >= LINES_MAX) return false;
    for (unsigned i = 0; i < REMEMBERED; i++) {
        told_t *told = &self->told[i];
        if (told->key != key || told->why != why) continue;
        if (now_ms - told->at_ms < LOG_AGAIN_MS) return false;
        told->at_ms = now_ms;
        self->lines++;
        return true;
    }
    self->lines++;
    self->told[self->told_at++ % REMEMBERED] = (told_t){key, why, now_ms};
    return true;
}

static void log_refusal(zap_t *self, const part_t parts[PARTS], const listed_key_t *key, const char *why,
                        int64_t now_ms) {
    const uint8_t *public_key = (const uint8_t *)parts[6].data;
    char hex[KEY_HEX_SIZE], address[LOG_QUOTED_MAX], domain[LOG_QUOTED_MAX];
    if (!tell_again(self, key_id(public_key), why, now_ms)) return;
    key_hex(public_key, hex);
    log_warn("key_refused", "socket=%s address=%s key=%s name=%s why=\"%s\"%s",
             log_quote(parts[2].data, domain), log_quote(parts[3].data, address), hex,
             key ? key->key.name : "-", why, key ? "" : " hint=\"sluice key allow executor:NAME:KEY\"");
}

/* Reads a whole request; false when it is none. */
static bool read_request(zap_t *self, part_t parts[PARTS], int *count) {
    int more = 1;
    size_t size = sizeof more;
    for (*count = 0; more; ++*count) {
        char rest[PART_MAX];
        int i = *count;
        int n = zmq_recv(self->inlet.socket, i < PARTS ? parts[i].data : rest, PART_MAX - 1, ZMQ_DONTWAIT);
        if (n < 0) {
            if (zmq_errno() != EINTR) self->inlet.unread = false;
            return false;
        }
        if (i < PARTS) {
            parts[i].size = n < PART_MAX ? (size_t)n : PART_MAX - 1;
            parts[i].data[parts[i].size] = '\0';
        }
        if (zmq_getsockopt(self->inlet.socket, ZMQ_RCVMORE, &more, &size) != 0) return false;
    }
    return true;
}

static void reply(zap_t *self, const part_t *request, const char *status, const char *text,
                  const char *user) {
    (void)zmq_send(self->inlet.socket, "1.0", 3, ZMQ_SNDMORE);
    (void)zmq_send(self->inlet.socket, request->data, request->size, ZMQ_SNDMORE);
    (void)zmq_send(self->inlet.socket, status, strlen(status), ZMQ_SNDMORE);
    (void)zmq_send(self->inlet.socket, text, strlen(text), ZMQ_SNDMORE);
    (void)zmq_send(self->inlet.socket, user, strlen(user), ZMQ_SNDMORE);
    (void)zmq_send(self->inlet.socket, "", 0, 0);
}

void zap_turn(zap_t *self, int64_t now_ms) {
    part_t parts[PARTS];
    int count;
    for (int i = 0; i < TURN_MAX && self->inlet.unread && read_request(self, parts, &count); i++) {
        if (count != PARTS || strcmp(parts[5].data, "CURVE") != 0 || parts[6].size != KEY_BYTES) {
            reply(self, &parts[1], "400", "not a CURVE key", "");
            continue;
        }
        const listed_key_t *key = keyring_find(self->keyring, (const uint8_t *)parts[6].data);
        const char *why = zap_judge(key, parts[2].data);
        char hex[KEY_HEX_SIZE];
        key_hex((const uint8_t *)parts[6].data, hex);
        if (why) log_refusal(self, parts, key, why, now_ms);
        reply(self, &parts[1], why ? "400" : "200", why ? why : "", why ? "" : hex);
    }
}
