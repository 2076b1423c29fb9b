#include "tests/bench/floor_task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void no_memory(void) {
    (void)fputs("floor: out of memory\n", stderr);
    exit(1);
}

static char *reserve(floor_text_t *self, size_t more) {
    if (!self->ptr || self->len + more + 1 > self->size) {
        self->size = 2 * (self->len + more) + 256;
        self->ptr = realloc(self->ptr, self->size);
        if (!self->ptr) no_memory();
    }
    char *at = self->ptr + self->len;
    self->len += more;
    self->ptr[self->len] = '\0';
    return at;
}

void floor_text_add(floor_text_t *self, const char *bytes, size_t size) {
    memcpy(reserve(self, size), bytes, size);
}

/* The text of a member; NULL when there is none. The mock escapes quotes and backslashes in what it
 * generates, and nothing else. */
static char *member(const char *json, const char *name) {
    const char *at = strstr(json, name);
    if (!at) return NULL;
    at += strlen(name);
    char *copy = strdup(at), *to = copy;
    if (!copy) no_memory();
    for (; *at && *at != '"'; at++) {
        if (*at == '\\') at++;
        if (!*at) break;
        *to++ = *at;
    }
    *to = '\0';
    return copy;
}

floor_task_t *floor_task_read(const char *answer, size_t bytes) {
    const char *from = bytes ? strstr(answer, "\"data\"") : NULL;
    from = from ? strchr(from, '{') : NULL;
    if (!from) return NULL;
    floor_task_t *self = calloc(1, sizeof *self);
    if (!self) no_memory();
    size_t len = (size_t)(answer + bytes - from);
    while (len > 0 && from[len - 1] != '}')
        len--;
    floor_text_add(&self->raw, from, len - 1); /* without the } of the answer */
    self->url = member(self->raw.ptr, "\"url\":\"");
    self->method = member(self->raw.ptr, "\"method\":\"");
    self->input = member(self->raw.ptr, "\"input\":\"");
    char *header = member(self->raw.ptr, "\"X-Mock-Task\":\"");
    (void)snprintf(self->header, sizeof self->header, "X-Mock-Task: %s", header ? header : "0");
    free(header);
    if (self->url && self->method) return self;
    (void)fprintf(stderr, "floor: cannot read %s\n", answer);
    exit(1);
}

void floor_task_finish(floor_task_t *self, size_t bytes) {
    static const char members[] =
        ",\"version\":\"2.0.0\",\"statusCode\":200,\"responseHeaders\":{\"Content-Type\":\"text/plain\"},"
        "\"responseBase64\":true,\"output\":\"";
    size_t output = (bytes + 2) / 3 * 4;
    while (self->raw.len > 0 && self->raw.ptr[self->raw.len - 1] != '}')
        self->raw.len--;
    self->raw.len--;
    floor_text_add(&self->raw, members, sizeof members - 1);
    memset(reserve(&self->raw, output), 'A', output);
    floor_text_add(&self->raw, "\"}", 2);
}

void floor_task_destroy(floor_task_t **self) {
    free((*self)->raw.ptr);
    free((*self)->url);
    free((*self)->method);
    free((*self)->input);
    free(*self);
    *self = NULL;
}
