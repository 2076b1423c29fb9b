/* A task as the floor needs it: read by searching, finished by adding members to its end. */
#ifndef BENCH_FLOOR_TASK_H
#define BENCH_FLOOR_TASK_H

#include <stddef.h>

typedef struct {
    char *ptr; /* with a terminator */
    size_t len, size;
} floor_text_t;

typedef struct floor_task_t {
    floor_text_t raw;           /* the task; once finished, the result */
    char *url, *method, *input; /* input: NULL for none */
    char header[64];            /* the one that the mock AC puts into the tasks it generates */
    struct floor_task_t *next;
} floor_task_t;

/* Ends the program when there is no memory. */
void floor_text_add(floor_text_t *self, const char *bytes, size_t size);

/* The task in an answer {"data": {...}} of the mock AC; NULL when there is none. */
floor_task_t *floor_task_read(const char *answer, size_t bytes);

/* Makes the result: as long as that of a tool that answered so many bytes. */
void floor_task_finish(floor_task_t *self, size_t bytes);

void floor_task_destroy(floor_task_t **self);

#endif
