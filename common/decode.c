#define ZLIB_CONST /* zlib takes its input as const */

#include "common/decode.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "common/err.h"

#define DECODE_BUFFER 16384

typedef enum { FORMAT_GZIP, FORMAT_DEFLATE } format_t;

/* How far a stream is. A gzip body may hold several members; what follows the last one is ignored. */
typedef enum { STREAM_EMPTY, STREAM_OPEN, STREAM_ENDED, STREAM_MORE, STREAM_IGNORE } state_t;

typedef struct {
    format_t format;
    state_t state;
    bool begun; /* inflateInit2() was done */
    bool full;  /* it may have more to give without further input */
    z_stream zlib;
    unsigned char first[2]; /* of a deflate body: they tell a zlib header from raw data */
    size_t first_len;
    const unsigned char *in; /* not taken yet: of the caller, or in the next stage's `out` */
    size_t left;
    unsigned char *out; /* DECODE_BUFFER octets for the stage before; the first stage writes to the sink */
} stage_t;

struct decode_t {
    size_t count;
    stage_t stages[DECODE_CHAIN_MAX]; /* the first writes to the sink, the last takes what comes */
};

static int add_stage(decode_t *self, const char *name, size_t len) {
    format_t format;

    if ((len == 4 && strncasecmp(name, "gzip", 4) == 0) || (len == 6 && strncasecmp(name, "x-gzip", 6) == 0))
        format = FORMAT_GZIP;
    else if (len == 7 && strncasecmp(name, "deflate", 7) == 0)
        format = FORMAT_DEFLATE;
    else
        return 0;
    if (self->count == DECODE_CHAIN_MAX) return ERR_UNSUPPORTED;
    stage_t *stage = &self->stages[self->count];
    *stage = (stage_t){.format = format};
    if (self->count > 0) stage->out = malloc(DECODE_BUFFER);
    if (self->count > 0 && !stage->out) return ERR_NOMEM;
    self->count++;
    return 0;
}

int decode_new(const char *encodings, decode_t **self) {
    decode_t *decode = calloc(1, sizeof *decode);
    int err = 0;

    if (!decode) return ERR_NOMEM;
    while (*encodings && !err) {
        size_t len = strcspn(encodings, ",");
        size_t skip = strspn(encodings, " \t");
        size_t end = len;
        while (end > skip && strchr(" \t", encodings[end - 1]))
            end--;
        if (skip < end) err = add_stage(decode, encodings + skip, end - skip);
        encodings += len;
        if (*encodings == ',') encodings++;
    }
    if (err || decode->count == 0) decode_destroy(&decode);
    if (!err) *self = decode;
    return err;
}

void decode_destroy(decode_t **self) {
    if (!self || !*self) return;
    for (size_t i = 0; i < (*self)->count; i++) {
        if ((*self)->stages[i].begun) (void)inflateEnd(&(*self)->stages[i].zlib);
        free((*self)->stages[i].out);
    }
    free(*self);
    *self = NULL;
}

static int begin(stage_t *stage) {
    int bits = MAX_WBITS + 16;

    if (stage->format == FORMAT_DEFLATE) {
        bool zlib = stage->first_len == 2 && (stage->first[0] & 0x0f) == Z_DEFLATED &&
                    (stage->first[0] * 256 + stage->first[1]) % 31 == 0;
        bits = zlib ? MAX_WBITS : -MAX_WBITS;
    }
    if (inflateInit2(&stage->zlib, bits) != Z_OK) return ERR_NOMEM;
    stage->begun = true;
    stage->state = STREAM_OPEN;
    return 0;
}

/* What a failed or ended inflate() means for the stage. */
static int judge(stage_t *stage, int status) {
    if (status == Z_STREAM_END) {
        bool again = stage->format == FORMAT_GZIP && inflateReset(&stage->zlib) == Z_OK;
        stage->state = again ? STREAM_ENDED : STREAM_IGNORE;
        return 0;
    }
    if (status == Z_OK || status == Z_BUF_ERROR) {
        if (stage->state == STREAM_ENDED) stage->state = STREAM_MORE;
        return 0;
    }
    if (status == Z_MEM_ERROR) return ERR_NOMEM;
    if (stage->state == STREAM_OPEN) return ERR_MALFORMED;
    stage->state = STREAM_IGNORE;
    return 0;
}

