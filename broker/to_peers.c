/* Messages out, once what they tell is committed. */
#include <inttypes.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/guard.h"
#include "common/clock.h"
#include "common/crash_point.h"
#include "common/err.h"
#include "common/log.h"

static int send_push(broker_t *self, out_t *out, int64_t late_ms) {
    doc_t *loaded = NULL, *doc = payloads_get(self->payloads, out->number);
    if (!doc) {
        int err = journal_doc(self->journal, out->number, &loaded);
        if (err == ERR_NOMEM) return err;
        if (err) {
            if (self->unread_count < UNREAD_MAX) /* the others stay unclaimed, and are tried again */
                self->unread[self->unread_count++] =
                    (msg_ref_t){out->msg.task.session, out->number, out->msg.task.attempt};
            return 0;
        }
        doc = loaded;
    }
    out->msg.task.remaining_ms -= late_ms;
    int err = sockets_push(self->sockets, out->peer, &out->msg, doc);
    doc_destroy(&loaded);
    return err == ERR_NOMEM ? err : 0;
}

static int open_worker(broker_t *self, out_t *out) {
    const char *endpoint;
    const listed_key_t *key = out->key && self->keyring ? keyring_find_id(self->keyring, out->key) : NULL;
    char user[KEY_HEX_SIZE];
    worker_wish_t wish = {.peer = out->peer,
                          .session = out->msg.welcome.session,
                          .slots = out->slots,
                          .tcp = out->tcp,
                          .shared = guard_is_user(out->key),
                          .user = key ? user : NULL};
    if (key) key_hex(key->key.public_key, user);
    int err = sockets_worker_open(self->sockets, &wish, &endpoint);
    if (err == ERR_NOMEM) return err;
    if (err) {
        if (log_limit_take(&self->peers_log, clock_boot_ms(), LOG_PEERS_MAX, LOG_LIMIT_MS))
            log_error("worker_socket_failed", "peer=%016" PRIx64 " why=\"%s\"", out->peer, err_str(err));
        if (self->unopened_count < UNOPENED_MAX) /* told to the core in the next turn */
            self->unopened[self->unopened_count++] = out->peer;
        return 0;
    }
    out->msg.welcome.endpoint = str_of(endpoint);
    (void)sockets_control(self->sockets, out->peer, &out->msg);
    return 0;
}

static void publish(broker_t *self, const out_t *out) {
    char text[600], pairs[520];
    (void)snprintf(text, sizeof text, "%s %s", out->event, str_copy(out->text, pairs, sizeof pairs));
    msg_t msg = {.type = MSG_EVENT};
    str_t cut = str_of(text);
    cut.len = cut.len > 500 ? 500 : cut.len;
    msg.event = (msg_event_t){++self->event_seq, clock_wall_ms(), (uint8_t)out->level, out->number, cut};
    sockets_publish(self->sockets, &msg);
}

/* Whoever connects makes these lines, as often as it likes. */
static bool is_of_peers(const char *event) {
    return strcmp(event, "worker_joined") == 0 || strcmp(event, "worker_gone") == 0;
}

static int send_one(broker_t *self, out_t *out, int64_t late_ms) {
    switch (out->type) {
    case OUT_CONTROL:
        (void)sockets_control(self->sockets, out->peer, &out->msg);
        return 0;
    case OUT_PUSH:
        return send_push(self, out, late_ms);
    case OUT_OPEN:
        return open_worker(self, out);
    case OUT_CLOSE:
        sockets_worker_close(self->sockets, out->peer, clock_boot_ms());
        return 0;
    case OUT_DROP:
        sockets_unpush(self->sockets, out->peer, out->number);
        return 0;
    case OUT_FORGET:
        payloads_drop(self->payloads, out->number);
        return 0;
    default:
        if (is_of_peers(out->event) &&
            !log_limit_take(&self->peers_log, clock_boot_ms(), LOG_PEERS_MAX, LOG_LIMIT_MS))
            return 0;
        log_line((log_level_t)out->level, out->event, "%.*s", (int)out->text.len, out->text.ptr);
        publish(self, out);
        return 0;
    }
}

/* The documents just committed are likely to be sent next; the body of a task that is gone is not. */
static void keep_documents(broker_t *self) {
    size_t count;
    record_t *records = effects_records(self->effects, &count);
    for (size_t i = 0; i < count; i++) {
        record_t *r = &records[i];
        CRASH_POINT_RECORD("committed", r->type);
        if (r->type == REC_TASK_GONE) {
            if (r->task.call == CALL_UPLOAD_RESULT || r->task.call == CALL_UPLOAD_URL)
                spool_remove(self->spool, r->task.number);
        } else if (r->type == REC_TASK_FAIL) {
            payloads_drop(self->payloads, r->task.number);
        } else if (r->doc) {
            doc_t *doc = r->doc;
            r->doc = NULL;
            payloads_put(self->payloads, r->task.number, &doc);
        }
    }
}

static void tell_left_out(log_limit_t *limit, const char *what) {
    uint64_t lines = log_limit_left_out(limit, clock_boot_ms(), LOG_LIMIT_MS);
    if (lines > 0) log_warn("log_left_out", "what=%s lines=%" PRIu64, what, lines);
}

int broker_send(broker_t *self, int64_t late_ms) {
    size_t count;
    int err = 0;
    keep_documents(self);
    out_t *outs = effects_outs(self->effects, &count);
    for (size_t i = 0; !err && i < count; i++) {
        CRASH_POINT_MSG("send", outs[i].msg.type);
        err = send_one(self, &outs[i], late_ms);
        CRASH_POINT_MSG("sent", outs[i].msg.type);
    }
    tell_left_out(&self->bad_log, "bad_message");
    tell_left_out(&self->peers_log, "workers");
    return err;
}
