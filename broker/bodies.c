#include "broker/bodies.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/log.h"

#define STEP     ((uint64_t)2 * MSG_CHUNK_MAX) /* credit is given by this much */
#define RETRY_MS 1000                          /* after a write that failed */

typedef enum { STREAM_WAITS, STREAM_OPEN, STREAM_WHOLE } stream_state_t;

typedef struct stream_t {
    stream_state_t state;
    uint64_t peer, session, number, stream, length;
    uint32_t attempt;
    uint64_t received, upto;
    bool told; /* the writer knows `upto` */
    int fd;    /* while open */
    int64_t moved_ms;
    struct stream_t *next;
} stream_t;

struct bodies_t {
    spool_t *spool;
    bodies_handler_t handler;
    stream_t *streams; /* oldest first */
    const char *hold;
    int64_t retry_ms; /* nothing is begun before */
    bool failing;     /* the last write failed, and that was logged */
};

bodies_t *bodies_new(spool_t *spool, const bodies_handler_t *handler) {
    bodies_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->spool = spool;
    self->handler = *handler;
    return self;
}

/* Takes the stream out, with what it has written. */
static void drop(bodies_t *self, stream_t *stream) {
    if (stream->state == STREAM_OPEN)
        spool_discard(self->spool, stream->fd, stream->number, stream->attempt);
    else if (stream->state == STREAM_WHOLE)
        spool_remove(self->spool, stream->number);
    for (stream_t **at = &self->streams; *at; at = &(*at)->next) {
        if (*at != stream) continue;
        *at = stream->next;
        break;
    }
    free(stream);
}

void bodies_destroy(bodies_t **self) {
    if (!*self) return;
    while ((*self)->streams)
        drop(*self, (*self)->streams);
    free(*self);
    *self = NULL;
}

static void stop(bodies_t *self, stream_t *stream, abort_t reason) {
    msg_t msg = {.type = MSG_ABORT};
    msg.abort = (msg_abort_t){stream->session, stream->stream, (uint8_t)reason};
    self->handler.send(self->handler.ctx, stream->peer, &msg);
    log_info("body_stopped",
             "number=%" PRIu64 " stream=%" PRIu64 " at=%" PRIu64 " length=%" PRIu64 " reason=%d",
             stream->number, stream->stream, stream->received, stream->length, reason);
    drop(self, stream);
}

static void failed(bodies_t *self, stream_t *stream, int64_t now_ms) {
    if (!self->failing)
        log_error("spool_failed", "number=%" PRIu64 " why=\"%s\" consequence=\"fetching pauses\"",
                  stream->number, strerror(errno));
    self->failing = true;
    self->retry_ms = now_ms + RETRY_MS;
    if (stream->state == STREAM_WHOLE) stream->state = STREAM_WAITS; /* its file is gone already */
    stop(self, stream, ABORT_NO_ROOM);
}

static stream_t *find_stream(const bodies_t *self, uint64_t session, uint64_t id) {
    for (stream_t *s = self->streams; s; s = s->next)
        if (s->session == session && s->stream == id) return s;
    return NULL;
}

static stream_t *find_task(const bodies_t *self, uint64_t number) {
    for (stream_t *s = self->streams; s; s = s->next)
        if (s->number == number) return s;
    return NULL;
}

int bodies_announced(bodies_t *self, uint64_t peer, const msg_body_t *body, int64_t now_ms) {
    if (!self->handler.runs(self->handler.ctx, body->session, body->number, body->attempt)) return 0;
    stream_t *known = find_task(self, body->number);
    if (known && known->session == body->session && known->stream == body->stream) {
        known->told = known->upto == 0; /* the CREDIT may be lost: said again */
        return 0;
    }
    if (known) drop(self, known); /* its writer began anew */
    stream_t *stream = calloc(1, sizeof *stream);
    if (!stream) return ERR_NOMEM;
    *stream = (stream_t){.peer = peer,
                         .session = body->session,
                         .number = body->number,
                         .stream = body->stream,
                         .length = body->length,
                         .attempt = body->attempt,
                         .fd = -1,
                         .told = true,
                         .moved_ms = now_ms};
    stream_t **at = &self->streams;
    while (*at)
        at = &(*at)->next;
    *at = stream;
    if (body->length == 0) stop(self, stream, ABORT_STALE); /* an executor knows it */
    return 0;
}

static void whole(bodies_t *self, stream_t *stream, int64_t now_ms) {
    int err = spool_keep(self->spool, stream->fd, stream->number, stream->attempt);
    stream->fd = -1;
    stream->state = STREAM_WHOLE;
    if (err) {
        failed(self, stream, now_ms);
        return;
    }
    if (self->failing) log_warn("spool_recovered", NULL);
    self->failing = false;
}

