#include "broker/bodies.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "broker/flow.h"
#include "common/err.h"
#include "common/log.h"

#define RETRY_MS  1000  /* after a write that failed */
#define LIFE_MS   2000  /* a session whose chunks come hears of it this often */
#define IDLE_MS   60000 /* what is known of a session's pipe is kept this long */
#define AHEAD_MAX (BODIES_WINDOW / MSG_CHUNK_MAX)

typedef enum { STREAM_WAITS, STREAM_OPEN, STREAM_WHOLE } stream_state_t;

/* A session that sends bodies. */
typedef struct writer_t {
    uint64_t peer, session;
    flow_t flow;
    uint64_t ahead;   /* octets allowed to its streams that have not come */
    unsigned streams; /* that are its own */
    int64_t told_ms;  /* when a CREDIT or ABORT was sent last */
    struct writer_t *next;
} writer_t;

typedef struct stream_t {
    stream_state_t state;
    writer_t *writer;
    uint64_t session, number, stream, length;
    uint32_t attempt;
    uint64_t received, upto;
    uint64_t turn;               /* when it got credit last, in the order of all that was given */
    bool told;                   /* the writer knows `upto` */
    int64_t held_ms;             /* since when it is first in line without room; 0: it never was */
    int64_t stuck_ms;            /* and the disk, though not full, takes no such body; 0: it is not so */
    int fd;                      /* while open */
    int64_t given_ms[AHEAD_MAX]; /* when the chunks that have not come were allowed */
    struct stream_t *next;
} stream_t;

