#include "broker/payloads.h"

#include <czmq.h>
#include <stdlib.h>

typedef struct {
    uint64_t number;
    doc_t *doc;
} kept_t;

struct payloads_t {
    zhashx_t *by_number;
    size_t bytes, max_bytes;
};

static size_t hash(const void *key) {
    uint64_t n = *(const uint64_t *)key;
    return (size_t)((n ^ (n >> 32)) * 0x9e3779b97f4a7c15u >> 16);
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

payloads_t *payloads_new(size_t max_bytes) {
    payloads_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->max_bytes = max_bytes;
    self->by_number = zhashx_new();
    if (!self->by_number) {
        free(self);
        return NULL;
    }
    zhashx_set_key_duplicator(self->by_number, NULL);
    zhashx_set_key_destructor(self->by_number, NULL);
    zhashx_set_key_comparator(self->by_number, compare);
    zhashx_set_key_hasher(self->by_number, hash);
    return self;
}

void payloads_destroy(payloads_t **self) {
    if (!*self) return;
    for (kept_t *kept = zhashx_first((*self)->by_number); kept; kept = zhashx_next((*self)->by_number)) {
        doc_destroy(&kept->doc);
        free(kept);
    }
    zhashx_destroy(&(*self)->by_number);
    free(*self);
    *self = NULL;
}

void payloads_drop(payloads_t *self, uint64_t number) {
    kept_t *kept = zhashx_lookup(self->by_number, &number);
    if (!kept) return;
    zhashx_delete(self->by_number, &number);
    self->bytes -= doc_size(kept->doc);
    doc_destroy(&kept->doc);
    free(kept);
}

void payloads_put(payloads_t *self, uint64_t number, doc_t **doc) {
    payloads_drop(self, number);
    kept_t *kept = self->bytes + doc_size(*doc) <= self->max_bytes ? malloc(sizeof *kept) : NULL;
    if (!kept) {
        doc_destroy(doc);
        return;
    }
    *kept = (kept_t){number, *doc};
    *doc = NULL;
    if (zhashx_insert(self->by_number, &kept->number, kept) != 0) {
        doc_destroy(&kept->doc);
        free(kept);
        return;
    }
    self->bytes += doc_size(kept->doc);
}

doc_t *payloads_get(payloads_t *self, uint64_t number) {
    kept_t *kept = zhashx_lookup(self->by_number, &number);
    return kept ? kept->doc : NULL;
}
