/* From a text to a pointer that is not owned. Entries are added or replaced, never taken out. */
#ifndef MOCK_AC_MAP_H
#define MOCK_AC_MAP_H

#include "text.h"

typedef struct map map_t;

map_t *map_new(void);
void map_destroy(map_t **self);

/* Keeps a copy of the key. */
void map_put(map_t *self, span_t key, void *value);

/* NULL when there is no such key. */
void *map_get(const map_t *self, span_t key);

#endif
