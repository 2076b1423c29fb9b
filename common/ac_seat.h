/* A holder's seat for one AC credit: the lease, the dead man's switch behind it, and the line that makes the
 * requests. Asks the broker, renews, aborts and releases by itself; the program says when it wants the
 * credit, what to ask, and when it is done. Used by fetcher (one) and uploader (two). */
#ifndef SLUICE_COMMON_AC_SEAT_H
#define SLUICE_COMMON_AC_SEAT_H

#include "common/ac_door.h"
#include "common/link.h"

typedef struct ac_seat_t ac_seat_t;

/* `seq` is the worker's count of WANTs and RENEWs, shared by its seats; door, link and seq are borrowed. NULL
 * when memory fails or the kernel has no timer. */
ac_seat_t *ac_seat_new(ac_door_t *door, link_t *link, uint8_t stage, uint64_t *seq);
/* Cancels a request under way without a word. Accepts NULL; nulls the pointer. */
void ac_seat_destroy(ac_seat_t **self);

/* Asks for the credit (from the next turn on), or stops asking. No effect when held. */
void ac_seat_want(ac_seat_t *self, int64_t now_ms);
void ac_seat_unwant(ac_seat_t *self);
bool ac_seat_wants(const ac_seat_t *self);
bool ac_seat_held(const ac_seat_t *self);
/* A request is under way. */
bool ac_seat_busy(const ac_seat_t *self);
/* The credit held, 0 for none. */
uint64_t ac_seat_credit(const ac_seat_t *self);

/* Whether a request may start now: there is a session, the lease allows it, and none is under way. */
bool ac_seat_may_start(const ac_seat_t *self, int64_t now_ms);
/* Whether a credit without a request is worth keeping for a moment: more of it or for it may come. One of a
 * single request is not, which is granted when others wait for their turn. */
bool ac_seat_lingers(const ac_seat_t *self, int64_t now_ms);
/* As ac_line_start(). */
int ac_seat_start(ac_seat_t *self, const ac_request_t *request, int64_t now_ms, ac_done_fn done, void *ctx);
/* As ac_line_abort(). */
void ac_seat_abort(ac_seat_t *self, const char *why);
/* Starts nothing more, and gives the credit back as soon as no request is under way (at once if none is,
 * later if there is no session now). */
void ac_seat_release(ac_seat_t *self);

/* What the broker says; true when it was for this seat. */
bool ac_seat_granted(ac_seat_t *self, const msg_grant_t *grant);
bool ac_seat_revoked(ac_seat_t *self, const msg_revoke_t *revoke);
/* As lease_welcome(). What was given back in a former session is said once more. */
void ac_seat_welcome(ac_seat_t *self, uint64_t credit, int64_t now_ms);
/* Requests started under the credit, held now or lately; 0 for one the seat never had. */
uint16_t ac_seat_used(const ac_seat_t *self, uint64_t credit);
/* A GRANT that was for no seat: gives it back. `used`: the most that any seat knows of it. */
void ac_seat_decline(link_t *link, const msg_grant_t *grant, uint16_t used);

/* Sends what is due, aborts what must be, gives back what is over. */
void ac_seat_turn(ac_seat_t *self, int64_t now_ms);
/* When ac_seat_turn() is due next without any event. */
int64_t ac_seat_due(const ac_seat_t *self, int64_t now_ms);

#endif
