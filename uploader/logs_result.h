/* Logs tasks between their claim and upload-logs: their zip is packed, one task at a time, a slice in each
 * turn of the loop, and no credit is asked for meanwhile. */
#ifndef SLUICE_UPLOADER_LOGS_RESULT_H
#define SLUICE_UPLOADER_LOGS_RESULT_H

#include <stdbool.h>

#include "uploader/from_broker.h"

typedef struct logs_result_t logs_result_t;

/* `results` is borrowed, `log_dir` copied. NULL when out of memory. */
logs_result_t *logs_result_new(const char *log_dir, from_broker_t *results);
/* Accepts NULL; nulls the pointer. */
void logs_result_destroy(logs_result_t **self);

/* Packs on, and turns to the next task when one is ready to be posted or has its outcome. */
void logs_result_turn(logs_result_t *self, int64_t now_ms);
/* Whether there is more to do at once. */
bool logs_result_busy(const logs_result_t *self);
/* Ends the packing for a result that is to be forgotten, without an outcome. */
void logs_result_forget(logs_result_t *self, const result_t *result);
/* Ends the packing under way; its task is handed out again later. */
void logs_result_abort(logs_result_t *self, int64_t now_ms);

#endif
