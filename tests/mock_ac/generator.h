/*
 * Tasks made up from ranges and a seed: the same seed gives the same tasks. Each carries unknown
 * members that are hard to echo, and a path by which the tool knows it again.
 */
#ifndef MOCK_AC_GENERATOR_H
#define MOCK_AC_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "tasks.h"
#include "text.h"

/* The Content-Type the tool answers a generated task with. */
#define GENERATED_TYPE "application/octet-stream"

typedef struct generator generator_t;

generator_t *generator_new(uint64_t seed);
void generator_destroy(generator_t **self);

/*
 * Sets what tasks made from now on are like, by option name ("toolDelayMs"). False with the
 * reason appended to `error` for a bad value. An unknown name leaves `*known` false.
 */
bool generator_set(generator_t *self, const char *name, const char *value, bool *known, buf_t *error);

/* A copy to change for one batch. */
generator_t *generator_copy(const generator_t *self);

void generator_make(const generator_t *self, tasks_t *tasks, int64_t count);

/* Appends the JSON of a generated task, with the tool at `tool_url`. */
void generated_render(const task_t *task, const char *tool_url, buf_t *out);

/* Appends the input of a generated task. */
void generated_input(const task_t *task, buf_t *out);

#endif
