/* What has happened to a task, a line each. */
#ifndef SLUICE_CLI_TASK_TIMELINE_H
#define SLUICE_CLI_TASK_TIMELINE_H

#include <yajl/yajl_tree.h>

#include "cli/status_page.h"

/* The steps as they happened, with the time since the one before; sorts the task's timeline for that. */
void task_timeline(page_t *page, yajl_val task, int64_t now_ms);

#endif
