/* A document: the JSON of a task or of a result, as it came in a message frame. Shared with ZeroMQ without
 * copying. */
#ifndef SLUICE_BROKER_DOC_H
#define SLUICE_BROKER_DOC_H

#include <stddef.h>
#include <zmq.h>

typedef struct doc_t doc_t;

/* Takes over the contents of the frame (it is empty afterwards). NULL when out of memory. */
doc_t *doc_take(zmq_msg_t *frame);
doc_t *doc_copy_of(const void *bytes, size_t size);
void doc_destroy(doc_t **self);
/* For effects_clear(). */
void doc_free(void **doc);

const void *doc_data(const doc_t *self);
size_t doc_size(const doc_t *self);
/* Makes `frame` (initialised here) share the document's bytes. 0 or ERR_NOMEM. */
int doc_share(doc_t *self, zmq_msg_t *frame);

#endif
