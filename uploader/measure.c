#include "uploader/measure.h"

#include "common/ac_metrics.h"
#include "common/json_walk.h"

/* The members of a result that say how large its inline body is. */
typedef struct {
    span_t output;
    bool base64, elsewhere;
} inline_t;

static int take_member(void *ctx, const json_member_t *member) {
    inline_t *found = ctx;
    if (json_named(member, "output")) found->output = member->value;
    if (json_named(member, "responseBase64")) found->base64 = true;
    if (json_named(member, "s3Url")) found->elsewhere = true;
    return 0;
}

static void measure_inline(metrics_t *metrics, const result_t *result) {
    char why[JSON_WHY_MAX];
    inline_t found = {0};
    bool finished = result->finished.len > 0;
    const char *json = finished ? result->finished.ptr : (const char *)zframe_data(result->payload);
    size_t size = finished ? result->finished.len : zframe_size(result->payload);
    if (json_walk(json, size, JSON_OBJECT, take_member, &found, NULL, why) != 0 || found.elsewhere) return;
    size_t bytes = found.output.len > 2 ? found.output.len - 2 : 0; /* without its quotes */
    if (found.base64 && bytes >= 4) {
        const char *last = found.output.ptr + found.output.len - 2;
        bytes = bytes / 4 * 3 - (last[0] == '=') - (last[-1] == '=');
    }
    metrics_upload(metrics, result->task_id, "inline", (int64_t)bytes);
}

void measure_post(metrics_t *metrics, const ac_door_t *door, const result_t *result,
                  const ac_answer_t *answer, int64_t file_bytes) {
    if (!metrics) return;
    ac_metrics(metrics, door, answer, result->task_id, NULL);
    if (answer->outcome != OUTCOME_DONE) return;
    if (answer->call == CALL_PUT_RESULT)
        measure_inline(metrics, result);
    else if (answer->call != CALL_UPLOAD_URL)
        metrics_upload(metrics, result->task_id, "direct", file_bytes);
}

void measure_store(metrics_t *metrics, const result_t *result, const char *url, const store_answer_t *stored,
                   int64_t file_bytes) {
    const metrics_request_t request = {.task_id = result->task_id,
                                       .operation = "upload_file",
                                       .url = url,
                                       .method = "PUT",
                                       .status = stored->http_status,
                                       .elapsed_ms = stored->elapsed_ms,
                                       .failed = stored->outcome != OUTCOME_DONE,
                                       .upload = true,
                                       .timed_out = stored->timed_out};
    metrics_request(metrics, &request);
    if (stored->outcome == OUTCOME_DONE) metrics_upload(metrics, result->task_id, "direct", file_bytes);
}
