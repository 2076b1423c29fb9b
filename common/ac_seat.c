#include "common/ac_seat.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/dead_man.h"
#include "common/err.h"

#define SEND_RETRY_MS 50 /* when control is full */
#define LINGER_MS     5

struct ac_seat_t {
    link_t *link;
    lease_t lease;
    dead_man_t *dead_man;
    ac_line_t *line;
    bool was_busy;
    int64_t idle_ms; /* since when no request is under way */
};

ac_seat_t *ac_seat_new(ac_door_t *door, link_t *link, uint8_t stage, uint64_t *seq) {
    ac_seat_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->link = link;
    lease_init(&self->lease, stage, seq);
    self->dead_man = dead_man_new();
    self->line = ac_line_new(door);
    if (!self->dead_man || !self->line) ac_seat_destroy(&self);
    return self;
}

void ac_seat_destroy(ac_seat_t **self_p) {
    ac_seat_t *self = *self_p;
    if (!self) return;
    ac_line_destroy(&self->line);
    dead_man_destroy(&self->dead_man);
    free(self);
    *self_p = NULL;
}

void ac_seat_want(ac_seat_t *self, int64_t now_ms) {
    lease_want(&self->lease, now_ms);
}

void ac_seat_unwant(ac_seat_t *self) {
    lease_unwant(&self->lease);
}

bool ac_seat_wants(const ac_seat_t *self) {
    return self->lease.state == LEASE_WANTED;
}

bool ac_seat_held(const ac_seat_t *self) {
    return self->lease.state == LEASE_HELD;
}

bool ac_seat_busy(const ac_seat_t *self) {
    return ac_line_busy(self->line);
}

uint64_t ac_seat_credit(const ac_seat_t *self) {
    return self->lease.credit;
}

bool ac_seat_may_start(const ac_seat_t *self, int64_t now_ms) {
    return link_session(self->link) != 0 && !ac_line_busy(self->line) &&
           lease_may_start(&self->lease, now_ms);
}

bool ac_seat_lingers(const ac_seat_t *self, int64_t now_ms) {
    return self->lease.state == LEASE_HELD && !self->lease.revoked && self->lease.budget > 1 &&
           now_ms < self->idle_ms + LINGER_MS;
}

int ac_seat_start(ac_seat_t *self, const ac_request_t *request, int64_t now_ms, ac_done_fn done, void *ctx) {
    if (!ac_seat_may_start(self, now_ms)) return ERR_STATE;
    return ac_line_start(self->line, &self->lease, request, now_ms, done, ctx);
}

void ac_seat_abort(ac_seat_t *self, const char *why) {
    ac_line_abort(self->line, why);
}

/* No request is under way any more, so nothing is left for the switch to end. */
static void forget(ac_seat_t *self) {
    dead_man_disarm(self->dead_man);
    lease_drop(&self->lease);
}

static void try_release(ac_seat_t *self) {
    if (self->lease.state != LEASE_HELD || ac_line_busy(self->line)) return;
    lease_t after = self->lease;
    msg_t msg;
    dead_man_disarm(self->dead_man); /* nothing is under way, and nothing will be */
    lease_release(&after, link_session(self->link), &msg);
    bool said = link_send(self->link, &msg) == 0;
    if (said || self->lease.lost) forget(self); /* else kept, and named in the next HELLO */
}

void ac_seat_release(ac_seat_t *self) {
    if (self->lease.state != LEASE_HELD) return;
    self->lease.revoked = true;
    try_release(self);
}

bool ac_seat_granted(ac_seat_t *self, const msg_grant_t *grant) {
    bool held = self->lease.state == LEASE_HELD;
    if (!lease_granted(&self->lease, grant)) return false;
    if (!held) self->idle_ms = clock_boot_ms();
    CRASH_POINT("seat.granted");
    /* A GRANT that took too long (a stopped process) must not fire the switch: the turn gives it back. The
     * clock is read anew, since the process may have been stopped after the turn read it. */
    if (!lease_must_abort(&self->lease, clock_boot_ms()) &&
        dead_man_arm(self->dead_man, self->lease.expires_ms) != 0)
        ac_seat_release(self);
    CRASH_POINT("seat.armed");
    return true;
}

bool ac_seat_revoked(ac_seat_t *self, const msg_revoke_t *revoke) {
    return lease_revoked(&self->lease, revoke);
}

void ac_seat_welcome(ac_seat_t *self, uint64_t credit, int64_t now_ms) {
    msg_t msg;
    lease_welcome(&self->lease, credit, now_ms);
    for (unsigned i = 0; lease_former(&self->lease, i, link_session(self->link), &msg); i++)
        (void)link_send(self->link, &msg); /* the first time it may have died on its way */
    lease_forget_former(&self->lease);
}

uint16_t ac_seat_used(const ac_seat_t *self, uint64_t credit) {
    return lease_used(&self->lease, credit);
}

void ac_seat_decline(link_t *link, const msg_grant_t *grant, uint16_t used) {
    if (grant->seq == 0) return; /* more for a credit that is given back, or whose own GRANT comes yet */
    msg_t msg = {.type = MSG_RELEASE, .release = {grant->session, grant->credit, used}};
    (void)link_send(link, &msg); /* lost, it runs out by itself */
}

void ac_seat_turn(ac_seat_t *self, int64_t now_ms) {
    msg_t msg;
    ac_line_turn(self->line, now_ms);
    if (self->was_busy && !ac_line_busy(self->line)) self->idle_ms = now_ms;
    self->was_busy = ac_line_busy(self->line);
    if (lease_must_abort(&self->lease, now_ms)) {
        try_release(self);
        if (self->lease.state == LEASE_HELD && !ac_line_busy(self->line)) forget(self);
    }
    if (self->lease.state == LEASE_HELD && self->lease.revoked) try_release(self);
    while (lease_due(&self->lease, now_ms, link_session(self->link), &msg)) {
        if (link_send(self->link, &msg) == 0) continue;
        self->lease.next_send_ms = now_ms + SEND_RETRY_MS;
    }
}

int64_t ac_seat_due(const ac_seat_t *self, int64_t now_ms) {
    if (self->lease.state == LEASE_NONE) return INT64_MAX;
    bool session = link_session(self->link) != 0;
    if (!ac_line_busy(self->line) && ac_seat_lingers(self, now_ms)) return self->idle_ms + LINGER_MS;
    if (self->lease.state == LEASE_WANTED) return session ? lease_next_ms(&self->lease) : INT64_MAX;
    if (self->lease.revoked && session && !ac_line_busy(self->line)) return now_ms + SEND_RETRY_MS;
    if (session) return lease_next_ms(&self->lease);
    lease_t alone = self->lease; /* without a session only the end of the lease is left */
    alone.next_send_ms = INT64_MAX;
    return lease_next_ms(&alone);
}
