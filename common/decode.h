/* Undoes a Content-Encoding of gzip or deflate (also several, one in the other) while a body arrives. Unknown
 * encodings pass as they are. */
#ifndef SLUICE_COMMON_DECODE_H
#define SLUICE_COMMON_DECODE_H

#include <stddef.h>

#include "common/sink.h"

#define DECODE_CHAIN_MAX 5

typedef struct decode_t decode_t;

/* Sets *self to a decoder for the header's value, or to NULL when there is nothing to decode. ERR_NOMEM;
 * ERR_UNSUPPORTED for more than DECODE_CHAIN_MAX encodings. */
int decode_new(const char *encodings, decode_t **self);
void decode_destroy(decode_t **self);

#define DECODE_MORE 1

/* Takes encoded octets and writes the decoded ones to `sink`: 0, ERR_MALFORMED when they are no such stream,
 * what the sink returned, or DECODE_MORE when the room was used up before all was done. *room is how many
 * octets it may take and give, of all encodings in sum, and is lessened by that many; it may be exceeded by
 * 32 KiB. *taken tells how many of `bytes` it has taken; after DECODE_MORE the rest comes once more, be
 * it of no length. */
int decode_write(decode_t *self, const void *bytes, size_t size, size_t *room, size_t *taken,
                 const sink_t *sink);
/* At the end of the body: ERR_MALFORMED when a stream was cut short. */
int decode_finish(const decode_t *self);

#endif
