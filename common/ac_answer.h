/* What an answer of AC means: status, headers and body to one outcome of docs/PROTOCOL.md section 3. Pure. */
#ifndef SLUICE_COMMON_AC_ANSWER_H
#define SLUICE_COMMON_AC_ANSWER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/messages.h"

#define AC_RETRY_DEFAULT_MS  2000 /* a 429 that names no time */
#define AC_RATE_RETRY_MAX_S  300  /* of X-Rate-Limit-Retry-After-Seconds */
#define AC_RETRY_AFTER_MIN_S 1    /* of Retry-After: 0, or a time that is over, must not make a hot loop */
#define AC_RETRY_AFTER_MAX_S 3600 /* of Retry-After: a wrong clock at AC must not stop the agent for days */

/* The headers of an answer that matter. Zero it before the first line. */
typedef struct {
    char rate_retry[32];  /* X-Rate-Limit-Retry-After-Seconds, "" when absent */
    char retry_after[64]; /* Retry-After, "" when absent */
    char date[64];        /* Date, "" when absent */
} ac_headers_t;

/* Takes one header line; true for a status line, which forgets what came before. */
bool ac_headers_line(ac_headers_t *headers, const char *line, size_t size);

/* The outcome of a complete answer. OUTCOME_DONE for a get-task of status 200: whether it brought a task is
 * for the reader of its body. *retry_after_ms is -1 when AC named no time and none is due. `now_unix_s` is
 * wall time, for a Retry-After that is a date. */
outcome_t ac_answer_classify(call_t call, long status, const ac_headers_t *headers, const char *body,
                             size_t body_bytes, int64_t now_unix_s, int64_t *retry_after_ms);

/* In which phase curl failed, in words for a reason text. */
const char *ac_failure_phase(CURLcode code);

/* "get-task" and so on, as AC's paths have it. */
const char *ac_call_name(call_t call);

#endif
