#include "broker/payloads.h"

#include <czmq.h>
#include <stdlib.h>

#include "broker/number_map.h"

typedef struct {
    uint64_t number;
    doc_t *doc;
} kept_t;

struct payloads_t {
    zhashx_t *by_number;
    size_t bytes, max_bytes;
};

payloads_t *payloads_new(size_t max_bytes) {
    payloads_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->max_bytes = max_bytes;
    self->by_number = number_map_new();
    if (!self->by_number) {
        free(self);
        return NULL;
    }
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
