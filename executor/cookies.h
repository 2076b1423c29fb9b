/* The cookies that a task has been given by the answers that redirected it: kept for this task alone, and
 * sent where the old agent's library sends them, in its order. */
#ifndef SLUICE_EXECUTOR_COOKIES_H
#define SLUICE_EXECUTOR_COOKIES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/task_json.h"

#define COOKIES_MAX 500 /* further ones are ignored */

/* Where a request goes, as far as cookies go by it. */
typedef struct {
    const char *host;   /* of the Host header when the task gives one, a port behind it does not count */
    const char *target; /* path and query, quoted */
    bool https;
} cookie_place_t;

typedef struct cookie_t cookie_t;

typedef struct {
    cookie_t *items;
    size_t count, size;
} cookies_t;

/* Keeps what the value of a Set-Cookie in an answer from `place` says, or forgets an older cookie; a value
 * that is no cookie or is for another domain changes nothing. `now_s` is Unix time. ERR_NOMEM. */
int cookies_take(cookies_t *self, const cookie_place_t *place, const char *value, int64_t now_s);
/* Writes the value of the Cookie header of a request to `place`; nothing when there is none to send. */
int cookies_write(const cookies_t *self, const cookie_place_t *place, int64_t now_s, text_t *out);
void cookies_clear(cookies_t *self);

#endif
