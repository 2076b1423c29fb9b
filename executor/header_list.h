/* The headers of a request: names compare without case, setting one again keeps its place and takes the new
 * spelling, as the old agent's header dictionary does. Values are octets as they are sent (ISO 8859-1). */
#ifndef SLUICE_EXECUTOR_HEADER_LIST_H
#define SLUICE_EXECUTOR_HEADER_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define HEADER_LIST_MAX 4000

typedef struct {
    char *name, *value;
} header_t;

typedef struct {
    header_t *items;
    size_t count, size;
} header_list_t;

/* Copies both. ERR_NOMEM, ERR_TOO_LARGE beyond HEADER_LIST_MAX. */
int header_list_set(header_list_t *self, const char *name, const char *value);
/* NULL when it is not there. */
const char *header_list_get(const header_list_t *self, const char *name);
void header_list_remove(header_list_t *self, const char *name);
void header_list_clear(header_list_t *self);
/* The same, and leaves nothing of the values in memory. */
void header_list_wipe(header_list_t *self);

#endif
