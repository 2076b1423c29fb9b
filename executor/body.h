/* The decoded body of an answer while it arrives: in memory up to SLUICE_INLINE_BODY_MAX octets, beyond that
 * in an unlinked temporary file, compressed on the way when AC is to get it. */
#ifndef SLUICE_EXECUTOR_BODY_H
#define SLUICE_EXECUTOR_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/messages.h"
#include "common/sink.h"

typedef struct body_t body_t;

/* `state_dir` is one of the places for the file, borrowed. NULL when out of memory. */
body_t *body_new(body_kind_t kind, const char *state_dir);
/* Closes the file unless it was taken. Accepts NULL; nulls the pointer. */
void body_destroy(body_t **self);

/* Where the octets go. Its write gives ERR_NOMEM, or ERR_IO: body_errno() tells why. */
sink_t body_sink(body_t *self);
/* At the end: what the compression still holds goes into the file. ERR_IO, ERR_NOMEM. */
int body_finish(body_t *self);
int body_errno(const body_t *self);

/* A body in memory, NULL when it is empty or in a file. Borrowed. */
const void *body_inline(const body_t *self, size_t *size);
bool body_is_large(const body_t *self);
uint64_t body_decoded(const body_t *self); /* octets that arrived */
/* The file, to be closed by the caller, and how many octets it has. Only of a large body, once. */
int body_take_file(body_t *self, uint64_t *length);

#endif
