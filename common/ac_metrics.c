#include "common/ac_metrics.h"

#include <stdio.h>

#include "common/ac_door_private.h"

static const char *operation_of(call_t call) {
    switch (call) {
    case CALL_GET_TASK:
        return "get_task";
    case CALL_PUT_RESULT:
        return "upload_result";
    case CALL_UPLOAD_RESULT:
    case CALL_UPLOAD_LOGS:
        return "upload_file";
    default:
        return NULL;
    }
}

void ac_metrics(metrics_t *metrics, const ac_door_t *door, const ac_answer_t *answer, const char *task_id,
                const bool *has_task) {
    char url[512];
    const char *operation = operation_of(answer->call);
    if (!metrics || !operation || answer->outcome == OUTCOME_NOT_SENT) return;
    (void)snprintf(url, sizeof url, "%s%s", door->base, ac_call_name(answer->call));
    const metrics_request_t request = {.task_id = task_id,
                                       .operation = operation,
                                       .url = url,
                                       .method = answer->call == CALL_GET_TASK ? "GET" : "POST",
                                       .status = answer->http_status,
                                       .elapsed_ms = answer->elapsed_ms,
                                       .failed = answer->outcome != OUTCOME_DONE &&
                                                 answer->outcome != OUTCOME_EMPTY,
                                       .has_task = has_task,
                                       .upload = answer->call != CALL_GET_TASK,
                                       .timed_out = answer->timed_out};
    metrics_request(metrics, &request);
}
