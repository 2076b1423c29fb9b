#include "routes.h"

#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "mem.h"

typedef struct entry {
    route_t route;
    plan_t plan; /* of an extra resource */
    struct entry *next;
} entry_t;

struct routes {
    map_t *by_uri;
    entry_t *entries;
};

routes_t *routes_new(void) {
    routes_t *self = mem_new(1, sizeof *self);
    self->by_uri = map_new();
    return self;
}

void routes_destroy(routes_t **self) {
    if (!*self) return;
    while ((*self)->entries) {
        entry_t *entry = (*self)->entries;
        (*self)->entries = entry->next;
        plan_free(&entry->plan);
        free(entry);
    }
    map_destroy(&(*self)->by_uri);
    free(*self);
    *self = NULL;
}

static span_t cut_at(span_t text, char at) {
    const char *found = text.len ? memchr(text.data, at, text.len) : NULL;
    return found ? (span_t){text.data, (size_t)(found - text.data)} : text;
}

static entry_t *entry_add(routes_t *self, span_t uri) {
    entry_t *entry = mem_new(1, sizeof *entry);
    entry->next = self->entries;
    self->entries = entry;
    buf_t key = {0};
    uri_decode(cut_at(uri, '#'), &key);
    map_put(self->by_uri, span_buf(&key), entry);
    buf_free(&key);
    return entry;
}

void routes_add_task(routes_t *self, span_t uri, task_t *task) {
    entry_add(self, uri)->route = (route_t){task_plan(task), task, true};
}

void routes_add_extra(routes_t *self, span_t uri, plan_t *plan, task_t *task) {
    entry_t *entry = entry_add(self, uri);
    entry->plan = *plan;
    *plan = (plan_t){0};
    entry->route = (route_t){&entry->plan, task, false};
}

static const entry_t *lookup(const routes_t *self, span_t uri) {
    buf_t key = {0};
    uri_decode(uri, &key);
    const entry_t *entry = map_get(self->by_uri, span_buf(&key));
    buf_free(&key);
    return entry;
}

const route_t *routes_find(const routes_t *self, span_t uri) {
    const entry_t *entry = lookup(self, uri);
    if (!entry) entry = lookup(self, cut_at(uri, '?'));
    return entry ? &entry->route : NULL;
}
