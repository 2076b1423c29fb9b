/* What an executor notes in the metrics file. Without metrics nothing is done. */
#ifndef SLUICE_EXECUTOR_MEASURE_H
#define SLUICE_EXECUTOR_MEASURE_H

#include "executor/executor.h"

/* The run has its result; `status` is that of the tool, 0 when there is none. To be called before its task is
 * let go.
 */
void measure_run(executor_t *self, const run_t *run, int status);

#endif
