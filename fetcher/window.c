#include "fetcher/window.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "common/crash_point.h"
#include "common/err.h"
#include "common/mapped_file.h"

#define FILE_BYTES ((size_t)WINDOW_SLOTS * WINDOW_SLOT_BYTES)
#define FULL       0x736c7531u

/* `state` is written last and cleared first, so that the end of the process finds a slot full or empty. The
 * sum is for the end of the machine, after which a page may be there and its neighbour not. */
typedef struct {
    uint32_t state, sum, header_bytes, task_bytes;
    char bytes[WINDOW_SLOT_BYTES - 16];
} slot_t;

struct window_t {
    slot_t *slots;
};

int window_open(const char *state_dir, window_t **self) {
    window_t *window = calloc(1, sizeof *window);
    if (!window) return ERR_NOMEM;
    window->slots = mapped_file(state_dir, "fetcher.window", FILE_BYTES);
    if (!window->slots) {
        free(window);
        return ERR_IO;
    }
    *self = window;
    return 0;
}

void window_close(window_t **self) {
    if (!*self) return;
    (void)munmap((*self)->slots, FILE_BYTES);
    free(*self);
    *self = NULL;
}

static uint32_t sum_of(const slot_t *slot) {
    return (uint32_t)crc32_z(0, (const unsigned char *)slot->bytes, slot->header_bytes + slot->task_bytes);
}

int window_put(window_t *self, const void *header, size_t header_bytes, const void *task, size_t task_bytes) {
    if (!self || header_bytes > sizeof self->slots->bytes ||
        task_bytes > sizeof self->slots->bytes - header_bytes)
        return -1;
    for (int i = 0; i < WINDOW_SLOTS; i++) {
        slot_t *slot = &self->slots[i];
        if (slot->state == FULL) continue;
        slot->header_bytes = (uint32_t)header_bytes;
        slot->task_bytes = (uint32_t)task_bytes;
        memcpy(slot->bytes, header, header_bytes);
        memcpy(slot->bytes + header_bytes, task, task_bytes);
        slot->sum = sum_of(slot);
        CRASH_POINT("window.put");
        __atomic_store_n(&slot->state, FULL, __ATOMIC_RELEASE);
        CRASH_POINT("window.full");
        return i;
    }
    return -1;
}

void window_drop(window_t *self, int slot) {
    if (!self || slot < 0) return;
    CRASH_POINT("window.drop");
    __atomic_store_n(&self->slots[slot].state, 0, __ATOMIC_RELEASE);
    CRASH_POINT("window.dropped");
}

static int is_whole(const slot_t *slot) {
    return slot->header_bytes <= sizeof slot->bytes &&
           slot->task_bytes <= sizeof slot->bytes - slot->header_bytes && slot->sum == sum_of(slot);
}

unsigned window_load(window_t *self,
                     int (*fetch)(void *ctx, int slot, const char *header, size_t header_bytes,
                                  const char *task, size_t task_bytes),
                     void *ctx) {
    unsigned emptied = 0;
    for (int i = 0; self && i < WINDOW_SLOTS; i++) {
        slot_t *slot = &self->slots[i];
        if (slot->state != FULL) continue;
        if (is_whole(slot) && fetch(ctx, i, slot->bytes, slot->header_bytes, slot->bytes + slot->header_bytes,
                                    slot->task_bytes) == 0)
            continue;
        window_drop(self, i);
        emptied++;
    }
    return emptied;
}
