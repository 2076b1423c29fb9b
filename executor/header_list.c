#include "executor/header_list.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"

static header_t *find(const header_list_t *self, const char *name) {
    for (size_t i = 0; i < self->count; i++) {
        if (strcasecmp(self->items[i].name, name) == 0) return &self->items[i];
    }
    return NULL;
}

static header_t *append(header_list_t *self) {
    if (self->count == self->size) {
        size_t size = self->size ? self->size * 2 : 16;
        header_t *grown = realloc(self->items, size * sizeof *grown);
        if (!grown) return NULL;
        self->items = grown;
        self->size = size;
    }
    self->items[self->count] = (header_t){0};
    return &self->items[self->count++];
}

int header_list_set(header_list_t *self, const char *name, const char *value) {
    header_t *header = find(self, name);
    char *name_copy, *value_copy;

    if (!header && self->count >= HEADER_LIST_MAX) return ERR_TOO_LARGE;
    name_copy = strdup(name);
    value_copy = strdup(value);
    if (!header && name_copy && value_copy) header = append(self);
    if (!name_copy || !value_copy || !header) {
        free(name_copy);
        free(value_copy);
        return ERR_NOMEM;
    }
    free(header->name);
    free(header->value);
    header->name = name_copy;
    header->value = value_copy;
    return 0;
}

const char *header_list_get(const header_list_t *self, const char *name) {
    const header_t *header = find(self, name);

    return header ? header->value : NULL;
}

void header_list_remove(header_list_t *self, const char *name) {
    header_t *header = find(self, name);
    size_t at;

    if (!header) return;
    free(header->name);
    free(header->value);
    at = (size_t)(header - self->items);
    memmove(header, header + 1, (self->count - at - 1) * sizeof *header);
    self->count--;
}

void header_list_wipe(header_list_t *self) {
    for (size_t i = 0; i < self->count; i++)
        explicit_bzero(self->items[i].value, strlen(self->items[i].value));
    header_list_clear(self);
}

void header_list_clear(header_list_t *self) {
    for (size_t i = 0; i < self->count; i++) {
        free(self->items[i].name);
        free(self->items[i].value);
    }
    free(self->items);
    *self = (header_list_t){0};
}
