/* The holder's side of an AC credit (docs/PROTOCOL.md section 4): when to ask, renew, abort, release. Pure:
 * takes the time as an argument and does no I/O. Used by fetcher and uploader, and by the simulator. */
#ifndef SLUICE_COMMON_LEASE_H
#define SLUICE_COMMON_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/messages.h"

typedef enum { LEASE_NONE, LEASE_WANTED, LEASE_HELD } lease_state_t;

/* One lease. Copyable; zero it, then lease_init(). */
typedef struct {
    lease_state_t state;
    uint8_t stage;   /* CREDIT_FETCH or CREDIT_UPLOAD */
    uint64_t credit; /* 0 unless held */
    uint16_t budget, used;
    bool revoked;         /* start nothing more */
    bool lost;            /* the broker says the credit is not ours: abort at once */
    int64_t expires_ms;   /* counted from the sending of the WANT or RENEW that was answered last */
    int64_t next_send_ms; /* when the next WANT or RENEW is due */
    uint64_t *seq;        /* shared by all leases of a worker */
    struct {
        uint64_t seq;
        int64_t at_ms;
    } sent[8]; /* the latest WANT/RENEW and when they were sent */
    unsigned sent_at;
    struct {
        uint64_t credit;
        uint16_t used;
    } former[8]; /* the latest that were given back, or ran out */
    unsigned former_at;
} lease_t;

/* `seq` is the worker's own count, shared by its leases, borrowed. */
void lease_init(lease_t *self, uint8_t stage, uint64_t *seq);
/* Starts asking; no effect when asking or held. */
void lease_want(lease_t *self, int64_t now_ms);
/* Stops asking; no effect when held. */
void lease_unwant(lease_t *self);
/* What to send now, if anything: fills *msg (WANT or RENEW, session as given) and returns true. Call until
 * false. */
bool lease_due(lease_t *self, int64_t now_ms, uint64_t session, msg_t *msg);
/* GRANT: true if it was for this lease (by seq, or by the credit held, whose budget it may raise). */
bool lease_granted(lease_t *self, const msg_grant_t *grant);
/* REVOKE: true if it was for this lease. */
bool lease_revoked(lease_t *self, const msg_revoke_t *revoke);
/* Whether a request may start now: held, not revoked, budget left, over a second to the end. */
bool lease_may_start(const lease_t *self, int64_t now_ms);
/* Counts a request as started. */
void lease_start(lease_t *self);
/* Whether a request under way has to be aborted now: lost, or a second or less to the end. */
bool lease_must_abort(const lease_t *self, int64_t now_ms);
/* Fills RELEASE and forgets the credit. Only when held. */
void lease_release(lease_t *self, uint64_t session, msg_t *msg);
/* RELEASE of the i-th credit, from 0, of the latest that were held before; false when there is none. */
bool lease_former(const lease_t *self, unsigned i, uint64_t session, msg_t *msg);
/* They are not said again: a broker with another journal may give their numbers anew. */
void lease_forget_former(lease_t *self);
/* A new session: keep the credit if `credit` is ours, else it is lost; asking goes on. */
void lease_welcome(lease_t *self, uint64_t credit, int64_t now_ms);
/* Requests started under the credit, as far as the lease remembers it; 0 for one it never had. */
uint16_t lease_used(const lease_t *self, uint64_t credit);
/* Forget the credit (the request is aborted, the lease ran out). */
void lease_drop(lease_t *self);
/* The time at which lease_due() or lease_must_abort() turns true by time alone; INT64_MAX for never. */
int64_t lease_next_ms(const lease_t *self);

#endif
