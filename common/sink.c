#include "common/sink.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"

static int memory_write(void *ctx, const void *bytes, size_t size) {
    memory_sink_t *self = ctx;

    if (size > self->max - self->len) return ERR_TOO_LARGE;
    if (self->len + size > self->size) {
        size_t room = self->size * 2 < self->max ? self->size * 2 : self->max;
        char *grown;
        if (room < self->len + size) room = self->len + size;
        grown = realloc(self->bytes, room);
        if (!grown) return ERR_NOMEM;
        self->bytes = grown;
        self->size = room;
    }
    if (size > 0) memcpy(self->bytes + self->len, bytes, size);
    self->len += size;
    return 0;
}

sink_t memory_sink(memory_sink_t *memory, size_t max) {
    *memory = (memory_sink_t){.max = max};
    return (sink_t){.write = memory_write, .ctx = memory};
}

void memory_sink_clear(memory_sink_t *memory) {
    free(memory->bytes);
    *memory = (memory_sink_t){0};
}
