#define ZLIB_CONST /* zlib takes its input as const */

#include "executor/decode.h"

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
    z_stream zlib;
    unsigned char first[2]; /* of a deflate body: they tell a zlib header from raw data */
    size_t first_len;
} stage_t;

struct decode_t {
    size_t count;
    stage_t stages[DECODE_CHAIN_MAX];
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
    self->stages[self->count++] = (stage_t){.format = format};
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

static int stage_write(decode_t *self, size_t at, const unsigned char *bytes, size_t size,
                       const sink_t *sink);

/* Passes decoded octets to the stage that undoes the encoding applied before this one, or to the sink. */
static int pass_on(decode_t *self, size_t at, const unsigned char *bytes, size_t size, const sink_t *sink) {
    if (size == 0) return 0;
    if (at == 0) return sink->write(sink->ctx, bytes, size);
    return stage_write(self, at - 1, bytes, size, sink);
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

static int inflate_all(decode_t *self, size_t at, const unsigned char *bytes, size_t size,
                       const sink_t *sink) {
    stage_t *stage = &self->stages[at];
    unsigned char out[DECODE_BUFFER];
    bool full;

    stage->zlib.next_in = bytes;
    stage->zlib.avail_in = (uInt)size;
    do {
        int err, status;
        stage->zlib.next_out = out;
        stage->zlib.avail_out = sizeof out;
        status = inflate(&stage->zlib, Z_NO_FLUSH);
        full = stage->zlib.avail_out == 0;
        err = pass_on(self, at, out, sizeof out - stage->zlib.avail_out, sink);
        if (!err) err = judge(stage, status);
        if (err) return err;
    } while (stage->state != STREAM_IGNORE && (stage->zlib.avail_in > 0 || full));
    return 0;
}

static int stage_write(decode_t *self, size_t at, const unsigned char *bytes, size_t size,
                       const sink_t *sink) {
    stage_t *stage = &self->stages[at];
    int err;

    if (stage->state == STREAM_IGNORE || size == 0) return 0;
    while (!stage->begun && stage->format == FORMAT_DEFLATE && stage->first_len < 2 && size > 0) {
        stage->first[stage->first_len++] = *bytes++;
        size--;
        stage->state = STREAM_OPEN;
        if (stage->first_len < 2) continue;
        err = begin(stage);
        if (!err) err = inflate_all(self, at, stage->first, 2, sink);
        if (err) return err;
    }
    if (!stage->begun && stage->format == FORMAT_GZIP) {
        err = begin(stage);
        if (err) return err;
    }
    if (size == 0 || stage->state == STREAM_IGNORE) return 0;
    return inflate_all(self, at, bytes, size, sink);
}

int decode_write(decode_t *self, const void *bytes, size_t size, const sink_t *sink) {
    return stage_write(self, self->count - 1, bytes, size, sink);
}

int decode_finish(const decode_t *self) {
    for (size_t i = 0; i < self->count; i++) {
        const stage_t *stage = &self->stages[i];
        if (stage->state == STREAM_OPEN) return ERR_MALFORMED;
        /* A further member that was cut short counts once it had given something. */
        if (stage->state == STREAM_MORE && stage->zlib.total_out > 0) return ERR_MALFORMED;
    }
    return 0;
}
