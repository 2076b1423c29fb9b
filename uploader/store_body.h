/* The PUT of a body to a presigned URL. The store is not AC: no credit, no key; one PUT at a time. */
#ifndef SLUICE_UPLOADER_STORE_BODY_H
#define SLUICE_UPLOADER_STORE_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/http.h"
#include "common/messages.h"

typedef struct store_body_t store_body_t;

/* How it ended: OUTCOME_DONE, REFUSED (4xx, or a redirect that cannot be followed), SERVER or NETWORK.
 * `reason` has the host, never the URL. */
typedef struct {
    outcome_t outcome;
    uint16_t http_status;
    uint32_t elapsed_ms;
    bool timed_out; /* by our own clock */
    const char *reason;
} store_answer_t;

typedef void (*store_done_fn)(void *ctx, const store_answer_t *answer);

/* Takes proxies and certificates from `config` (copied); `http` is borrowed. NULL with *why. */
store_body_t *store_body_new(const config_t *config, http_t *http, const char **why);
/* Cancels what is under way. Accepts NULL; nulls the pointer. */
void store_body_destroy(store_body_t **self);
void store_body_verify(store_body_t *self); /* as ac_door_verify() */

/* Takes over `fd`. `type` and `encoding` are headers of the tool, NULL for none. `done` is called once, from
 * http_turn() or store_body_turn(), unless it is cancelled. ERR_STATE, ERR_NOMEM, ERR_IO, or ERR_INVALID with
 * `why` for a URL that cannot be read (no part of it but the host in it): `fd` is closed. */
int store_body_start(store_body_t *self, const char *url, int fd, int64_t bytes, const char *type,
                     const char *encoding, store_done_fn done, void *ctx, char why[256]);
/* Ends the PUT when the answer takes too long. To be called every few seconds. */
void store_body_turn(store_body_t *self, int64_t now_ms);
bool store_body_busy(const store_body_t *self);
void store_body_cancel(store_body_t *self);

#endif
