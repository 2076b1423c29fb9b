/* Where the decoded body of an answer goes. One for memory is here; one that spools to disk fits in its
 * place. */
#ifndef SLUICE_COMMON_SINK_H
#define SLUICE_COMMON_SINK_H

#include <stddef.h>

/* Takes octets: 0, ERR_TOO_LARGE when there may be no more, ERR_NOMEM or ERR_IO. */
typedef struct {
    int (*write)(void *ctx, const void *bytes, size_t size);
    void *ctx;
} sink_t;

/* A body held in memory. */
typedef struct {
    char *bytes;
    size_t len, size, max;
} memory_sink_t;

/* The sink of `memory`, which it borrows; it holds at most `max` octets. */
sink_t memory_sink(memory_sink_t *memory, size_t max);
void memory_sink_clear(memory_sink_t *memory);

#endif
