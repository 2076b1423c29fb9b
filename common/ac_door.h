/* The one door to AC: nothing else builds an AC URL or carries the API key. A request goes through a *line*,
 * one keep-alive connection for one credit, and only under a lease that may start one; every attempt is
 * counted in it. HTTP/1.1, no redirect, and no repeat but by the caller. Asynchronous on common/http.h. */
#ifndef SLUICE_COMMON_AC_DOOR_H
#define SLUICE_COMMON_AC_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/http.h"
#include "common/lease.h"
#include "common/messages.h"

typedef struct ac_door_t ac_door_t;
typedef struct ac_line_t ac_line_t;

#define AC_TASK_MAX   (64L * 1024 * 1024) /* octets of an answer of get-task */
#define AC_ANSWER_MAX (64L * 1024)        /* kept of any other answer */

/* What to ask. Members that the call does not use are zero. Texts and octets are borrowed until the request
 * ends. */
typedef struct {
    call_t call;
    const char *agent_id;  /* get-task */
    const char *file_name; /* upload-url; upload-result and upload-logs: of the part "file" */
    const void *json;      /* put-result: the body; upload-result and upload-logs: the part "task" */
    size_t json_bytes;
    int fd; /* upload-result and upload-logs: the part "file", read from its start as it is sent */
    int64_t file_bytes;
    bool fresh; /* on a new connection, whatever is idle */
} ac_request_t;

/* How it ended. Borrowed for the call of the done function. */
typedef struct {
    call_t call;
    outcome_t outcome;      /* OUTCOME_DONE of a get-task: status 200, its body has still to be read */
    uint16_t http_status;   /* 0 without an answer that tells the outcome */
    int64_t retry_after_ms; /* -1: none given */
    const char *date;       /* the header Date: AC's own time, "" when absent */
    uint32_t elapsed_ms;
    bool stale;     /* a reused connection was dead, or what was refused there says nothing yet: the caller
                     * may ask anew, on a fresh one */
    bool timed_out; /* by our own clock */
    const char *body;
    size_t body_bytes;
    const char
        *reason; /* "" when all is well; host, port, phase and the library's reason; at most 200 octets */
} ac_answer_t;

typedef void (*ac_done_fn)(void *ctx, const ac_answer_t *answer);

/* Takes server, key, proxies, certificates and time-outs from `config` (copied); `http` is borrowed and must
 * outlive the door. NULL with *why. */
ac_door_t *ac_door_new(const config_t *config, http_t *http, const char **why);
/* All lines must be destroyed before. Wipes the key. Accepts NULL; nulls the pointer. */
void ac_door_destroy(ac_door_t **self);
/* Turns verification of certificates on; it cannot be turned off. For requests that start later. */
void ac_door_verify(ac_door_t *self);

/* NULL when out of memory. */
ac_line_t *ac_line_new(ac_door_t *door);
/* Cancels a request under way without calling `done`. Accepts NULL; nulls the pointer. */
void ac_line_destroy(ac_line_t **self);
bool ac_line_busy(const ac_line_t *self);

/* Starts a request under `lease`, which is borrowed until it ends, and counts it there. `done` is called
 * once: from http_turn(), ac_line_turn() or ac_line_abort(), never from here; it may start the next request.
 * ERR_STATE: the line is busy, or the lease allows no request now; ERR_UNSUPPORTED, ERR_INVALID, ERR_NOMEM,
 * ERR_IO: nothing was counted. `now_ms` is boot time, as of the lease. */
int ac_line_start(ac_line_t *self, lease_t *lease, const ac_request_t *request, int64_t now_ms,
                  ac_done_fn done, void *ctx);
/* upload-logs: the file behind `fd` (of `file_bytes` octets) and the task's JSON, as ac_line_start(). `fd`
 * stays the caller's, and open until the request has ended. */
int ac_line_upload_logs(ac_line_t *self, lease_t *lease, const char *file_name, int fd, int64_t file_bytes,
                        const void *json, size_t json_bytes, int64_t now_ms, ac_done_fn done, void *ctx);
/* Aborts the request when its lease says so, or when the answer to a body that was sent takes too long. To be
 * called every few seconds. */
void ac_line_turn(ac_line_t *self, int64_t now_ms);
/* Ends the request under way and closes its connection; `done` is called with `why` in the reason:
 * OUTCOME_ABORTED, or OUTCOME_NOT_SENT when nothing had been sent; or as AC has said, if only the rest of its
 * answer's body is missing. No effect when idle. */
void ac_line_abort(ac_line_t *self, const char *why);

#endif
