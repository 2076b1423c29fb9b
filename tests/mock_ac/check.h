/*
 * Is this result right? The task must come back byte for byte but for the members a result adds,
 * and these must say what the tool really answered, or what the script expects. Pure.
 */
#ifndef MOCK_AC_CHECK_H
#define MOCK_AC_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "json_text.h"
#include "tasks.h"
#include "text.h"

#define INLINE_BODY_MAX 512000

typedef enum { VIA_PUT_RESULT, VIA_UPLOAD_RESULT, VIA_UPLOAD_LOGS } via_t;

/* A body that came apart from the result, already compared while it arrived. */
typedef struct {
    bool present;
    bool matches; /* every byte so far is the task's */
    bool whole;   /* it came to its end, and its encoding is sound */
    uint64_t len; /* decoded */
} apart_t;

typedef struct {
    via_t via;
    const members_t *members; /* of the result */
    apart_t file;             /* of upload-result and upload-logs */
    apart_t stored;           /* what the store holds under s3Url */
    int64_t now_ms;           /* Unix */
} received_t;

typedef enum {
    RESULT_PLAIN,
    RESULT_ERROR_NETWORK,
    RESULT_ERROR_OTHER,
    RESULT_OUTCOME_UNKNOWN
} result_class_t;

/* Appends what is wrong to `reason`, nothing when all is right. */
result_class_t check_result(tasks_t *tasks, task_t *task, const received_t *received, buf_t *reason);

#endif
