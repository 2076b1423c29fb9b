/* The broker's account of a task as a page for people. */
#ifndef SLUICE_CLI_TASK_RENDER_H
#define SLUICE_CLI_TASK_RENDER_H

#include <yajl/yajl_tree.h>

#include "cli/status_page.h"

/* Writes, for each of the answer's tasks, where it is in one sentence, and its timeline. Members that are
 * absent or of another kind are left out. */
void task_render(page_t *page, yajl_val root);

#endif
