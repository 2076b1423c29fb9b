#include "broker/doc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

struct doc_t {
    zmq_msg_t msg;
};

doc_t *doc_take(zmq_msg_t *frame) {
    doc_t *self = malloc(sizeof *self);
    if (!self) return NULL;
    (void)zmq_msg_init(&self->msg);
    (void)zmq_msg_move(&self->msg, frame);
    return self;
}

doc_t *doc_copy_of(const void *bytes, size_t size) {
    doc_t *self = malloc(sizeof *self);
    if (!self) return NULL;
    if (zmq_msg_init_size(&self->msg, size) != 0) {
        free(self);
        return NULL;
    }
    if (size > 0) memcpy(zmq_msg_data(&self->msg), bytes, size);
    return self;
}

void doc_destroy(doc_t **self) {
    if (!*self) return;
    (void)zmq_msg_close(&(*self)->msg);
    free(*self);
    *self = NULL;
}

void doc_free(void **doc) {
    doc_t *self = *doc;
    doc_destroy(&self);
    *doc = NULL;
}

const void *doc_data(const doc_t *self) {
    /* zmq_msg_data() takes no const, but does not change the message */
    return zmq_msg_data(&((doc_t *)(uintptr_t)self)->msg);
}

size_t doc_size(const doc_t *self) {
    return zmq_msg_size(&self->msg);
}

int doc_share(doc_t *self, zmq_msg_t *frame) {
    (void)zmq_msg_init(frame);
    return zmq_msg_copy(frame, &self->msg) == 0 ? 0 : ERR_NOMEM;
}
