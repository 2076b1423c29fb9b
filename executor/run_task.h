/* The run of one task: from its JSON to a result. */
#ifndef SLUICE_EXECUTOR_RUN_TASK_H
#define SLUICE_EXECUTOR_RUN_TASK_H

#include "executor/executor.h"

/* Reads the task of a new run; what cannot be run gets its error result at once. */
void run_prepare(executor_t *self, run_t *run);
/* Starts the request if it may start now: not started yet, not given back, claimed (or idempotent), and the
 * configuration it was handed out with has come. */
void run_start_if_due(executor_t *self, run_t *run);
/* Aborts the transfer, if one is under way, and keeps the run. */
void run_abort(executor_t *self, run_t *run);
/* Aborts and forgets the run. */
void run_forget(executor_t *self, run_t *run);
/* Lets a transfer that has paused after its share of a turn go on; true when there was one. May end it, and
 * forget the run. */
bool run_resume(executor_t *self, run_t *run);
/* Ends the run with an error result: `text` begins with "Agent Side Error: ". Aborts the transfer. */
void run_fail(executor_t *self, run_t *run, const char *text);
/* When run_start_if_due() has to be called without an event; INT64_MAX for never. */
int64_t run_due_ms(const executor_t *self, const run_t *run);

#endif
