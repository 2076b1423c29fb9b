#include "executor/send_body.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "executor/run_task.h"

#define STALL_MS      30000 /* nothing is answered, of whatever went out: the stream begins anew */
#define NO_ROOM_MS    1000
#define FULL_MS       20 /* the socket takes no more now */
#define CHUNKS_A_TURN 4

void send_body_again(run_t *run) {
    run->body.state = OUTGOING_IDLE;
    run->body.due_ms = 0;
}

bool send_body_waits(const run_t *run) {
    return run->body.has_file && run->result && run->claimed &&
           (run->body.state == OUTGOING_ANNOUNCED || run->body.state == OUTGOING_IDLE);
}

static run_t *find(const executor_t *self, uint64_t stream) {
    for (uint32_t i = 0; i < slots_count(self->slots); i++) {
        run_t *run = slots_at(self->slots, i);
        if (run->body.has_file && run->body.state != OUTGOING_IDLE && run->body.stream == stream) return run;
    }
    return NULL;
}

void send_body_credit(executor_t *self, const msg_credit_t *credit) {
    run_t *run = find(self, credit->stream);
    self->answered_ms = self->now_ms;
    if (!run || credit->upto <= run->body.upto) return;
    outgoing_t *body = &run->body;
    body->upto = credit->upto < body->length ? credit->upto : body->length;
    body->moved_ms = self->now_ms;
    body->due_ms = 0;
    if (body->state == OUTGOING_ANNOUNCED) body->state = OUTGOING_SENDING;
}

void send_body_abort(executor_t *self, const msg_abort_t *abort) {
    run_t *run = find(self, abort->stream);
    self->answered_ms = self->now_ms;
    if (!run) return;
    log_info("body_stopped", "number=%" PRIu64 " sent=%" PRIu64 " length=%" PRIu64 " reason=%u", run->number,
             run->body.sent, run->body.length, abort->reason);
    send_body_again(run);
    if (abort->reason == ABORT_NO_ROOM) run->body.due_ms = self->now_ms + NO_ROOM_MS;
}

/* The broker makes room for what nobody could bring later. */
static void tell_drain(executor_t *self, const run_t *run) {
    msg_t msg = {.type = MSG_DRAIN, .drain = {.session = run->session, .mode = 1}};
    (void)link_send(self->link, &msg);
}

static void announce(executor_t *self, run_t *run) {
    outgoing_t *body = &run->body;
    if (body->state == OUTGOING_IDLE) {
        body->state = OUTGOING_ANNOUNCED;
        body->stream = ++self->streams;
        body->sent = body->upto = 0;
    }
    if (self->draining) tell_drain(self, run);
    msg_t msg = {.type = MSG_BODY};
    msg.body = (msg_body_t){.session = run->session,
                            .number = run->number,
                            .attempt = run->attempt,
                            .stream = body->stream,
                            .length = body->length,
                            .kind = (uint8_t)body->kind};
    (void)link_send(self->link, &msg);
    body->due_ms = self->now_ms + PROTOCOL_REPEAT_MS;
}

/* Reads the next chunk. When the file cannot be read the run is forgotten: missing from the heartbeats, its
 * task is ended by the broker as its method allows. */
static bool read_chunk(executor_t *self, run_t *run, size_t size) {
    if (!self->chunk) self->chunk = malloc(MSG_CHUNK_MAX);
    errno = ENOMEM;
    for (size_t have = 0; self->chunk;) {
        if (have == size) return true;
        ssize_t n = pread(run->body.fd, self->chunk + have, size - have, (off_t)(run->body.sent + have));
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = EIO;
        if (n <= 0) break;
        have += (size_t)n;
    }
    log_error("body_unreadable", "number=%" PRIu64 " at=%" PRIu64 " why=\"%s\"", run->number, run->body.sent,
              strerror(errno));
    run_forget(self, run);
    return false;
}

/* True when it went out and the credit holds for more. */
static bool send_chunk(executor_t *self, run_t *run) {
    outgoing_t *body = &run->body;
    uint64_t left = body->length - body->sent;
    size_t size = left < MSG_CHUNK_MAX ? (size_t)left : MSG_CHUNK_MAX;
    if (body->sent + size > body->upto || !read_chunk(self, run, size)) return false;
    msg_t msg = {.type = MSG_CHUNK};
    msg.chunk = (msg_chunk_t){.session = run->session,
                              .number = run->number,
                              .attempt = run->attempt,
                              .stream = body->stream,
                              .offset = body->sent,
                              .last = size == left};
    if (link_push(self->link, &msg, self->chunk, size) != 0) {
        body->due_ms = self->now_ms + FULL_MS;
        return false;
    }
    body->sent += size;
    body->moved_ms = self->now_ms;
    if (size < left) return true;
    body->state = OUTGOING_SENT;
    run->next_send_ms = 0; /* RESULT */
    return false;
}

/* Its chunks wait behind all else that went out, so any answer tells that they are on their way. */
static int64_t stalls_ms(const executor_t *self, const outgoing_t *body) {
    return (body->moved_ms > self->answered_ms ? body->moved_ms : self->answered_ms) + STALL_MS;
}

bool send_body_turn(executor_t *self, run_t *run) {
    outgoing_t *body = &run->body;
    if (!body->has_file || !run->result || !run->claimed || link_session(self->link) != run->session ||
        self->now_ms < body->due_ms)
        return false;
    bool moves = body->state == OUTGOING_SENDING || body->state == OUTGOING_SENT;
    if (moves && self->now_ms > stalls_ms(self, body)) {
        log_warn("body_stalled", "number=%" PRIu64 " sent=%" PRIu64 " length=%" PRIu64, run->number,
                 body->sent, body->length);
        send_body_again(run);
    }
    if (body->state == OUTGOING_IDLE || body->state == OUTGOING_ANNOUNCED) {
        announce(self, run);
        return false;
    }
    bool more = body->state == OUTGOING_SENDING;
    for (int i = 0; more && i < CHUNKS_A_TURN; i++)
        more = send_chunk(self, run);
    return more;
}

int64_t send_body_due_ms(const executor_t *self, const run_t *run) {
    const outgoing_t *body = &run->body;
    if (!body->has_file || !run->result || !run->claimed || link_session(self->link) != run->session)
        return INT64_MAX;
    if (body->state == OUTGOING_IDLE || body->state == OUTGOING_ANNOUNCED) return body->due_ms;
    if (body->due_ms > self->now_ms) return body->due_ms;
    return stalls_ms(self, body) + 1;
}
