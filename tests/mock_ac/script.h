/*
 * Tasks from JSON lines:
 *
 *   {"task": {...}, "tool": {...}, "expect": {...}}   a task, handed out byte for byte as written
 *   {"tool": {"path": "/final", "taskId": "a", ...}}  one more resource at the tool
 *   {"generate": {"count": 500, "toolDelayMs": "20-200", ...}}
 *
 * README.md describes the members. `{tool}` in a task or a header value is replaced by the tool's URL.
 */
#ifndef MOCK_AC_SCRIPT_H
#define MOCK_AC_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "generator.h"
#include "routes.h"
#include "tasks.h"
#include "text.h"

/* Where a script puts what it describes; all borrowed. */
typedef struct {
    tasks_t *tasks;
    routes_t *routes;
    const generator_t *generator;
    const char *tool_url;
} script_target_t;

/*
 * Applies line by line; `*added` counts the tasks. At the first bad line it stops with false and the
 * line's number and fault appended to `error`; the lines before it stay applied.
 */
bool script_run(const script_target_t *target, span_t lines, int64_t *added, buf_t *error);

#endif
