/*
 * A multipart upload (upload-result, upload-logs) while it arrives: the part `task` is kept, the
 * part `file` is decoded and compared with the task's body piece by piece.
 */
#ifndef MOCK_AC_UPLOAD_H
#define MOCK_AC_UPLOAD_H

#include <stdbool.h>

#include "check.h"
#include "server.h"
#include "tasks.h"

typedef struct upload upload_t;

/* NULL when the request is no multipart form. */
upload_t *upload_new(const request_t *request, tasks_t *tasks, via_t via);
void upload_destroy(upload_t **self);

void upload_data(upload_t *self, span_t piece);

/* After the last piece. False with what breaks the contract appended to `error`. */
bool upload_finish(upload_t *self, buf_t *error);

span_t upload_task_json(const upload_t *self);
apart_t upload_file(const upload_t *self);

/* The first megabyte of the file as it came. */
span_t upload_file_head(const upload_t *self);

/* True for 32 lower-case or upper-case hex digits. */
bool is_hex32(span_t text);

#endif