static bool is_pending(const stage_t *stage) {
    return stage->left > 0 || stage->full;
}

/* Inflates `bytes` as far as there is room for what they give, and passes that to the stage that undoes the
 * encoding applied before this one, or to the sink. Tells in *used how many it has taken and adds to *cost
 * how many it has given. */
static int inflate_some(decode_t *self, size_t at, const unsigned char *bytes, size_t size, size_t *used,
                        size_t *cost, const sink_t *sink) {
    stage_t *stage = &self->stages[at];
    unsigned char last[DECODE_BUFFER], *out = at > 0 ? stage->out : last;

    stage->zlib.next_in = bytes;
    stage->zlib.avail_in = (uInt)size;
    stage->zlib.next_out = out;
    stage->zlib.avail_out = DECODE_BUFFER;
    int status = inflate(&stage->zlib, Z_NO_FLUSH);
    size_t made = DECODE_BUFFER - stage->zlib.avail_out;
    *used = size - stage->zlib.avail_in;
    *cost += made;
    int err = judge(stage, status);
    stage->full = stage->zlib.avail_out == 0 && stage->state != STREAM_IGNORE;
    if (err || made == 0) return err;
    if (at == 0) return sink->write(sink->ctx, out, made);
    self->stages[at - 1].in = out;
    self->stages[at - 1].left = made;
    return 0;
}

/* The first octets of a deflate body, which are inflated when there are enough to tell what it is. */
static int take_first(decode_t *self, size_t at, size_t *cost, const sink_t *sink) {
    stage_t *stage = &self->stages[at];
    size_t used;

    stage->first[stage->first_len++] = *stage->in++;
    stage->left--;
    stage->state = STREAM_OPEN;
    if (stage->first_len < 2) return 0;
    int err = begin(stage);
    return err ? err : inflate_some(self, at, stage->first, 2, &used, cost, sink);
}

/* Goes on with a stage that is pending, and adds to *cost what it takes and gives. */
static int step(decode_t *self, size_t at, size_t *cost, const sink_t *sink) {
    stage_t *stage = &self->stages[at];
    size_t before = stage->left, used = 0;
    int err = 0;

    if (!stage->begun && stage->format == FORMAT_DEFLATE) {
        err = take_first(self, at, cost, sink);
    } else if (stage->state != STREAM_IGNORE) {
        if (!stage->begun) err = begin(stage);
        size_t size = before < DECODE_BUFFER ? before : DECODE_BUFFER;
        if (!err) err = inflate_some(self, at, stage->in, size, &used, cost, sink);
        stage->in += used;
        stage->left -= used;
    }
    if (stage->state == STREAM_IGNORE) stage->left = 0;
    *cost += before - stage->left;
    return err;
}

int decode_write(decode_t *self, const void *bytes, size_t size, size_t *room, size_t *taken,
                 const sink_t *sink) {
    stage_t *last = &self->stages[self->count - 1];
    int err = 0;

    last->in = bytes;
    last->left = size;
    while (!err) {
        size_t at = 0, cost = 0;
        while (at < self->count && !is_pending(&self->stages[at]))
            at++;
        if (at == self->count) break;
        if (*room == 0) {
            err = DECODE_MORE;
            break;
        }
        err = step(self, at, &cost, sink);
        *room -= cost < *room ? cost : *room;
    }
    *taken = size - last->left;
    return err;
}

int decode_finish(const decode_t *self) {
    for (size_t i = 0; i < self->count; i++) {
        const stage_t *stage = &self->stages[i];
        if (is_pending(stage)) return ERR_MALFORMED;
        if (stage->state == STREAM_OPEN) return ERR_MALFORMED;
        /* A further member that was cut short counts once it had given something. */
        if (stage->state == STREAM_MORE && stage->zlib.total_out > 0) return ERR_MALFORMED;
    }
    return 0;
}
