/* The result the broker itself gives for a task that could not be done. */
#ifndef SLUICE_BROKER_ERROR_RESULT_H
#define SLUICE_BROKER_ERROR_RESULT_H

#include "common/messages.h"
#include "common/task_json.h"

/* Writes the task with status 500 and the text as output; a task that cannot be read is answered for by its
 * id alone. ERR_NOMEM. */
int error_result_write(const char *task, size_t task_bytes, const char *task_id, str_t text, text_t *out);

#endif
