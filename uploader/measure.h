/* What an uploader notes in the metrics file. Without metrics nothing is done. */
#ifndef SLUICE_UPLOADER_MEASURE_H
#define SLUICE_UPLOADER_MEASURE_H

#include "common/metrics.h"
#include "uploader/from_broker.h"
#include "uploader/store_body.h"

/* A post to AC has ended; `file_bytes` are those of its file, if it had one. */
void measure_post(metrics_t *metrics, const ac_door_t *door, const result_t *result,
                  const ac_answer_t *answer, int64_t file_bytes);
/* A PUT to the store has ended. `url` is where the body is. */
void measure_store(metrics_t *metrics, const result_t *result, const char *url, const store_answer_t *stored,
                   int64_t file_bytes);

#endif
