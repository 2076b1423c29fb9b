/* The answer of a tool while it arrives: status and headers of the last answer (not of 1xx, not of trailers),
 * and the decoded body, which goes into a sink. */
#ifndef SLUICE_EXECUTOR_RESPONSE_H
#define SLUICE_EXECUTOR_RESPONSE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/task_json.h"
#include "executor/body.h"

#define RESPONSE_HEADERS_MAX    1000
#define RESPONSE_TURN_BYTES     ((size_t)256 * 1024)  /* what one may take and unpack in a turn of the loop */
#define RESPONSE_ALL_TURN_BYTES ((size_t)1024 * 1024) /* what all may, of one executor */

typedef struct response_t response_t;

/* A body that is too large for memory goes into a file as `kind`; `state_dir` is borrowed (executor/body.h).
 * `turn`, borrowed too, is how many octets all responses may still take and unpack in this turn of the loop:
 * each lessens it, and the loop sets it to RESPONSE_ALL_TURN_BYTES again. NULL when out of memory. */
response_t *response_new(body_kind_t kind, const char *state_dir, size_t *turn);
void response_destroy(response_t **self);

/* Gets ready for a transfer by `easy`: forgets what was there and sets curl's header and write functions.
 * `head`: the answer has no body whatever its headers say. With `headers_only` the transfer is stopped behind
 * the headers (response_is_cut()). ERR_NOMEM. */
int response_bind(response_t *self, CURL *easy, bool head, bool headers_only);
/* Whether the transfer was stopped because all is there that was to come, though curl would wait for more. */
bool response_is_cut(const response_t *self);
/* To be called at the end of a transfer that curl calls complete: ERR_MALFORMED when the compressed body was
 * cut short, ERR_INVALID when one that curl does not count was, ERR_IO when a large one cannot be kept
 * (response_errno()). */
int response_finish(response_t *self);

/* Why it stopped the transfer itself (curl then says CURLE_WRITE_ERROR): 0 if it did not; ERR_IO: a
 * large body cannot be kept (response_errno()); ERR_FULL: too many or too large headers; ERR_MALFORMED: not
 * the compression the headers announce; ERR_INVALID: no length that can be believed; ERR_NOMEM. */
int response_error(const response_t *self);
/* Whether it has paused its transfer, having taken and unpacked its share of the turn: curl would go on with
 * a fast tool, or with a little that unpacks to a lot, for as long as octets come, and nothing else would be
 * served. response_resume() lets it go on; curl then gives it once more what it had not taken in full. */
bool response_is_paused(const response_t *self);
void response_resume(response_t *self);
int response_errno(const response_t *self);
/* 0 until the last header has come. */
int response_status(const response_t *self);
/* Names and values in UTF-8 (each octet is taken for a character of ISO 8859-1), in the order of arrival. */
const pair_t *response_headers(const response_t *self, size_t *count);
/* The octets of the Location headers, as they came; NULL for none or an empty one. */
const char *response_location(const response_t *self);
/* Whether the answer is a redirect to be followed. */
bool response_redirects(const response_t *self);
/* The body. Borrowed. NULL until response_bind(). */
body_t *response_body(const response_t *self);

#endif
