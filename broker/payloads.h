/* The documents of tasks that are likely to be sent soon, kept in memory up to a bound; the journal has them
 * all. */
#ifndef SLUICE_BROKER_PAYLOADS_H
#define SLUICE_BROKER_PAYLOADS_H

#include <stdint.h>

#include "broker/doc.h"

typedef struct payloads_t payloads_t;

payloads_t *payloads_new(size_t max_bytes);
void payloads_destroy(payloads_t **self);
/* Takes over *doc, in place of what was kept for the number; frees it when there is no room. */
void payloads_put(payloads_t *self, uint64_t number, doc_t **doc);
/* Borrowed; NULL when it is not kept. */
doc_t *payloads_get(payloads_t *self, uint64_t number);
void payloads_drop(payloads_t *self, uint64_t number);

#endif
