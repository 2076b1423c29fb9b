#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "generator.h"
#include "map.h"
#include "mem.h"
#include "upload.h"

struct put {
    const task_t *task;
    const body_t *body; /* what has to come; NULL for a task without one */
    apart_t apart;
    put_t *next;
};

struct store {
    tasks_t *tasks;
    uint64_t seed;
    uint64_t grants;
    map_t *by_path;
    put_t *puts;
};

store_t *store_new(tasks_t *tasks, uint64_t seed) {
    store_t *self = mem_new(1, sizeof *self);
    *self = (store_t){.tasks = tasks, .seed = seed, .by_path = map_new()};
    return self;
}

void store_destroy(store_t **self) {
    if (!*self) return;
    while ((*self)->puts) {
        put_t *put = (*self)->puts;
        (*self)->puts = put->next;
        free(put);
    }
    map_destroy(&(*self)->by_path);
    free(*self);
    *self = NULL;
}

bool store_grant(store_t *self, span_t file_name, buf_t *put_path, buf_t *get_path) {
    if (file_name.len <= 32 || !is_hex32((span_t){file_name.data + file_name.len - 32, 32})) return false;
    const span_t id = {file_name.data, file_name.len - 32};
    const task_t *task = tasks_by_id(self->tasks, id);
    if (!task && span_is(id, "sluice-doctor")) { /* asks, and puts nothing there */
        buf_printf(put_path, "/store/put/none");
        buf_printf(get_path, "/store/get/none");
        return true;
    }
    if (!task) return false;
    put_t *put = mem_new(1, sizeof *put);
    *put = (put_t){.task = task, .next = self->puts};
    put->body = plan_expected(task_plan(task), task_method(task));
    self->puts = put;
    uint64_t token = mix64(self->seed, self->grants++);
    buf_printf(put_path, "/store/put/%016" PRIx64, token);
    buf_printf(get_path, "/store/get/%016" PRIx64, token);
    map_put(self->by_path, span_buf(put_path), put);
    map_put(self->by_path, span_buf(get_path), put);
    return true;
}

put_t *store_put(store_t *self, span_t path) {
    put_t *put = span_starts(path, "/store/put/") ? map_get(self->by_path, path) : NULL;
    if (put) put->apart = (apart_t){.present = true, .matches = true};
    return put;
}

void put_data(put_t *self, span_t piece) {
    if (!self->body || !body_matches(self->body, self->apart.len, piece)) self->apart.matches = false;
    self->apart.len += piece.len;
}

/* The tool's header with this name, or what the mock sends without being asked. */
static const char *tool_header(const task_t *task, const char *name, const char *otherwise) {
    const plan_t *plan = task_plan(task);
    for (size_t i = 0; i < plan->header_count; i++)
        if (strcasecmp(plan->headers[i].name, name) == 0) return plan->headers[i].value;
    return task_number(task) ? otherwise : NULL;
}

static bool same_header(const char *sent, const char *stored) {
    return sent ? stored && strcmp(sent, stored) == 0 : !stored;
}

bool put_end(put_t *self, const char *type, const char *encoding, buf_t *error) {
    self->apart.whole = true;
    if (!same_header(tool_header(self->task, "Content-Type", GENERATED_TYPE), type))
        buf_text(error, "the store's PUT has not the tool's Content-Type");
    else if (!same_header(tool_header(self->task, "Content-Encoding", NULL), encoding))
        buf_text(error, "the store's PUT has not the tool's Content-Encoding");
    return !error->len;
}

apart_t store_find(const store_t *self, span_t url) {
    const char *path = url.len ? memmem(url.data, url.len, "/store/get/", 11) : NULL;
    if (!path) return (apart_t){0};
    const put_t *put = map_get(self->by_path, (span_t){path, url.len - (size_t)(path - url.data)});
    return put ? put->apart : (apart_t){0};
}
