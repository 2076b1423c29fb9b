/* A sentence on a task, put together before it is broken into lines. */
#ifndef SLUICE_CLI_SENTENCE_H
#define SLUICE_CLI_SENTENCE_H

#include <stddef.h>
#include <yajl/yajl_tree.h>

#define SENTENCE_MAX 480

typedef struct {
    char text[SENTENCE_MAX];
    size_t len;
} sentence_t;

/* What does not fit is left out. */
void sentence_add(sentence_t *self, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "executor-1 (pid 7 on host)": the member `name` of the object, its pid and its host. */
void sentence_add_worker(sentence_t *self, yajl_val node, const char *name);

#endif
