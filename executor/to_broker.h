/* What the executor says of its tasks: CLAIM, RETURN and RESULT, each repeated until it is answered. */
#ifndef SLUICE_EXECUTOR_TO_BROKER_H
#define SLUICE_EXECUTOR_TO_BROKER_H

#include "executor/executor.h"

/* Sends what the run has unanswered, if its time has come. */
void to_broker_send_due(executor_t *self, run_t *run);
/* STORED for the run. */
void to_broker_stored(executor_t *self, const run_t *run);
/* When to_broker_send_due() is due for the run; INT64_MAX for never. */
int64_t to_broker_due_ms(const executor_t *self, const run_t *run);

#endif
