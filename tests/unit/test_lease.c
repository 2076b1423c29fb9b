/* The holder's side of a credit, by table: what is sent when, what a GRANT does, when a request may start and
 * when it has to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/lease.h"

#define SESSION 5
#define CREDIT  77

typedef struct {
    uint64_t seq;
    lease_t lease;
} holder_t;

static void begin(holder_t *it) {
    it->seq = 0;
    lease_init(&it->lease, CREDIT_FETCH, &it->seq);
}

static msg_grant_t grant_of(uint64_t seq, uint64_t credit) {
    return (msg_grant_t){
        .session = SESSION, .seq = seq, .credit = credit, .stage = CREDIT_FETCH, .ttl_ms = 4000, .budget = 3};
}

/* A lease held since it was wanted at 1000: it ends at 5000. */
static void hold(holder_t *it) {
    msg_t msg;
    begin(it);
    lease_want(&it->lease, 1000);
    assert_true(lease_due(&it->lease, 1000, SESSION, &msg));
    msg_grant_t grant = grant_of(msg.want.seq, CREDIT);
    assert_true(lease_granted(&it->lease, &grant));
}

static void want_is_sent_each_second(void **state) {
    (void)state;
    static const struct {
        int64_t now_ms;
        uint64_t session;
        bool due;
        uint64_t seq;
    } table[] = {{1000, 0, false, 0},       {1000, SESSION, true, 1},  {1000, SESSION, false, 0},
                 {1999, SESSION, false, 0}, {2000, SESSION, true, 2},  {2500, SESSION, false, 0},
                 {9000, SESSION, true, 3},  {9000, SESSION, false, 0}, {10000, SESSION, true, 4}};
    holder_t it;
    msg_t msg;
    begin(&it);
    assert_false(lease_due(&it.lease, 1000, SESSION, &msg));
    lease_want(&it.lease, 1000);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(lease_due(&it.lease, table[i].now_ms, table[i].session, &msg), table[i].due);
        if (!table[i].due) continue;
        assert_int_equal(msg.type, MSG_WANT);
        assert_int_equal(msg.want.seq, table[i].seq);
        assert_int_equal(msg.want.stage, CREDIT_FETCH);
        assert_int_equal(msg.want.session, SESSION);
    }
}

static void grant_counts_from_its_want(void **state) {
    (void)state;
    holder_t it;
    msg_t msg;
    begin(&it);
    lease_want(&it.lease, 1000);
    assert_true(lease_due(&it.lease, 1000, SESSION, &msg));
    assert_true(lease_due(&it.lease, 2000, SESSION, &msg));
    msg_grant_t grant = grant_of(1, CREDIT); /* answers the first, however late it is read */
    assert_true(lease_granted(&it.lease, &grant));
    assert_int_equal(it.lease.expires_ms, 5000);
    assert_int_equal(it.lease.credit, CREDIT);
}

static void foreign_grants_are_not_taken(void **state) {
    (void)state;
    holder_t it;
    msg_t msg;
    msg_grant_t grant = grant_of(1, CREDIT);
    begin(&it);
    assert_false(lease_granted(&it.lease, &grant)); /* not asked for */
    lease_want(&it.lease, 1000);
    assert_true(lease_due(&it.lease, 1000, SESSION, &msg));
    grant = grant_of(2, CREDIT);
    assert_false(lease_granted(&it.lease, &grant)); /* an unknown seq */
    grant = grant_of(0, CREDIT);
    assert_false(lease_granted(&it.lease, &grant));
    grant = grant_of(1, CREDIT);
    grant.stage = CREDIT_UPLOAD;
    assert_false(lease_granted(&it.lease, &grant));
    lease_unwant(&it.lease);
    grant = grant_of(1, CREDIT);
    assert_false(lease_granted(&it.lease, &grant)); /* not wanted any more */

    hold(&it);
    grant = grant_of(1, CREDIT + 1);
    assert_false(lease_granted(&it.lease, &grant)); /* a second credit for a repeated WANT */
    lease_release(&it.lease, SESSION, &msg);
    lease_want(&it.lease, 2000);
    grant = grant_of(1, CREDIT);
    assert_false(lease_granted(&it.lease, &grant)); /* a late answer about the credit given back */
}

