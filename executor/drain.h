/* The end in good order: what has not started is given back, what runs may end until the drain time is up,
 * results wait for STORED. */
#ifndef SLUICE_EXECUTOR_DRAIN_H
#define SLUICE_EXECUTOR_DRAIN_H

#include "executor/executor.h"

/* Begins to drain; a second call ends the time for what still runs. */
void drain_begin(executor_t *self);
/* Marks a task to be given back, unless it has started or ended. */
void drain_one(executor_t *self, run_t *run);
/* Does what is due. True when there is nothing left to wait for; *status then is the exit status. */
bool drain_turn(executor_t *self, int *status);
int64_t drain_due_ms(const executor_t *self);

#endif
