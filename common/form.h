/* Form encoding (application/x-www-form-urlencoded) of a task's `input` object, with the same octets as
 * Python's requests makes of it. */
#ifndef SLUICE_COMMON_FORM_H
#define SLUICE_COMMON_FORM_H

#include "common/json_walk.h"
#include "common/task_json.h"

/* Appends the form to `out`. A list repeats its key; an object stands for its keys; null is left out; true is
 * True. ERR_MALFORMED with `why` for a lone surrogate or lists nested more than twice, ERR_NOMEM. `members`
 * is how many members the object has. */
int form_encode(span_t object, text_t *out, size_t *members, char why[JSON_WHY_MAX]);

#endif
