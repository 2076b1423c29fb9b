/* What goes from the fetcher to the broker: each fetched task is pushed as FETCHED, kept until the broker has
 * ACCEPTED it, and repeated every second until then. Meanwhile it is in the window, and one that is not
 * accepted in time in the inbox. */
#ifndef SLUICE_FETCHER_TO_BROKER_H
#define SLUICE_FETCHER_TO_BROKER_H

#include <stdbool.h>

#include "common/link.h"
#include "fetcher/inbox.h"
#include "fetcher/window.h"

#define INBOX_AFTER_MS 50 /* without ACCEPTED */

typedef struct to_broker_t to_broker_t;

/* Both are borrowed; `window` may be NULL. NULL when out of memory. */
to_broker_t *to_broker_new(inbox_t *inbox, window_t *window, uint64_t instance);
/* Forgets what is in memory; the files of the inbox stay. Accepts NULL; nulls the pointer. */
void to_broker_destroy(to_broker_t **self);

/* Takes what the inbox and the window hold, under its original instance and seq. What is damaged is told in
 * the log. As inbox_load(); ERR_NOMEM, with which all of it is still there for the next start. */
int to_broker_load(to_broker_t *self);
/* Takes a task (copied); gives it instance and seq. ERR_NOMEM, ERR_INVALID. */
int to_broker_add(to_broker_t *self, const msg_fetched_t *fetched, const char *task, size_t task_bytes,
                  int64_t now_ms);
void to_broker_accepted(to_broker_t *self, const msg_accepted_t *accepted);
/* A new session: everything is sent again at once. */
void to_broker_welcome(to_broker_t *self, int64_t now_ms);

/* Fetches not accepted yet. */
unsigned to_broker_count(const to_broker_t *self);
typedef struct {
    unsigned
        in_memory; /* neither accepted nor in window or inbox: lost if this process and the broker die now */
    unsigned unsynced; /* neither accepted nor in the inbox: lost if the machine stops now */
    int64_t age_ms;    /* of the oldest of them */
} at_risk_t;

at_risk_t to_broker_at_risk(const to_broker_t *self, int64_t now_ms);
/* Whether one more may be added: the broker remembers the last PROTOCOL_FETCH_WINDOW sequence numbers of an
 * instance, so none may be that far ahead of the oldest unaccepted one. */
bool to_broker_has_room(const to_broker_t *self);
/* Whether every one of them is in the inbox: they outlive the process. */
bool to_broker_saved(const to_broker_t *self);

/* Sends and saves what is due. What is in the window may wait a moment for more to come, unless `all`. */
void to_broker_turn(to_broker_t *self, link_t *link, bool all, int64_t now_ms);
int64_t to_broker_due(const to_broker_t *self, bool session);

#endif
