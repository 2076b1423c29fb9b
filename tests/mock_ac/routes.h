/* Which path at the tool belongs to which scripted task or extra resource. */
#ifndef MOCK_AC_ROUTES_H
#define MOCK_AC_ROUTES_H

#include "plan.h"
#include "tasks.h"
#include "text.h"

typedef struct routes routes_t;

typedef struct {
    const plan_t *plan;
    task_t *task; /* whose calls these are; NULL for nobody's */
    bool main;    /* the task's own URL, as opposed to a redirect target or the like */
} route_t;

routes_t *routes_new(void);
void routes_destroy(routes_t **self);

/* `uri` is a path with or without a query; a fragment is cut off. A known one is replaced. */
void routes_add_task(routes_t *self, span_t uri, task_t *task);

/* Takes over the plan. `task` may be NULL. */
void routes_add_extra(routes_t *self, span_t uri, plan_t *plan, task_t *task);

/* The route of a request by path and query, else by path alone; both without regard to escapes. */
const route_t *routes_find(const routes_t *self, span_t uri);

#endif
