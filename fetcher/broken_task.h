/* A task in an answer of get-task that is no JSON: what is left of it, so that it can be answered for. Pure.
 */
#ifndef SLUICE_FETCHER_BROKEN_TASK_H
#define SLUICE_FETCHER_BROKEN_TASK_H

#include <stddef.h>

#include "common/task_json.h"

/* Writes into `task` (empty, the caller clears it) a JSON object of the members of `data` that are JSON by
 * themselves, with U+FFFD for what is no UTF-8. It stays empty when there is none. 0 or ERR_NOMEM. */
int broken_task_read(const char *answer, size_t answer_bytes, text_t *task);

#endif