static void renew_extends(void **state) {
    (void)state;
    holder_t it;
    msg_t msg;
    hold(&it);
    assert_false(lease_due(&it.lease, 1999, SESSION, &msg));
    assert_true(lease_due(&it.lease, 2000, SESSION, &msg));
    assert_int_equal(msg.type, MSG_RENEW);
    assert_int_equal(msg.renew.credit, CREDIT);
    assert_int_equal(msg.renew.seq, 2);
    assert_true(lease_due(&it.lease, 3000, SESSION, &msg));
    msg_grant_t grant = grant_of(3, CREDIT);
    assert_true(lease_granted(&it.lease, &grant));
    assert_int_equal(it.lease.expires_ms, 7000);
    grant = grant_of(2, CREDIT); /* an earlier answer does not shorten */
    assert_true(lease_granted(&it.lease, &grant));
    assert_int_equal(it.lease.expires_ms, 7000);
}

static void a_raise_is_of_the_budget_alone(void **state) {
    (void)state;
    holder_t it;
    hold(&it);
    msg_grant_t grant = grant_of(0, CREDIT);
    grant.budget = (uint16_t)(it.lease.budget + 7);
    uint16_t raised = grant.budget;
    assert_true(lease_granted(&it.lease, &grant));
    assert_int_equal(it.lease.budget, raised);
    assert_int_equal(it.lease.expires_ms, 5000);
    grant.budget -= 3; /* an earlier one that comes later */
    assert_true(lease_granted(&it.lease, &grant));
    assert_int_equal(it.lease.budget, raised);
}

static void start_and_abort_by_the_clock(void **state) {
    (void)state;
    static const struct {
        int64_t now_ms;
        bool may_start, must_abort;
    } table[] = {{1000, true, false},
                 {3999, true, false},
                 {4000, false, true},
                 {5000, false, true},
                 {9000, false, true}};
    holder_t it;
    hold(&it);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(lease_may_start(&it.lease, table[i].now_ms), table[i].may_start);
        assert_int_equal(lease_must_abort(&it.lease, table[i].now_ms), table[i].must_abort);
    }
}

static void budget_is_counted(void **state) {
    (void)state;
    holder_t it;
    msg_t msg;
    hold(&it);
    for (int i = 0; i < 3; i++) {
        assert_true(lease_may_start(&it.lease, 1500));
        lease_start(&it.lease);
    }
    assert_false(lease_may_start(&it.lease, 1500));
    assert_true(lease_due(&it.lease, 2000, SESSION, &msg));
    assert_int_equal(msg.renew.used, 3);
    lease_release(&it.lease, SESSION, &msg);
    assert_int_equal(msg.type, MSG_RELEASE);
    assert_int_equal(msg.release.used, 3);
    assert_int_equal(msg.release.credit, CREDIT);
    assert_int_equal(it.lease.state, LEASE_NONE);
    assert_int_equal(it.lease.credit, 0);
}

