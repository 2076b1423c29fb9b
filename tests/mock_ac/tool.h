/*
 * The internal tool the tasks speak of: the handlers of the tool listener. Generated tasks live
 * under /t/NUMBER, scripted ones where their URL says, the mock's own control under /_control/.
 */
#ifndef MOCK_AC_TOOL_H
#define MOCK_AC_TOOL_H

#include "books.h"
#include "control.h"
#include "faults.h"
#include "routes.h"
#include "server.h"
#include "tasks.h"

typedef struct tool tool_t;

/* All borrowed. */
typedef struct {
    books_t *books;
    tasks_t *tasks;
    faults_t *faults;
    const routes_t *routes;
    control_t *control;
} tool_options_t;

tool_t *tool_new(const tool_options_t *options);
void tool_destroy(tool_t **self);

/* For server_new, with the tool_t as context. */
extern const server_handlers_t tool_handlers;

#endif
