/* Results whose bodies go to a store (uploadToAc false), between the two AC calls: after upload-url has
 * brought a presigned pair the body is PUT there, then the result, with its s3Url, waits for put-result. One
 * at a time. */
#ifndef SLUICE_UPLOADER_STORE_RESULT_H
#define SLUICE_UPLOADER_STORE_RESULT_H

#include <stdbool.h>

#include "common/metrics.h"
#include "uploader/from_broker.h"

typedef struct store_result_t store_result_t;

/* `config` is borrowed for the call, the others for good; `metrics` may be NULL. NULL with *why. */
store_result_t *store_result_new(const config_t *config, http_t *http, from_broker_t *results,
                                 metrics_t *metrics, const char **why);
/* Cancels what is under way. Accepts NULL; nulls the pointer. */
void store_result_destroy(store_result_t **self);
void store_result_verify(store_result_t *self); /* as ac_door_verify() */

/* Goes on with a result whose upload-url was answered by `answer`: it is RESULT_STORING, or has its outcome.
 */
void store_result_begin(store_result_t *self, result_t *result, const ac_answer_t *answer, int64_t now_ms);
/* To be called every few seconds. */
void store_result_turn(store_result_t *self, int64_t now_ms);
bool store_result_busy(const store_result_t *self);
/* Ends the PUT of a result that is to be forgotten, without an outcome. */
void store_result_forget(store_result_t *self, const result_t *result);
/* Ends the PUT under way; its result is handed out again later. */
void store_result_abort(store_result_t *self, int64_t now_ms);

#endif
