/* Memory for a test tool: every allocation succeeds or the program ends with a message. */
#ifndef MOCK_AC_MEM_H
#define MOCK_AC_MEM_H

#include <stddef.h>

/* Zeroed memory of `count` times `size` bytes; never NULL. The caller frees it. */
void *mem_new(size_t count, size_t size);

/* Grows or shrinks `old` (NULL allowed) to `count` times `size` bytes; new bytes are not set. */
void *mem_resize(void *old, size_t count, size_t size);

/* A copy of `len` bytes with a NUL behind them. */
char *mem_copy(const void *data, size_t len);

#endif
