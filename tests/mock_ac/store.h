/* The store behind presigned URLs: what was put there is compared with the task's body, not kept. */
#ifndef MOCK_AC_STORE_H
#define MOCK_AC_STORE_H

#include "check.h"
#include "server.h"
#include "tasks.h"

typedef struct store store_t;
typedef struct put put_t;

store_t *store_new(tasks_t *tasks, uint64_t seed);
void store_destroy(store_t **self);

/*
 * Grants a place for `file_name` ({taskId}{32 hex}) and appends the path to put to and the path to
 * get from. False when the name is not of that form or names no task.
 */
bool store_grant(store_t *self, span_t file_name, buf_t *put_path, buf_t *get_path);

/* A put to a granted path begins; NULL for any other path. The place is empty until put_end. */
put_t *store_put(store_t *self, span_t path);
void put_data(put_t *self, span_t piece);

/* All has arrived. `type` and `encoding` are the request's headers or NULL. False with the fault in `error`.
 */
bool put_end(put_t *self, const char *type, const char *encoding, buf_t *error);

/* What is stored for a URL that ends in a granted path to get from. */
apart_t store_find(const store_t *self, span_t url);

#endif
