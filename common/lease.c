#include "common/lease.h"

#include <assert.h>
#include <string.h>

#define GUARD_MS 1000 /* before the end: nothing is started, and what is under way is aborted */

#define SENT_MAX   (sizeof((lease_t *)0)->sent / sizeof((lease_t *)0)->sent[0])
#define FORMER_MAX (sizeof((lease_t *)0)->former / sizeof((lease_t *)0)->former[0])

static void forget_sent(lease_t *self) {
    memset(self->sent, 0, sizeof self->sent);
    self->sent_at = 0;
}

static void remember_sent(lease_t *self, uint64_t seq, int64_t now_ms) {
    self->sent[self->sent_at].seq = seq;
    self->sent[self->sent_at].at_ms = now_ms;
    self->sent_at = (self->sent_at + 1) % SENT_MAX;
}

static bool sent_when(const lease_t *self, uint64_t seq, int64_t *at_ms) {
    for (unsigned i = 0; i < SENT_MAX && seq != 0; i++) {
        if (self->sent[i].seq == seq) {
            *at_ms = self->sent[i].at_ms;
            return true;
        }
    }
    return false;
}

void lease_init(lease_t *self, uint8_t stage, uint64_t *seq) {
    memset(self, 0, sizeof *self);
    self->stage = stage;
    self->seq = seq;
}

void lease_want(lease_t *self, int64_t now_ms) {
    if (self->state != LEASE_NONE) return;
    self->state = LEASE_WANTED;
    self->next_send_ms = now_ms;
}

void lease_unwant(lease_t *self) {
    if (self->state == LEASE_WANTED) lease_drop(self);
}

bool lease_due(lease_t *self, int64_t now_ms, uint64_t session, msg_t *msg) {
    if (session == 0 || self->state == LEASE_NONE || self->lost || now_ms < self->next_send_ms) return false;
    uint64_t seq = ++*self->seq;
    memset(msg, 0, sizeof *msg);
    if (self->state == LEASE_WANTED) {
        msg->type = MSG_WANT;
        msg->want = (msg_want_t){.session = session, .seq = seq, .stage = self->stage};
    } else {
        msg->type = MSG_RENEW;
        msg->renew =
            (msg_renew_t){.session = session, .seq = seq, .credit = self->credit, .used = self->used};
    }
    remember_sent(self, seq, now_ms);
    self->next_send_ms = now_ms + PROTOCOL_REPEAT_MS;
    return true;
}

bool lease_granted(lease_t *self, const msg_grant_t *grant) {
    int64_t at_ms;
    if (grant->stage != self->stage || grant->credit == 0) return false;
    bool known = sent_when(self, grant->seq, &at_ms);
    if (self->state == LEASE_HELD) {
        if (grant->credit != self->credit) return false;
        if (known && !self->lost && at_ms + grant->ttl_ms > self->expires_ms)
            self->expires_ms = at_ms + grant->ttl_ms;
        if (grant->budget > self->budget) self->budget = grant->budget; /* an older one may come later */
        return true;
    }
    if (self->state != LEASE_WANTED || !known) return false;
    self->state = LEASE_HELD;
    self->credit = grant->credit;
    self->budget = grant->budget;
    self->used = 0;
    self->revoked = self->lost = false;
    self->expires_ms = at_ms + grant->ttl_ms;
    return true;
}

bool lease_revoked(lease_t *self, const msg_revoke_t *revoke) {
    if (self->state != LEASE_HELD || revoke->credit != self->credit) return false;
    self->revoked = true;
    if (revoke->reason == REVOKE_UNKNOWN) self->lost = true;
    return true;
}

bool lease_may_start(const lease_t *self, int64_t now_ms) {
    return self->state == LEASE_HELD && !self->revoked && !self->lost && self->used < self->budget &&
           self->expires_ms - now_ms > GUARD_MS;
}

void lease_start(lease_t *self) {
    assert(self->state == LEASE_HELD && self->used < self->budget);
    self->used++;
}

bool lease_must_abort(const lease_t *self, int64_t now_ms) {
    return self->state == LEASE_HELD && (self->lost || self->expires_ms - now_ms <= GUARD_MS);
}

void lease_release(lease_t *self, uint64_t session, msg_t *msg) {
    assert(self->state == LEASE_HELD);
    memset(msg, 0, sizeof *msg);
    msg->type = MSG_RELEASE;
    msg->release = (msg_release_t){.session = session, .credit = self->credit, .used = self->used};
    lease_drop(self);
}

bool lease_former(const lease_t *self, unsigned i, uint64_t session, msg_t *msg) {
    if (i >= FORMER_MAX || self->former[i].credit == 0) return false;
    memset(msg, 0, sizeof *msg);
    msg->type = MSG_RELEASE;
    msg->release =
        (msg_release_t){.session = session, .credit = self->former[i].credit, .used = self->former[i].used};
    return true;
}

void lease_forget_former(lease_t *self) {
    memset(self->former, 0, sizeof self->former);
    self->former_at = 0;
}

void lease_welcome(lease_t *self, uint64_t credit, int64_t now_ms) {
    forget_sent(self); /* answers to what the old session asked do not come any more */
    self->next_send_ms = now_ms;
    if (self->state == LEASE_HELD && credit != self->credit) self->revoked = self->lost = true;
}

uint16_t lease_used(const lease_t *self, uint64_t credit) {
    if (self->state == LEASE_HELD && self->credit == credit) return self->used;
    for (unsigned i = 0; i < FORMER_MAX; i++)
        if (self->former[i].credit == credit) return self->former[i].used;
    return 0;
}

static void remember_former(lease_t *self) {
    self->former[self->former_at].credit = self->credit;
    self->former[self->former_at].used = self->used;
    self->former_at = (self->former_at + 1) % FORMER_MAX;
}

void lease_drop(lease_t *self) {
    if (self->state == LEASE_HELD) remember_former(self);
    lease_t kept = *self;
    lease_init(self, kept.stage, kept.seq);
    memcpy(self->former, kept.former, sizeof self->former);
    self->former_at = kept.former_at;
}

int64_t lease_next_ms(const lease_t *self) {
    if (self->state == LEASE_NONE) return INT64_MAX;
    if (self->state == LEASE_WANTED) return self->next_send_ms;
    if (self->lost) return 0;
    int64_t end_ms = self->expires_ms - GUARD_MS;
    return self->next_send_ms < end_ms ? self->next_send_ms : end_ms;
}
