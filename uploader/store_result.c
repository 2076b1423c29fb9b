#include "uploader/store_result.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "uploader/body_file.h"
#include "uploader/measure.h"
#include "uploader/store_body.h"

#define REFUSALS_MAX 5 /* a presigned URL that is refused has expired; so often it has not */

struct store_result_t {
    from_broker_t *results;
    metrics_t *metrics;
    store_body_t *store;
    char *runtime_dir;
    result_t *result; /* whose body is on its way */
    char *put_url, *get_url;
    int64_t bytes;
};

store_result_t *store_result_new(const config_t *config, http_t *http, from_broker_t *results,
                                 metrics_t *metrics, const char **why) {
    store_result_t *self = calloc(1, sizeof *self);
    *why = err_str(ERR_NOMEM);
    if (!self) return NULL;
    self->results = results;
    self->metrics = metrics;
    self->store = store_body_new(config, http, why);
    self->runtime_dir = strdup(config->runtime_dir);
    if (!self->store || !self->runtime_dir) store_result_destroy(&self);
    return self;
}

void store_result_destroy(store_result_t **self) {
    if (!*self) return;
    store_body_destroy(&(*self)->store);
    free((*self)->runtime_dir);
    free((*self)->put_url);
    free((*self)->get_url);
    free(*self);
    *self = NULL;
}

void store_result_verify(store_result_t *self) {
    store_body_verify(self->store);
}

bool store_result_busy(const store_result_t *self) {
    return self->result != NULL;
}

static void end(store_result_t *self) {
    self->result = NULL;
    free(self->put_url);
    free(self->get_url);
    self->put_url = self->get_url = NULL;
}

static void give_up(store_result_t *self, result_t *result, call_t call, outcome_t outcome,
                    const char *reason, int64_t now_ms) {
    const ac_answer_t answer = {.call = call, .outcome = outcome, .retry_after_ms = -1, .reason = reason};
    from_broker_outcome(self->results, result, 0, &answer, now_ms);
}

/* The result as AC is to get it. */
static int add_url(store_result_t *self, result_t *result) {
    const result_parts_t parts = {.s3_url = self->get_url};
    return result_json_write((const char *)zframe_data(result->payload), zframe_size(result->payload), &parts,
                             &result->finished);
}

/* A URL that is refused has expired: another one is asked for, a few times. */
static void not_stored(store_result_t *self, result_t *result, const store_answer_t *stored, int64_t now_ms) {
    char quoted[LOG_QUOTED_MAX];
    log_warn("store_failed", "number=%" PRIu64 " outcome=%d status=%u refusals=%u why=%s", result->number,
             (int)stored->outcome, stored->http_status, result->refusals, log_quote(stored->reason, quoted));
    if (stored->outcome == OUTCOME_REFUSED && ++result->refusals < REFUSALS_MAX) {
        result->state = RESULT_CLAIMED; /* for a new URL */
        return;
    }
    const ac_answer_t answer = {.call = CALL_STORE,
                                .outcome = stored->outcome,
                                .http_status = stored->http_status,
                                .retry_after_ms = -1,
                                .elapsed_ms = stored->elapsed_ms,
                                .reason = stored->reason};
    from_broker_outcome(self->results, result, 0, &answer, now_ms);
}

static void on_stored(void *ctx, const store_answer_t *stored) {
    store_result_t *self = ctx;
    result_t *result = self->result;
    int64_t now_ms = clock_boot_ms();
    measure_store(self->metrics, result, self->put_url, stored, self->bytes);
    if (stored->outcome == OUTCOME_DONE && add_url(self, result) == 0) {
        result->state = RESULT_CLAIMED; /* for put-result */
        end(self);
        return;
    }
    end(self);
    if (stored->outcome == OUTCOME_DONE) {
        text_clear(&result->finished);
        give_up(self, result, CALL_STORE, OUTCOME_NETWORK, "out of memory", now_ms);
        return;
    }
    not_stored(self, result, stored, now_ms);
}

static void refuse_url(store_result_t *self, result_t *result, const char *why, int64_t now_ms) {
    char reason[200];
    (void)snprintf(reason, sizeof reason, "the store: %.180s", why);
    not_stored(self, result, &(store_answer_t){.outcome = OUTCOME_REFUSED, .reason = reason}, now_ms);
}

void store_result_begin(store_result_t *self, result_t *result, const ac_answer_t *answer, int64_t now_ms) {
    const char *json = (const char *)zframe_data(result->payload);
    size_t size = zframe_size(result->payload);
    char *type = NULL, *encoding = NULL, why[256];
    int64_t bytes = 0;
    int err = presigned_read(answer->body, answer->body_bytes, &self->put_url, &self->get_url);
    if (err) {
        give_up(self, result, CALL_UPLOAD_URL, OUTCOME_MALFORMED,
                "upload-url: no putUrl and getUrl in the answer", now_ms);
        return;
    }
    int fd = body_file_open(self->runtime_dir, result->number, &bytes);
    if (fd < 0) {
        body_file_unreadable(self->results, result, fd, now_ms);
    } else {
        type = result_header(json, size, "Content-Type");
        encoding = result_header(json, size, "Content-Encoding");
        err = store_body_start(self->store, self->put_url, fd, bytes, type, encoding, on_stored, self, why);
        if (err == ERR_INVALID)
            refuse_url(self, result, why, now_ms);
        else if (err)
            give_up(self, result, CALL_STORE, OUTCOME_NETWORK, err_str(err), now_ms);
        else
            result->state = RESULT_STORING;
        self->bytes = bytes;
    }
    if (fd >= 0 && !err)
        self->result = result;
    else
        end(self);
    free(type);
    free(encoding);
}

void store_result_turn(store_result_t *self, int64_t now_ms) {
    store_body_turn(self->store, now_ms);
}

void store_result_forget(store_result_t *self, const result_t *result) {
    if (self->result != result) return;
    store_body_cancel(self->store);
    end(self);
}

void store_result_abort(store_result_t *self, int64_t now_ms) {
    result_t *result = self->result;
    if (!result) return;
    store_body_cancel(self->store);
    end(self);
    give_up(self, result, CALL_STORE, OUTCOME_NOT_SENT, "the drain timeout is up", now_ms);
}
