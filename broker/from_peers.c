/* Messages in: checked, then given to the core. */
#include <inttypes.h>

#include "broker/broker.h"
#include "common/clock.h"
#include "common/crash_point.h"
#include "common/err.h"
#include "common/log.h"

static bool logged_before(broker_t *self, uint64_t peer) {
    for (unsigned i = 0; i < 64; i++)
        if (self->logged_peers[i] == peer + 1) return true;
    self->logged_peers[self->logged_at++ % 64] = peer + 1;
    return false;
}

static const char *source_name(source_t source) {
    static const char *const names[] = {"control", "results-in", "tasks-in"};
    return names[source];
}

void broker_refuse(broker_t *self, source_t source, received_t *got, msg_err_t code, unsigned type,
                   const char *text) {
    self->bad_messages++;
    char quoted[LOG_QUOTED_MAX];
    if (!logged_before(self, source == FROM_CONTROL ? got->peer : (uint64_t)source) &&
        log_limit_take(&self->bad_log, clock_boot_ms(), LOG_BAD_MAX, LOG_LIMIT_MS))
        log_warn("bad_message", "socket=%s peer=%016" PRIx64 " code=%d type=%s why=%s", source_name(source),
                 got->peer, code, msg_type_name(type), log_quote(text, quoted));
    if (source != FROM_CONTROL) return;
    msg_t answer = {.type = MSG_ERROR};
    answer.error = (msg_error_t){(uint16_t)code, (uint8_t)type, str_of(text)};
    sockets_answer(self->sockets, got, &answer, NULL);
}

static bool belongs(source_t source, msg_type_t type) {
    if (source == FROM_TASKS) return type == MSG_FETCHED;
    if (source == FROM_RESULTS) return type == MSG_RESULT || type == MSG_CHUNK;
    return type != MSG_FETCHED && type != MSG_RESULT && type != MSG_CHUNK;
}

/* Those who ask for the status in one turn get one document: a flood of questions costs little, and what
 * nobody reads is shared. */
bool broker_answer(broker_t *self, received_t *got, const msg_t *msg) {
    msg_t answer = {.type = msg->type == MSG_STATUS ? MSG_STATUS_REPLY : MSG_FOUND};
    doc_t *doc;
    if (msg->type == MSG_STATUS) {
        if (!self->status) self->status = broker_status(self);
        answer.status.seq = msg->status.seq;
        if (self->status) sockets_answer(self->sockets, got, &answer, self->status);
        return true;
    }
    if (msg->type == MSG_FIND) {
        doc = broker_find(self, &msg->find);
        answer.status.seq = msg->find.seq;
    } else if (msg->type == MSG_LIST) {
        doc = broker_list(self, &msg->list);
        answer.status.seq = msg->list.seq;
    } else {
        return false;
    }
    if (doc) sockets_answer(self->sockets, got, &answer, doc);
    doc_destroy(&doc);
    return true;
}

static int into_core(broker_t *self, received_t *got, const msg_t *msg, uint64_t key) {
    doc_t *doc = NULL;
    if (got->has_payload && !(doc = doc_take(&got->payload))) return ERR_NOMEM;
    void *handed = doc;
    const event_t event = {.kind = EV_MESSAGE,
                           .peer = got->peer,
                           .msg = msg,
                           .doc = &handed,
                           .doc_bytes = doc ? doc_size(doc) : 0,
                           .key = key,
                           .tcp = got->by_tcp};
    int err = core_step(self->core, &event, broker_now(), self->effects);
    if (handed) doc_destroy(&doc);
    return err;
}

int broker_take(broker_t *self, source_t source, received_t *got) {
    msg_t msg;
    if (got->extra > 0) {
        broker_refuse(self, source, got, MSG_ERR_PAYLOAD, 0, "a message is one frame, or two with a payload");
        return 0;
    }
    int64_t payload = got->has_payload ? (int64_t)zmq_msg_size(&got->payload) : -1;
    int err =
        msg_decode(zmq_msg_data(&got->header), zmq_msg_size(&got->header), payload, &msg, self->scratch);
    if (err == ERR_NOMEM) return err;
    if (err) {
        broker_refuse(self, source, got, self->scratch->error, self->scratch->type, self->scratch->text);
        return 0;
    }
    CRASH_POINT_MSG("got", msg.type);
    if (!belongs(source, msg.type)) {
        broker_refuse(self, source, got, MSG_ERR_TYPE, (unsigned)msg.type,
                      "this type is not for this socket");
        return 0;
    }
    uint64_t key = 0;
    if (!broker_admits(self, source, got, &msg, &key)) return 0;
    if (broker_answer(self, got, &msg)) return 0;
    if (source == FROM_CONTROL && got->peer == 0) {
        broker_refuse(self, source, got, MSG_ERR_FIELD, (unsigned)msg.type,
                      "the routing id must be 8 octets, not all 0");
        return 0;
    }
    if (msg.type == MSG_CHUNK) {
        bodies_chunk(self->bodies, &msg.chunk, zmq_msg_data(&got->payload), zmq_msg_size(&got->payload),
                     clock_boot_ms());
        return 0;
    }
    if (msg.type == MSG_RESULT) bodies_heard(self->bodies, msg.result.session, clock_boot_ms());
    if (msg.type == MSG_RESULT && (msg.result.flags & RESULT_STREAM) &&
        !bodies_result(self->bodies, &msg.result, clock_boot_ms()))
        return 0; /* its writer sends the body anew */
    err = into_core(self, got, &msg, key);
    if (!err && msg.type == MSG_BODY)
        err = bodies_announced(self->bodies, got->peer, &msg.body, clock_boot_ms());
    return err;
}
