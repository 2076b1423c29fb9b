#include "map.h"

#include <stdlib.h>

#include "mem.h"

typedef struct {
    uint64_t hash;
    char *key; /* NULL: a free place */
    size_t key_len;
    void *value;
} entry_t;

struct map {
    entry_t *entries;
    size_t cap; /* a power of two */
    size_t count;
};

map_t *map_new(void) {
    map_t *self = mem_new(1, sizeof *self);
    self->cap = 64;
    self->entries = mem_new(self->cap, sizeof(entry_t));
    return self;
}

void map_destroy(map_t **self) {
    if (!*self) return;
    for (size_t i = 0; i < (*self)->cap; i++)
        free((*self)->entries[i].key);
    free((*self)->entries);
    free(*self);
    *self = NULL;
}

static uint64_t hash_of(span_t key) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (unsigned char)key.data[i]) * 0x100000001b3u;
    return hash;
}

/* The place of the key, or the free place where it belongs. */
static entry_t *place_of(const map_t *self, span_t key, uint64_t hash) {
    size_t at = hash & (self->cap - 1);
    for (;;) {
        entry_t *entry = &self->entries[at];
        if (!entry->key || (entry->hash == hash && span_same((span_t){entry->key, entry->key_len}, key)))
            return entry;
        at = (at + 1) & (self->cap - 1);
    }
}

static void grow(map_t *self) {
    map_t bigger = {mem_new(self->cap * 2, sizeof(entry_t)), self->cap * 2, self->count};
    for (size_t i = 0; i < self->cap; i++) {
        const entry_t *entry = &self->entries[i];
        if (entry->key) *place_of(&bigger, (span_t){entry->key, entry->key_len}, entry->hash) = *entry;
    }
    free(self->entries);
    *self = bigger;
}

void map_put(map_t *self, span_t key, void *value) {
    if (self->count * 2 >= self->cap) grow(self);
    uint64_t hash = hash_of(key);
    entry_t *entry = place_of(self, key, hash);
    if (!entry->key) {
        *entry = (entry_t){hash, mem_copy(key.data, key.len), key.len, NULL};
        self->count++;
    }
    entry->value = value;
}

void *map_get(const map_t *self, span_t key) {
    return place_of(self, key, hash_of(key))->value;
}