void bodies_chunk(bodies_t *self, const msg_chunk_t *chunk, const void *bytes, uint64_t size,
                  int64_t now_ms) {
    stream_t *stream = find_stream(self, chunk->session, chunk->stream);
    if (!stream || stream->state == STREAM_WHOLE) return; /* its writer has been told, or will say HELLO */
    bool last = chunk->offset + size == stream->length;
    if (stream->state != STREAM_OPEN || chunk->number != stream->number ||
        chunk->attempt != stream->attempt || chunk->offset != stream->received || size == 0 ||
        size > stream->upto - stream->received || last != (chunk->last != 0) ||
        (!last && size != MSG_CHUNK_MAX)) {
        stop(self, stream, ABORT_STALE);
        return;
    }
    if (spool_write(stream->fd, bytes, size, stream->received) != 0) {
        failed(self, stream, now_ms);
        return;
    }
    stream->received += size;
    stream->moved_ms = now_ms;
    if (last) whole(self, stream, now_ms);
}

bool bodies_result(bodies_t *self, const msg_result_t *result) {
    if (!self->handler.runs(self->handler.ctx, result->session, result->number, result->attempt)) return true;
    stream_t *stream = find_task(self, result->number);
    if (!stream || stream->session != result->session || stream->attempt != result->attempt) return false;
    if (stream->state != STREAM_WHOLE) {
        stop(self, stream, ABORT_STALE); /* chunks were lost on the way */
        return false;
    }
    stream->state = STREAM_WAITS; /* the file stays */
    drop(self, stream);
    return true;
}

/* --- each turn --- */

static void judge(bodies_t *self, int64_t now_ms) {
    for (stream_t *s = self->streams, *next; s; s = next) {
        next = s->next;
        if (!self->handler.runs(self->handler.ctx, s->session, s->number, s->attempt))
            drop(self, s);
        else if (s->state == STREAM_OPEN && s->upto > s->received && now_ms - s->moved_ms > BODIES_STALL_MS)
            stop(self, s, ABORT_WRITER);
    }
}

/* Octets promised to streams that are open, and of these not yet written. */
static uint64_t reserved(const bodies_t *self, uint64_t *unwritten) {
    uint64_t sum = 0;
    *unwritten = 0;
    for (const stream_t *s = self->streams; s; s = s->next) {
        if (s->state != STREAM_OPEN) continue;
        sum += s->length;
        *unwritten += s->length - s->received;
    }
    return sum;
}

/* In order; one that alone would not fit does not hold up the others. */
static void begin(bodies_t *self, int64_t now_ms) {
    self->hold = NULL;
    if (now_ms < self->retry_ms) self->hold = "the disk has no room for large bodies";
    for (stream_t *s = self->streams, *next; s && !self->hold; s = next) {
        uint64_t unwritten, promised = reserved(self, &unwritten);
        next = s->next;
        if (s->state != STREAM_WAITS) continue;
        const char *why = spool_refuses(self->spool, s->length, promised, unwritten);
        if (why && s->length > spool_max(self->spool)) continue;
        self->hold = why;
        if (why) break;
        s->fd = spool_create(self->spool, s->number, s->attempt);
        if (s->fd < 0) {
            failed(self, s, now_ms);
            break;
        }
        s->state = STREAM_OPEN;
        s->moved_ms = now_ms;
    }
    if (!self->hold && spool_bytes(self->spool) >= spool_max(self->spool))
        self->hold = "the spool of large bodies is full";
}

/* The open stream that is least ahead and may get more. */
static stream_t *neediest(const bodies_t *self) {
    stream_t *found = NULL;
    for (stream_t *s = self->streams; s; s = s->next) {
        uint64_t ahead = s->upto - s->received;
        if (s->state != STREAM_OPEN || s->upto == s->length || ahead + STEP > BODIES_WINDOW) continue;
        if (!found || ahead < found->upto - found->received) found = s;
    }
    return found;
}

static void give_credit(bodies_t *self, int64_t now_ms) {
    uint64_t ahead = 0;
    for (stream_t *s = self->streams; s; s = s->next)
        if (s->state == STREAM_OPEN) ahead += s->upto - s->received;
    for (stream_t *s; ahead + STEP <= BODIES_POOL && (s = neediest(self)) != NULL;) {
        uint64_t step = s->length - s->upto < STEP ? s->length - s->upto : STEP;
        if (s->upto == s->received) s->moved_ms = now_ms; /* it could not go on before */
        s->upto += step;
        s->told = false;
        ahead += step;
    }
    for (stream_t *s = self->streams; s; s = s->next) {
        if (s->state != STREAM_OPEN || s->told) continue;
        msg_t msg = {.type = MSG_CREDIT};
        msg.credit = (msg_credit_t){s->session, s->stream, s->upto};
        self->handler.send(self->handler.ctx, s->peer, &msg);
        s->told = true;
    }
}

void bodies_turn(bodies_t *self, int64_t now_ms) {
    if (!self->streams && !self->hold && spool_bytes(self->spool) < spool_max(self->spool)) return;
    judge(self, now_ms);
    begin(self, now_ms);
    give_credit(self, now_ms);
}

const char *bodies_hold(const bodies_t *self) {
    return self->hold;
}

unsigned bodies_count(const bodies_t *self) {
    unsigned count = 0;
    for (const stream_t *s = self->streams; s; s = s->next)
        count++;
    return count;
}

int64_t bodies_due_ms(const bodies_t *self, int64_t now_ms) {
    return self->streams || self->hold ? now_ms + RETRY_MS : INT64_MAX;
}