static void revoke_by_reason(void **state) {
    (void)state;
    static const struct {
        uint8_t reason;
        bool abort;
    } table[] = {
        {REVOKE_PAUSED, false}, {REVOKE_WANTED, false}, {REVOKE_UNKNOWN, true}, {REVOKE_DRAIN, false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        holder_t it;
        msg_t msg;
        hold(&it);
        msg_revoke_t other = {SESSION, CREDIT + 1, table[i].reason},
                     ours = {SESSION, CREDIT, table[i].reason};
        assert_false(lease_revoked(&it.lease, &other));
        assert_true(lease_may_start(&it.lease, 1500));
        assert_true(lease_revoked(&it.lease, &ours));
        assert_false(lease_may_start(&it.lease, 1500));
        assert_int_equal(lease_must_abort(&it.lease, 1500), table[i].abort);
        /* the request in flight goes on under a renewed lease, unless the credit is not ours */
        assert_int_equal(lease_due(&it.lease, 2000, SESSION, &msg), !table[i].abort);
    }
}

static void welcome_keeps_or_takes(void **state) {
    (void)state;
    holder_t it;
    msg_t msg;
    hold(&it);
    lease_welcome(&it.lease, CREDIT, 1200);
    assert_true(lease_may_start(&it.lease, 1200));
    assert_int_equal(it.lease.expires_ms, 5000);
    assert_true(lease_due(&it.lease, 1200, SESSION + 1, &msg)); /* renewed at once */
    assert_int_equal(msg.renew.session, SESSION + 1);

    hold(&it);
    lease_welcome(&it.lease, 0, 1200);
    assert_true(lease_must_abort(&it.lease, 1200));
    assert_false(lease_due(&it.lease, 9000, SESSION, &msg));

    begin(&it);
    lease_want(&it.lease, 1000);
    assert_true(lease_due(&it.lease, 1000, SESSION, &msg));
    lease_welcome(&it.lease, 0, 1100);
    assert_true(lease_due(&it.lease, 1100, SESSION + 1, &msg)); /* asking goes on */
    msg_grant_t grant = grant_of(1, CREDIT);
    assert_false(lease_granted(&it.lease, &grant)); /* of the old session */
    grant = grant_of(2, CREDIT);
    assert_true(lease_granted(&it.lease, &grant));
}

/* RELEASE may have died on its way; only the holder knows what was used. */
static void former_credits_are_remembered(void **state) {
    (void)state;
    holder_t it;
    msg_t msg;
    hold(&it);
    assert_false(lease_former(&it.lease, 0, SESSION, &msg));
    lease_start(&it.lease);
    lease_start(&it.lease);
    lease_drop(&it.lease);
    assert_true(lease_former(&it.lease, 0, SESSION + 1, &msg));
    assert_int_equal(msg.type, MSG_RELEASE);
    assert_int_equal(msg.release.session, SESSION + 1);
    assert_int_equal(msg.release.credit, CREDIT);
    assert_int_equal(msg.release.used, 2);
    assert_false(lease_former(&it.lease, 1, SESSION, &msg));
    assert_false(lease_former(&it.lease, 1000, SESSION, &msg));
    lease_forget_former(&it.lease);
    assert_false(lease_former(&it.lease, 0, SESSION, &msg));
}

static void next_is_the_earlier_of_send_and_end(void **state) {
    (void)state;
    holder_t it;
    msg_t msg;
    begin(&it);
    assert_true(lease_next_ms(&it.lease) == INT64_MAX);
    lease_want(&it.lease, 1000);
    assert_int_equal(lease_next_ms(&it.lease), 1000);
    hold(&it);
    assert_int_equal(lease_next_ms(&it.lease), 2000);
    assert_true(lease_due(&it.lease, 3500, SESSION, &msg));
    assert_int_equal(lease_next_ms(&it.lease), 4000);
    lease_drop(&it.lease);
    assert_true(lease_next_ms(&it.lease) == INT64_MAX);
    assert_int_equal(it.lease.stage, CREDIT_FETCH);
    assert_ptr_equal(it.lease.seq, &it.seq);
}

static void two_leases_share_a_count(void **state) {
    (void)state;
    uint64_t seq = 0;
    lease_t one, two;
    msg_t msg;
    lease_init(&one, CREDIT_FETCH, &seq);
    lease_init(&two, CREDIT_FETCH, &seq);
    lease_want(&one, 1000);
    assert_true(lease_due(&one, 1000, SESSION, &msg));
    msg_grant_t grant = grant_of(1, CREDIT);
    assert_false(lease_granted(&two, &grant));
    assert_true(lease_granted(&one, &grant));
    lease_want(&two, 1500);
    assert_true(lease_due(&two, 1500, SESSION, &msg));
    assert_int_equal(msg.want.seq, 2);
    grant = grant_of(2, CREDIT + 1);
    assert_false(lease_granted(&one, &grant));
    assert_true(lease_granted(&two, &grant));
}

static void use_is_remembered(void **state) {
    (void)state;
    holder_t it;
    msg_t msg;
    hold(&it);
    lease_start(&it.lease);
    assert_int_equal(lease_used(&it.lease, CREDIT), 1);
    lease_release(&it.lease, SESSION, &msg);
    assert_int_equal(lease_used(&it.lease, CREDIT), 1);
    assert_int_equal(lease_used(&it.lease, CREDIT + 1), 0);
    lease_want(&it.lease, 9000);
    lease_unwant(&it.lease);
    assert_int_equal(lease_used(&it.lease, CREDIT), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(want_is_sent_each_second),
        cmocka_unit_test(grant_counts_from_its_want),
        cmocka_unit_test(foreign_grants_are_not_taken),
        cmocka_unit_test(renew_extends),
        cmocka_unit_test(a_raise_is_of_the_budget_alone),
        cmocka_unit_test(start_and_abort_by_the_clock),
        cmocka_unit_test(budget_is_counted),
        cmocka_unit_test(revoke_by_reason),
        cmocka_unit_test(welcome_keeps_or_takes),
        cmocka_unit_test(former_credits_are_remembered),
        cmocka_unit_test(next_is_the_earlier_of_send_and_end),
        cmocka_unit_test(two_leases_share_a_count),
        cmocka_unit_test(use_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
