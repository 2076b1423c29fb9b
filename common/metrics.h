/* The metrics file: LOGDIR/metrics/metricsINDEX.json, one JSON object a line, as the old agent writes it. The
 * programs of a machine share the file; each collects its lines and appends them as a whole. Every function
 * but metrics_new() accepts NULL for "no metrics" and does nothing then. Nothing here fails a caller: what
 * cannot be kept is dropped. */
#ifndef SLUICE_COMMON_METRICS_H
#define SLUICE_COMMON_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"

#define METRICS_FLUSH_MS 10000

typedef struct metrics_t metrics_t;

/* Makes the folder, and *self NULL when the configuration wants no metrics. ERR_IO or ERR_NOMEM with `why`.
 */
int metrics_new(const config_t *config, metrics_t **self, char why[512]);
/* Writes what is left. Nulls the pointer. */
void metrics_destroy(metrics_t **self);

/* A request that has ended: http.request.duration_ms. */
typedef struct {
    const char *task_id;   /* NULL: "none" */
    const char *operation; /* get_task, upload_result, upload_file or target_request */
    const char *url;       /* of which user, password, query and fragment are left out; NULL: "unknown" */
    const char *method;
    int status; /* 0: no answer, "unknown" */
    uint32_t elapsed_ms;
    bool failed;          /* whatever the status */
    const bool *has_task; /* get_task only */
    bool upload;          /* a failure has an error_type */
    bool timed_out;       /* by our own clock, without an answer */
} metrics_request_t;
void metrics_request(metrics_t *self, const metrics_request_t *request);
/* A task from its arrival at the executor to its result: task.processing_duration_ms. */
void metrics_task(metrics_t *self, const char *task_id, const char *method, const char *url, int status,
                  int64_t elapsed_ms);
/* What was uploaded: upload.size_bytes, of type "inline" or "direct". */
void metrics_upload(metrics_t *self, const char *task_id, const char *type, int64_t bytes);

/* Writes what has been collected for METRICS_FLUSH_MS, or is much; `now_ms` is boot time. */
void metrics_turn(metrics_t *self, int64_t now_ms);
/* When that is due; INT64_MAX when there is nothing. */
int64_t metrics_due(const metrics_t *self);

#endif
