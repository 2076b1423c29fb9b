#include "uploader/logs_result.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/log.h"
#include "uploader/pack_logs.h"

struct logs_result_t {
    from_broker_t *results;
    char *log_dir;
    pack_logs_t *pack;
    result_t *result; /* whose zip is being packed */
};

logs_result_t *logs_result_new(const char *log_dir, from_broker_t *results) {
    logs_result_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->results = results;
    self->log_dir = strdup(log_dir);
    if (!self->log_dir) logs_result_destroy(&self);
    return self;
}

void logs_result_destroy(logs_result_t **self) {
    if (!*self) return;
    pack_logs_destroy(&(*self)->pack);
    free((*self)->log_dir);
    free(*self);
    *self = NULL;
}

static void end(logs_result_t *self) {
    pack_logs_destroy(&self->pack);
    self->result = NULL;
}

/* AC has nothing to do with it: the call is not one of AC's, so that the gate stays as it is. */
static void give_up(logs_result_t *self, outcome_t outcome, const char *reason, int64_t now_ms) {
    result_t *result = self->result;
    char quoted[LOG_QUOTED_MAX];
    const ac_answer_t answer = {
        .call = CALL_STORE, .outcome = outcome, .retry_after_ms = -1, .reason = reason};
    end(self);
    log_warn("logs_not_packed", "number=%" PRIu64 " why=%s", result->number, log_quote(reason, quoted));
    from_broker_outcome(self->results, result, 0, &answer, now_ms);
}

/* The task as AC wants it back with its logs. */
static int finish_task(result_t *result) {
    const result_parts_t parts = {.zipped = true};
    return result_json_write((const char *)zframe_data(result->payload), zframe_size(result->payload), &parts,
                             &result->finished);
}

static void begin(logs_result_t *self, int64_t now_ms) {
    char why[PACK_WHY_MAX];
    self->result = from_broker_unpacked(self->results);
    if (!self->result) return;
    self->result->state = RESULT_PACKING;
    self->pack = pack_logs_new(self->log_dir, why);
    if (!self->pack) give_up(self, OUTCOME_NETWORK, why, now_ms);
}

void logs_result_turn(logs_result_t *self, int64_t now_ms) {
    char why[PACK_WHY_MAX] = "out of memory";
    if (!self->result) begin(self, now_ms);
    if (!self->result) return;
    int rc = pack_logs_turn(self->pack, why);
    if (rc > 0) return;
    if (rc == 0) rc = finish_task(self->result);
    if (rc != 0) {
        give_up(self, OUTCOME_NETWORK, why, now_ms);
        return;
    }
    result_t *result = self->result;
    result->zip_fd = pack_logs_take(self->pack, &result->zip_bytes);
    result->state = RESULT_CLAIMED; /* for upload-logs */
    log_info("logs_packed", "number=%" PRIu64 " octets=%" PRId64, result->number, result->zip_bytes);
    end(self);
}

bool logs_result_busy(const logs_result_t *self) {
    return self->result != NULL || from_broker_unpacked(self->results) != NULL;
}

void logs_result_forget(logs_result_t *self, const result_t *result) {
    if (self->result == result) end(self);
}

void logs_result_abort(logs_result_t *self, int64_t now_ms) {
    if (self->result) give_up(self, OUTCOME_NOT_SENT, "the drain timeout is up", now_ms);
}
