/* Reads the "tool" object of a script line. */
#ifndef MOCK_AC_SCRIPT_TOOL_H
#define MOCK_AC_SCRIPT_TOOL_H

#include <stdbool.h>

#include "plan.h"
#include "text.h"

/*
 * Fills a plan from the object. "path" and "taskId" are the caller's. False with the fault
 * appended to `error`; `plan` is then empty.
 */
bool script_tool_read(span_t object, const char *tool_url, plan_t *plan, buf_t *error);

/* Appends `text` with every "{tool}" replaced. */
void script_expand(span_t text, const char *tool_url, buf_t *out);

#endif
