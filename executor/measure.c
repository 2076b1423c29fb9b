#include "executor/measure.h"

#include <stdlib.h>

#include "common/clock.h"

/* The task's URL as far as it may be shown: one that cannot be read may hide a password anywhere. */
static char *url_of(const run_t *run) {
    char why[URL_WHY_MAX];
    url_t url;
    if (!run->task.url || url_read(run->task.url, false, &url, why) != 0) return NULL;
    char *text = url_text(&url);
    url_clear(&url);
    return text;
}

void measure_run(executor_t *self, const run_t *run, int status) {
    if (!self->metrics) return;
    int64_t now_ms = clock_boot_ms();
    char *url = url_of(run);
    if (run->started_ms) {
        const metrics_request_t request = {.task_id = run->task_id,
                                           .operation = "target_request",
                                           .url = url,
                                           .method = run->task.method,
                                           .status = status,
                                           .elapsed_ms = (uint32_t)(now_ms - run->started_ms)};
        metrics_request(self->metrics, &request);
    }
    metrics_task(self->metrics, run->task_id, run->task.method, url, status, now_ms - run->received_ms);
    free(url);
}