struct bodies_t {
    spool_t *spool;
    bodies_handler_t handler;
    stream_t *streams; /* oldest first */
    writer_t *writers;
    uint64_t ahead; /* of all of them */
    uint64_t turns;
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

/* --- who sends --- */

static writer_t *find_writer(const bodies_t *self, uint64_t session) {
    for (writer_t *w = self->writers; w; w = w->next)
        if (w->session == session) return w;
    return NULL;
}

static void drop_writers(bodies_t *self, int64_t idle_before_ms) {
    for (writer_t **at = &self->writers; *at;) {
        writer_t *writer = *at;
        if (writer->streams == 0 && writer->flow.heard_ms < idle_before_ms) {
            *at = writer->next;
            free(writer);
        } else {
            at = &writer->next;
        }
    }
}

static writer_t *writer_of(bodies_t *self, uint64_t peer, uint64_t session, int64_t now_ms) {
    writer_t *writer = find_writer(self, session);
    if (!writer) {
        drop_writers(self, now_ms - IDLE_MS);
        writer = calloc(1, sizeof *writer);
        if (!writer) return NULL;
        writer->session = session;
        flow_begin(&writer->flow, now_ms);
        writer->next = self->writers;
        self->writers = writer;
    }
    writer->peer = peer;
    return writer;
}

/* --- streams --- */

/* It came, or is not expected any more. */
static void less_ahead(bodies_t *self, writer_t *writer, uint64_t octets) {
    writer->ahead -= octets;
    self->ahead -= octets;
}

/* Takes the stream out, with what it has written. */
static void drop(bodies_t *self, stream_t *stream) {
    less_ahead(self, stream->writer, stream->upto - stream->received);
    stream->writer->streams--;
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
    drop_writers(*self, INT64_MAX);
    free(*self);
    *self = NULL;
}

static void tell(const bodies_t *self, writer_t *writer, msg_t *msg, int64_t now_ms) {
    self->handler.send(self->handler.ctx, writer->peer, msg);
    writer->told_ms = now_ms;
}

static void tell_abort(const bodies_t *self, writer_t *writer, uint64_t stream, abort_t reason,
                       int64_t now_ms) {
    msg_t msg = {.type = MSG_ABORT};
    msg.abort = (msg_abort_t){writer->session, stream, (uint8_t)reason};
    tell(self, writer, &msg, now_ms);
}

static void stop(bodies_t *self, stream_t *stream, abort_t reason, int64_t now_ms) {
    tell_abort(self, stream->writer, stream->stream, reason, now_ms);
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
    stop(self, stream, ABORT_NO_ROOM, now_ms);
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
    writer_t *writer = writer_of(self, peer, body->session, now_ms);
    stream_t *stream = writer ? calloc(1, sizeof *stream) : NULL;
    if (!stream) return ERR_NOMEM;
    *stream = (stream_t){.writer = writer,
                         .session = body->session,
                         .number = body->number,
                         .stream = body->stream,
                         .length = body->length,
                         .attempt = body->attempt,
                         .fd = -1,
                         .told = true};
    writer->streams++;
    stream_t **at = &self->streams;
    while (*at)
        at = &(*at)->next;
    *at = stream;
    if (body->length == 0) stop(self, stream, ABORT_STALE, now_ms); /* an executor knows it */
    return 0;
}

void bodies_heard(bodies_t *self, uint64_t session, int64_t now_ms) {
    writer_t *writer = find_writer(self, session);
    if (writer) flow_heard(&writer->flow, now_ms);
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

/* When the chunk at `offset`, which has been allowed and has not come, was. */
static int64_t *given_ms(stream_t *stream, uint64_t offset) {
    return &stream->given_ms[offset / MSG_CHUNK_MAX % AHEAD_MAX];
}

void bodies_chunk(bodies_t *self, const msg_chunk_t *chunk, const void *bytes, uint64_t size,
                  int64_t now_ms) {
    writer_t *writer = find_writer(self, chunk->session);
    stream_t *stream = find_stream(self, chunk->session, chunk->stream);
    if (!writer) return; /* it has no session any more, or will say HELLO */
    flow_heard(&writer->flow, now_ms);
    if (!stream) tell_abort(self, writer, chunk->stream, ABORT_STALE, now_ms); /* once more: it may be lost */
    if (!stream || stream->state == STREAM_WHOLE) return;
    bool last = chunk->offset + size == stream->length;
    if (stream->state != STREAM_OPEN || chunk->number != stream->number ||
        chunk->attempt != stream->attempt || chunk->offset != stream->received || size == 0 ||
        size > stream->upto - stream->received || last != (chunk->last != 0) ||
        (!last && size != MSG_CHUNK_MAX)) {
        stop(self, stream, ABORT_STALE, now_ms);
        return;
    }
    if (spool_write(stream->fd, bytes, size, stream->received) != 0) {
        failed(self, stream, now_ms);
        return;
    }
    bool full = writer->ahead + flow_step(&writer->flow) > writer->flow.window;
    flow_arrived(&writer->flow, *given_ms(stream, stream->received), full, now_ms);
    stream->received += size;
    less_ahead(self, writer, size);
    if (last) whole(self, stream, now_ms);
}

bool bodies_result(bodies_t *self, const msg_result_t *result, int64_t now_ms) {
    if (!self->handler.runs(self->handler.ctx, result->session, result->number, result->attempt)) return true;
    writer_t *writer = find_writer(self, result->session);
    stream_t *stream = find_stream(self, result->session, result->stream);
    if (stream && (stream->number != result->number || stream->attempt != result->attempt)) return false;
    if (stream && stream->state == STREAM_WHOLE) {
        stream->state = STREAM_WAITS; /* the file stays */
        drop(self, stream);
        return true;
    }
    if (stream)
        stop(self, stream, ABORT_STALE, now_ms); /* it comes after its chunks: some were lost on the way */
    else if (writer)
        tell_abort(self, writer, result->stream, ABORT_STALE, now_ms); /* of one that has been stopped */
    return false;
}

/* --- each turn --- */

static void judge(bodies_t *self, int64_t now_ms) {
    for (stream_t *s = self->streams, *next; s; s = next) {
        next = s->next;
        if (!self->handler.runs(self->handler.ctx, s->session, s->number, s->attempt))
            drop(self, s);
        else if (s->upto > s->received && flow_lost(&s->writer->flow, *given_ms(s, s->received), now_ms))
            stop(self, s, ABORT_WRITER, now_ms);
    }
}

/* Octets promised to streams that are open, and of these not yet written. */
typedef struct {
    uint64_t promised, unwritten;
} reserved_t;

static reserved_t reserved(const bodies_t *self) {
    reserved_t sum = {0, 0};
    for (const stream_t *s = self->streams; s; s = s->next) {
        if (s->state != STREAM_OPEN) continue;
        sum.promised += s->length;
        sum.unwritten += s->length - s->received;
    }
    return sum;
}

/* It waits for room. */
static void hold(bodies_t *self, stream_t *stream, const char *why, int64_t now_ms) {
    self->hold = why;
    if (stream->held_ms) return;
    stream->held_ms = now_ms;
    log_warn("body_waits", "number=%" PRIu64 " length=%" PRIu64 " why=\"%s\"", stream->number, stream->length,
             why);
}

/* The disk has no room for it. When nothing that the spool will let go of could make any, it would wait, and
 * all behind it, and fetching, for as long as it takes others to free some: it may be for ever. Executors
 * keep what waits in files, as a rule on the same disk. */
static void judge_stuck(bodies_t *self, stream_t *stream, const reserved_t *sum, int64_t now_ms) {
    int64_t patience_ms = sum->promised > 0 || spool_counted(self->spool) > 0
                              ? INT64_MAX
                              : spool_patience_ms(self->spool, stream->length);
    if (patience_ms == INT64_MAX) {
        stream->stuck_ms = 0;
        return;
    }
    if (stream->stuck_ms == 0) stream->stuck_ms = now_ms;
    if (now_ms - stream->stuck_ms < patience_ms) return;
    log_error("body_given_up",
              "number=%" PRIu64 " length=%" PRIu64 " waited_ms=%" PRId64
              " why=\"%s, and nothing in the spool could make any\"",
              stream->number, stream->length, now_ms - stream->held_ms, SPOOL_DISK_FULL);
    stream->stuck_ms = now_ms; /* it ends with its task */
    self->handler.no_room(self->handler.ctx, stream->number, stream->attempt);
}

/* False when it has to wait, and so all behind it. */
static bool begin_one(bodies_t *self, stream_t *stream, bool leaves, reserved_t *sum, int64_t now_ms) {
    const char *why = leaves ? NULL : spool_refuses(self->spool, stream->length, sum->promised);
    const char *disk = why ? NULL : spool_disk_refuses(self->spool, stream->length, sum->unwritten);
    if (why || disk) {
        hold(self, stream, why ? why : disk, now_ms);
        if (disk)
            judge_stuck(self, stream, sum, now_ms);
        else
            stream->stuck_ms = 0;
        return false;
    }
    stream->fd = spool_create(self->spool, stream->number, stream->attempt);
    if (stream->fd < 0) {
        failed(self, stream, now_ms);
        return false;
    }
    stream->state = STREAM_OPEN;
    sum->promised += stream->length;
    sum->unwritten += stream->length;
    if (stream->held_ms)
        log_info("body_begins", "number=%" PRIu64 " waited_ms=%" PRId64, stream->number,
                 now_ms - stream->held_ms);
    return true;
}

/* In order: who is first in line is passed by nobody, so that each has its turn, but by those whose executor
 * could not bring them later. */
static void begin(bodies_t *self, int64_t now_ms) {
    bool may = now_ms >= self->retry_ms;
    reserved_t sum = reserved(self);
    self->hold = may ? NULL : SPOOL_DISK_FULL;
    for (int leaving = 1; leaving >= 0; leaving--) {
        for (stream_t *s = self->streams, *next; s && may; s = next) {
            next = s->next;
            if (s->state == STREAM_WAITS && self->handler.leaves(self->handler.ctx, s->session) == leaving)
                may = begin_one(self, s, leaving, &sum, now_ms);
        }
    }
    if (!self->hold && spool_counted(self->spool) >= spool_max(self->spool)) self->hold = SPOOL_FULL;
}

/* Octets that the stream may be allowed now; 0 for none. */
static uint64_t step_of(const bodies_t *self, const stream_t *stream) {
    const writer_t *writer = stream->writer;
    uint64_t step = flow_step(&writer->flow);
    if (stream->state != STREAM_OPEN || self->ahead + step > BODIES_POOL ||
        writer->ahead + step > writer->flow.window || stream->upto - stream->received + step > BODIES_WINDOW)
        return 0;
    return stream->length - stream->upto < step ? stream->length - stream->upto : step;
}

/* The stream that is least ahead and may get more; among equals the one that has waited longest. */
static stream_t *neediest(const bodies_t *self) {
    stream_t *found = NULL;
    for (stream_t *s = self->streams; s; s = s->next) {
        uint64_t ahead = s->upto - s->received, least = found ? found->upto - found->received : 0;
        if (step_of(self, s) == 0) continue;
        if (!found || ahead < least || (ahead == least && s->turn < found->turn)) found = s;
    }
    return found;
}

static void allow(bodies_t *self, stream_t *stream, int64_t now_ms) {
    uint64_t step = step_of(self, stream);
    for (uint64_t at = stream->upto; at < stream->upto + step; at += MSG_CHUNK_MAX)
        *given_ms(stream, at) = now_ms;
    stream->upto += step;
    stream->writer->ahead += step;
    self->ahead += step;
    stream->turn = ++self->turns;
    stream->told = false;
}

/* Chunks come, and there may be nothing to say: their sender has to know that they do. */
static bool owes_life(const stream_t *stream, int64_t now_ms) {
    const writer_t *writer = stream->writer;
    return stream->upto > 0 && writer->flow.heard_ms > writer->told_ms && now_ms - writer->told_ms >= LIFE_MS;
}

static void give_credit(bodies_t *self, int64_t now_ms) {
    for (stream_t *s; (s = neediest(self)) != NULL;)
        allow(self, s, now_ms);
    for (stream_t *s = self->streams; s; s = s->next) {
        if (s->told && !owes_life(s, now_ms)) continue;
        msg_t msg = {.type = MSG_CREDIT};
        msg.credit = (msg_credit_t){s->session, s->stream, s->upto};
        tell(self, s->writer, &msg, now_ms);
        s->told = true;
    }
}

void bodies_turn(bodies_t *self, int64_t now_ms) {
    if (!self->streams && !self->hold && spool_counted(self->spool) < spool_max(self->spool)) return;
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

unsigned bodies_waiting(const bodies_t *self, uint64_t *number, uint64_t *bytes) {
    unsigned count = 0;
    for (const stream_t *s = self->streams; s; s = s->next) {
        if (s->state != STREAM_WAITS || count++ > 0) continue;
        *number = s->number;
        *bytes = s->length;
    }
    return count;
}

bool bodies_look(const bodies_t *self, uint64_t number, body_view_t *view) {
    unsigned waiting = 0;
    for (const stream_t *s = self->streams; s; s = s->next) {
        bool waits = s->state == STREAM_WAITS;
        waiting += waits;
        if (s->number != number) continue;
        *view = (body_view_t){s->length, s->received, waits ? waiting : 0};
        return true;
    }
    return false;
}

int64_t bodies_due_ms(const bodies_t *self, int64_t now_ms) {
    return self->streams || self->hold ? now_ms + RETRY_MS : INT64_MAX;
}
