/* What an answer of AC is in the metrics file. */
#ifndef SLUICE_COMMON_AC_METRICS_H
#define SLUICE_COMMON_AC_METRICS_H

#include "common/ac_door.h"
#include "common/metrics.h"

/* Notes the request that ended with `answer`, for the calls that the old agent measures (not upload-url).
 * `has_task` is for get-task, else NULL; `task_id` NULL for none. No effect without metrics. */
void ac_metrics(metrics_t *metrics, const ac_door_t *door, const ac_answer_t *answer, const char *task_id,
                const bool *has_task);

#endif
