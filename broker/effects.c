#include "broker/effects.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384

typedef struct block_t {
    struct block_t *next;
    size_t used, size;
    _Alignas(16) char bytes[];
} block_t;

struct effects_t {
    record_t *records;
    size_t record_count, record_size;
    size_t latest[REC_TYPES]; /* index + 1 of the latest record of each type */
    out_t *outs;
    size_t out_count, out_size;
    block_t *blocks;
    bool failed;
    record_t no_record; /* what callers write to after a failure */
    out_t no_out;
};

effects_t *effects_new(void) {
    return calloc(1, sizeof(effects_t));
}

void effects_clear(effects_t *self, void (*doc_free)(void **doc)) {
    for (size_t i = 0; i < self->record_count; i++)
        if (self->records[i].doc && doc_free) doc_free(&self->records[i].doc);
    self->record_count = 0;
    memset(self->latest, 0, sizeof self->latest);
    self->out_count = 0;
    while (self->blocks && self->blocks->next) {
        block_t *block = self->blocks;
        self->blocks = block->next;
        free(block);
    }
    if (self->blocks) self->blocks->used = 0;
    self->failed = false;
}

void effects_destroy(effects_t **self, void (*doc_free)(void **doc)) {
    if (!*self) return;
    effects_clear(*self, doc_free);
    free((*self)->blocks);
    free((*self)->records);
    free((*self)->outs);
    free(*self);
    *self = NULL;
}

bool effects_failed(const effects_t *self) {
    return self->failed;
}

/* Room for one item more; NULL when there is none, the items then stay as they are. */
static void *grow(void *items, size_t count, size_t *size, size_t item_bytes) {
    if (count < *size) return items;
    size_t wanted = *size ? *size * 2 : 32;
    void *grown = realloc(items, wanted * item_bytes);
    if (grown) *size = wanted;
    return grown;
}

record_t *effects_record(effects_t *self, record_type_t type) {
    record_t *record = &self->no_record;
    record_t *records = grow(self->records, self->record_count, &self->record_size, sizeof *records);
    if (records) {
        self->records = records;
        record = &records[self->record_count++];
        self->latest[type] = self->record_count;
    } else {
        self->failed = true;
    }
    memset(record, 0, sizeof *record);
    record->type = type;
    return record;
}

record_t *effects_latest(effects_t *self, record_type_t type) {
    return self->latest[type] ? &self->records[self->latest[type] - 1] : NULL;
}

out_t *effects_out(effects_t *self, out_type_t type, uint64_t peer) {
    out_t *out = &self->no_out;
    out_t *outs = grow(self->outs, self->out_count, &self->out_size, sizeof *outs);
    if (outs) {
        self->outs = outs;
        out = &outs[self->out_count++];
    } else {
        self->failed = true;
    }
    memset(out, 0, sizeof *out);
    out->type = type;
    out->peer = peer;
    return out;
}

msg_t *effects_msg(effects_t *self, uint64_t peer, msg_type_t type) {
    out_t *out = effects_out(self, OUT_CONTROL, peer);
    out->msg.type = type;
    return &out->msg;
}

void *effects_memory(effects_t *self, size_t bytes) {
    bytes = (bytes + 15) & ~(size_t)15;
    if (!self->blocks || self->blocks->size - self->blocks->used < bytes) {
        size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block_t *block = malloc(sizeof *block + size);
        if (!block) {
            self->failed = true;
            return NULL;
        }
        *block = (block_t){self->blocks, 0, size};
        self->blocks = block;
    }
    void *at = self->blocks->bytes + self->blocks->used;
    self->blocks->used += bytes;
    return at;
}

str_t effects_text(effects_t *self, str_t text) {
    char *copy = text.len ? effects_memory(self, text.len) : NULL;
    if (!copy) return (str_t){"", 0};
    memcpy(copy, text.ptr, text.len);
    return (str_t){copy, text.len};
}

void effects_log(effects_t *self, int level, const char *event, const char *fmt, ...) {
    char line[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n < 0) n = 0;
    size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    str_t text = effects_text(self, (str_t){line, (uint32_t)len});
    out_t *out = effects_out(self, OUT_LOG, 0);
    out->level = level;
    out->event = event;
    out->text = text;
}

record_t *effects_records(effects_t *self, size_t *count) {
    *count = self->record_count;
    return self->records;
}

out_t *effects_outs(effects_t *self, size_t *count) {
    *count = self->out_count;
    return self->outs;
}
