/* ISO 8859-1, which is what goes into a header. */
#ifndef SLUICE_EXECUTOR_LATIN1_H
#define SLUICE_EXECUTOR_LATIN1_H

#include <stddef.h>

/* Freed by the caller; NULL when out of memory, or when a character has no place in it. */
char *latin1_from_utf8(const char *text, size_t size);

#endif
