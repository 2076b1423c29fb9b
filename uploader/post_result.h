/* put-result and upload-result: posts claimed results under AC credits, one after the other on each. Wants a
 * credit as long as results wait, a second one when the first is busy, and gives a credit back before it
 * waits for anything. One large body is on its way at a time, so that the other credit is for small ones;
 * those that go to a store are store_result.c's between the AC calls. */
#ifndef SLUICE_UPLOADER_POST_RESULT_H
#define SLUICE_UPLOADER_POST_RESULT_H

#include <stdbool.h>

#include "common/ac_seat.h"
#include "uploader/from_broker.h"
#include "uploader/store_result.h"

typedef struct post_result_t post_result_t;

/* `door`, `link`, `results` and `stores` are borrowed; the broker's bodies are in `runtime_dir`/spool. NULL
 * when memory fails or the kernel has no timer. */
post_result_t *post_result_new(ac_door_t *door, link_t *link, from_broker_t *results, store_result_t *stores,
                               const char *runtime_dir, metrics_t *metrics);
/* Cancels what is under way. Accepts NULL; nulls the pointer. */
void post_result_destroy(post_result_t **self);

/* GRANT and REVOKE; true if it was one of these. */
bool post_result_message(post_result_t *self, const msg_t *msg);
void post_result_welcome(post_result_t *self, uint64_t credit, int64_t now_ms);
/* The credit to name in HELLO, which has room for one: rather one that is at work. 0 for none. */
uint64_t post_result_credit(const post_result_t *self);

/* Ends the request for a result that is to be forgotten, without an outcome. */
void post_result_forget(post_result_t *self, const result_t *result);
/* Ends all requests, with their outcome, and gives the credits back. */
void post_result_abort(post_result_t *self, const char *why);

/* Wants, posts or gives back, as things stand. */
void post_result_turn(post_result_t *self, int64_t now_ms);
int64_t post_result_due(const post_result_t *self, int64_t now_ms);
/* No request under way and no credit held. */
bool post_result_idle(const post_result_t *self);

#endif
