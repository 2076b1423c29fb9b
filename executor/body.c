#define ZLIB_CONST /* zlib takes its input as const */

#include "executor/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "common/err.h"
#include "common/task_json.h"
#include "executor/temp_file.h"

#define LEVEL      3 /* of gzip: half the time of 6 for a tenth more octets */
#define GZIP_BITS  (MAX_WBITS + 16)
#define OUT_BUFFER 16384

struct body_t {
    body_kind_t kind;
    const char *state_dir;
    memory_sink_t memory;
    sink_t to_memory;
    int fd; /* -1 while it is small, or when it was taken */
    bool large, packing;
    z_stream zlib;
    uint64_t decoded, stored;
    int reason; /* errno */
};

body_t *body_new(body_kind_t kind, const char *state_dir) {
    body_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->kind = kind;
    self->state_dir = state_dir;
    self->fd = -1;
    self->to_memory = memory_sink(&self->memory, SLUICE_INLINE_BODY_MAX);
    return self;
}

static void end_packing(body_t *self) {
    if (self->packing) (void)deflateEnd(&self->zlib);
    self->packing = false;
}

void body_destroy(body_t **self) {
    if (!self || !*self) return;
    end_packing(*self);
    memory_sink_clear(&(*self)->memory);
    if ((*self)->fd >= 0) (void)close((*self)->fd);
    free(*self);
    *self = NULL;
}

static int put(body_t *self, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = write(self->fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            self->reason = n < 0 ? errno : ENOSPC;
            return ERR_IO;
        }
        at += n;
        size -= (size_t)n;
        self->stored += (uint64_t)n;
    }
    return 0;
}

static int pack(body_t *self, const void *bytes, size_t size, int flush) {
    unsigned char out[OUT_BUFFER];
    self->zlib.next_in = bytes;
    self->zlib.avail_in = (uInt)size;
    do {
        self->zlib.next_out = out;
        self->zlib.avail_out = sizeof out;
        if (deflate(&self->zlib, flush) == Z_STREAM_ERROR) return ERR_INVALID;
        int err = put(self, out, sizeof out - self->zlib.avail_out);
        if (err) return err;
    } while (self->zlib.avail_out == 0);
    return 0;
}

static int store(body_t *self, const void *bytes, size_t size) {
    return self->kind == BODY_GZIP ? pack(self, bytes, size, Z_NO_FLUSH) : put(self, bytes, size);
}

/* It has grown too large for memory: what is there goes into a file. */
static int move_to_file(body_t *self) {
    self->large = true;
    self->fd = temp_file_open(self->state_dir);
    if (self->fd < 0) {
        self->reason = errno;
        return ERR_IO;
    }
    if (self->kind == BODY_GZIP) {
        if (deflateInit2(&self->zlib, LEVEL, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
            return ERR_NOMEM;
        self->packing = true;
    }
    int err = store(self, self->memory.bytes, self->memory.len);
    memory_sink_clear(&self->memory);
    return err;
}

static int body_write(void *ctx, const void *bytes, size_t size) {
    body_t *self = ctx;
    int err = self->large ? 0 : self->to_memory.write(self->to_memory.ctx, bytes, size);
    if (!self->large && err != ERR_TOO_LARGE) {
        if (!err) self->decoded += size;
        return err;
    }
    err = self->large ? 0 : move_to_file(self);
    if (!err) err = store(self, bytes, size);
    if (!err) self->decoded += size;
    return err;
}

sink_t body_sink(body_t *self) {
    return (sink_t){.write = body_write, .ctx = self};
}

int body_finish(body_t *self) {
    int err = self->packing ? pack(self, NULL, 0, Z_FINISH) : 0;
    end_packing(self);
    return err;
}

int body_errno(const body_t *self) {
    return self->reason;
}

const void *body_inline(const body_t *self, size_t *size) {
    *size = self->memory.len;
    return self->memory.len > 0 ? self->memory.bytes : NULL;
}

bool body_is_large(const body_t *self) {
    return self->large;
}

uint64_t body_decoded(const body_t *self) {
    return self->decoded;
}

int body_take_file(body_t *self, uint64_t *length) {
    int fd = self->fd;
    *length = self->stored;
    self->fd = -1;
    return fd;
}
