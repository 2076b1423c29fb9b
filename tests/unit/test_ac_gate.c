/* The AC gate: who gets a credit and when, how long it lasts, and what AC's answers do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/gate_bench.h"

static void test_two_credits(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    want(&b, UNCLAIMED, CREDIT_UPLOAD); /* has claimed nothing */
    assert_null(decide(&b));
    want(&b, FETCHER, CREDIT_FETCH);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    expect(&b, CREDIT_UPLOAD, UPLOADER, 5);
    expect(&b, CREDIT_FETCH, FETCHER, 10);
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    want(&b, FETCHER, CREDIT_FETCH);
    assert_null(decide(&b)); /* never a third */
}

static void test_old_wants(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    want(&b, FETCHER, CREDIT_FETCH);
    b.now += GATE_WANT_MS + 1;
    assert_null(decide(&b));
    want(&b, FETCHER, CREDIT_FETCH);
    gate_forget_wants(&b.gate, FETCHER);
    assert_null(decide(&b));
}

static void test_borrowing(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    b.view.fetch_room = 0; /* fetch is paused */
    want(&b, UPLOADER, CREDIT_UPLOAD);
    expect(&b, CREDIT_UPLOAD, UPLOADER, 5);
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    credit_t *borrowed = expect(&b, CREDIT_UPLOAD, UPLOADER2, 5);
    b.view.fetch_room = 3;
    want(&b, FETCHER, CREDIT_FETCH);
    uint8_t reason = 0;
    assert_null(decide(&b));
    assert_non_null(gate_recall(&b.gate, &b.view, b.now, &reason)); /* one of them is asked for */
    assert_int_equal(reason, REVOKE_WANTED);
    release(&b, borrowed, 1);
    expect(&b, CREDIT_FETCH, FETCHER, 3);
}

static void test_fetch_never_borrows(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    want(&b, FETCHER, CREDIT_FETCH);
    expect(&b, CREDIT_FETCH, FETCHER, 10);
    want(&b, 4, CREDIT_FETCH);
    assert_null(decide(&b));
}

static void test_one_credit_alternates(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 1, 250);
    for (int i = 0; i < 6; i++) {
        want(&b, FETCHER, CREDIT_FETCH);
        want(&b, UPLOADER, CREDIT_UPLOAD);
        credit_t *c =
            i % 2 == 0 ? expect(&b, CREDIT_UPLOAD, UPLOADER, 5) : expect(&b, CREDIT_FETCH, FETCHER, 1);
        assert_null(decide(&b));
        release(&b, c, 1);
        b.now += 2000;
    }
}

/* The uploader has nothing to post any more, and keeps the only credit for a moment. */
static void test_one_credit_idle(void **state) {
    (void)state;
    bench_t b;
    uint8_t reason = 0;
    bench_open(&b, 1, 250);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    credit_t *c = expect(&b, CREDIT_UPLOAD, UPLOADER, 5);
    b.view.waiting = 0;
    assert_null(gate_recall(&b.gate, &b.view, b.now, &reason));
    want(&b, FETCHER, CREDIT_FETCH);
    b.view.waiting = 1;
    assert_null(gate_recall(&b.gate, &b.view, b.now, &reason));
    b.view.waiting = 0;
    assert_ptr_equal(gate_recall(&b.gate, &b.view, b.now, &reason), c);
    assert_int_equal(reason, REVOKE_WANTED);
}

static void test_long_upload(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    want(&b, FETCHER, CREDIT_FETCH);
    credit_t *long_one = expect(&b, CREDIT_UPLOAD, UPLOADER, 5);
    credit_t *fetch = expect(&b, CREDIT_FETCH, FETCHER, 10);
    b.now += GATE_LONG_UPLOAD_MS + 1;
    uint8_t reason = 0;
    assert_null(gate_recall(&b.gate, &b.view, b.now, &reason));
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    assert_ptr_equal(gate_recall(&b.gate, &b.view, b.now, &reason), fetch); /* its turn is over */
    assert_int_equal(reason, REVOKE_WANTED);
    release(&b, fetch, 2);
    b.now += 1000; /* what it brought is known by now */
    for (int i = 0; i < 4; i++) {
        want(&b, UPLOADER2, CREDIT_UPLOAD);
        want(&b, FETCHER, CREDIT_FETCH);
        credit_t *c =
            i % 2 == 0 ? expect(&b, CREDIT_UPLOAD, UPLOADER2, 5) : expect(&b, CREDIT_FETCH, FETCHER, 1);
        for (credit_t *r; (r = gate_recall(&b.gate, &b.view, b.now, &reason)) != NULL;)
            assert_ptr_equal(r, long_one); /* neither the poll nor the small results, whose turn it is */
        release(&b, c, 1);
        b.now += 1000;
        long_one->renewed_ms = b.now;
    }
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    credit_t *slow = expect(&b, CREDIT_UPLOAD, UPLOADER2, 5);
    b.now += GATE_LONG_UPLOAD_MS - 1;
    want(&b, FETCHER, CREDIT_FETCH);
    assert_null(gate_recall(&b.gate, &b.view, b.now, &reason));
    b.now += 1;
    slow->progress_ms = b.now; /* it goes on, but its turn is over */
    assert_ptr_equal(gate_recall(&b.gate, &b.view, b.now, &reason), slow);
}

static void test_expiry(void **state) {
    (void)state;
    bench_t b;
    int bucket = -1;
    bench_open(&b, 2, 250);
    want(&b, FETCHER, CREDIT_FETCH);
    credit_t *c = expect(&b, CREDIT_FETCH, FETCHER, 10);
    uint64_t id = c->credit;
    b.now += 3000;
    c->renewed_ms = b.now;
    b.now += 4999;
    assert_null(gate_expired(&b.gate, b.now, &bucket));
    assert_int_equal(gate_next_ms(&b.gate, b.now), b.now + 1);
    b.now += 1;
    assert_ptr_equal(gate_expired(&b.gate, b.now, &bucket), c);
    assert_true(bucket >= 0);
    gate_release(&b.gate, c, b.now);
    assert_null(gate_find(&b.gate, id));
    assert_int_equal(gate_rate_free(&b.gate, b.now), 240); /* the whole budget counts as used */
    assert_int_equal(gate_fetch_outstanding(&b.gate), 0);  /* and nothing is waited for any more */
    assert_null(gate_expired(&b.gate, b.now, &bucket));
}

static void test_restart(void **state) {
    (void)state;
    bench_t b;
    int bucket;
    bench_open(&b, 2, 250);
    const credit_t fetch = {.credit = 500, .holder = FETCHER, .stage = CREDIT_FETCH, .budget = 20};
    const credit_t upload = {
        .credit = 501, .holder = UPLOADER, .stage = CREDIT_UPLOAD, .budget = 120, .used = 100};
    gate_restore(&b.gate, &fetch, b.now);
    gate_restore(&b.gate, &upload, b.now);
    assert_int_equal(gate_rate_free(&b.gate, b.now), 210);
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    assert_null(decide(&b));
    assert_false(gate_rejoin(&b.gate, 500, UPLOADER, 8, b.now));
    assert_true(gate_rejoin(&b.gate, 501, UPLOADER, 8, b.now + 2000));
    b.now += 5000;
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    credit_t *over = gate_expired(&b.gate, b.now, &bucket);
    assert_non_null(over);
    assert_int_equal(over->credit, 500);
    gate_release(&b.gate, over, b.now);
    b.view.fetch_room = 0; /* the other upload has shown no progress for long */
    assert_true(expect(&b, CREDIT_UPLOAD, UPLOADER2, 5)->credit > 501);
}

static void test_rate_and_reserve(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 20);
    b.view.waiting = 0;
    want(&b, FETCHER, CREDIT_FETCH);
    credit_t *c = expect(&b, CREDIT_FETCH, FETCHER, 10);
    for (int i = 0; i < 8; i++)
        gate_fetch_ended(&b.gate, c->credit);
    release(&b, c, 8);
    want(&b, FETCHER, CREDIT_FETCH);
    b.view.waiting = 9; /* twelve are left, nine of them are for these */
    release(&b, expect(&b, CREDIT_FETCH, FETCHER, 3), 0);
    want(&b, FETCHER, CREDIT_FETCH);
    b.view.waiting = 12;
    assert_null(decide(&b));
    b.view.waiting = 30;
    want(&b, UPLOADER, CREDIT_UPLOAD);
    expect(&b, CREDIT_UPLOAD, UPLOADER, 12);
    assert_int_equal(gate_rate_free(&b.gate, b.now), 0);
}

static void test_room(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 1000000);
    b.view.fetch_room = 100;
    want(&b, FETCHER, CREDIT_FETCH);
    credit_t *c = expect(&b, CREDIT_FETCH, FETCHER, CREDIT_BUDGET_MAX);
    uint64_t id = c->credit;
    gate_fetch_ended(&b.gate, id);
    assert_int_equal(gate_fetch_outstanding(&b.gate), 19);
    uint8_t reason = 0;
    b.view.fetch_room = 18;
    assert_ptr_equal(gate_recall(&b.gate, &b.view, b.now, &reason), c);
    assert_int_equal(reason, REVOKE_PAUSED);
    assert_null(gate_recall(&b.gate, &b.view, b.now, &reason)); /* told once */
    release(&b, c, 3); /* two of its polls have not brought their task yet */
    assert_int_equal(gate_fetch_outstanding(&b.gate), 2);
    gate_fetch_ended(&b.gate, id);
    want(&b, FETCHER, CREDIT_FETCH);
    b.view.fetch_room = 4;
    expect(&b, CREDIT_FETCH, FETCHER, 3);
}

/* While tasks flow neither a small room is worth a credit, nor is fetch's place lent. */
static void test_flow(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    b.view.fetch_least = 5;
    b.view.fetch_room = 3; /* nothing was fetched yet */
    want(&b, FETCHER, CREDIT_FETCH);
    release(&b, expect(&b, CREDIT_FETCH, FETCHER, 3), 0);
    want(&b, FETCHER, CREDIT_FETCH);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    expect(&b, CREDIT_UPLOAD, UPLOADER, 5);
    assert_null(decide(&b));
    assert_int_equal(gate_next_ms(&b.gate, b.now), b.now + GATE_FLOW_MS);
    b.view.fetch_room = 5;
    release(&b, expect(&b, CREDIT_FETCH, FETCHER, 5), 0);
    b.view.fetch_room = 3;
    want(&b, FETCHER, CREDIT_FETCH);
    b.now += GATE_FLOW_MS - 1;
    assert_null(decide(&b));
    b.now++;
    release(&b, expect(&b, CREDIT_FETCH, FETCHER, 3), 0);
    b.view.fetch_room = 0;
    want(&b, FETCHER, CREDIT_FETCH);
    assert_null(decide(&b));
    b.now += GATE_FLOW_MS;
    expect(&b, CREDIT_UPLOAD, UPLOADER2, 5);
}

static credit_t *raise(bench_t *b) {
    int bucket;
    return gate_raise(&b->gate, &b->view, b->now, &bucket);
}

static void came(bench_t *b, const credit_t *c, int count) {
    for (int i = 0; i < count; i++) {
        gate_came(&b->gate, c->credit);
        if (c->stage == CREDIT_FETCH) gate_fetch_ended(&b->gate, c->credit);
    }
}

static void test_a_fetch_credit_grows_with_the_room(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    b.view.fetch_least = 5;
    want(&b, FETCHER, CREDIT_FETCH);
    credit_t *c = expect(&b, CREDIT_FETCH, FETCHER, 10);
    assert_null(raise(&b));
    came(&b, c, 6);
    b.view.fetch_room = 8; /* four of them run already, six may still come */
    assert_null(raise(&b));
    b.view.fetch_room = 9;
    assert_ptr_equal(raise(&b), c);
    assert_int_equal(c->budget, 15);
    assert_int_equal(c->used, 6);
    assert_int_equal(gate_rate_free(&b.gate, b.now), 250 - 15);
    assert_null(raise(&b));
    came(&b, c, 9);
    b.view.fetch_room = 100;
    assert_ptr_equal(raise(&b), c);
    assert_int_equal(c->budget, 15 + CREDIT_BUDGET_MAX); /* never more than these at once */
    assert_null(raise(&b));
    came(&b, c, 1000); /* more than can have come */
    gate_used(&b.gate, c, 0, b.now);
    assert_int_equal(gate_known_used(c), 35);
}

static void test_an_upload_credit_grows_with_the_results(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    credit_t *c = expect(&b, CREDIT_UPLOAD, UPLOADER, 5);
    assert_null(raise(&b));
    came(&b, c, 2);
    want(&b, UPLOADER, CREDIT_UPLOAD); /* for its other seat */
    assert_ptr_equal(raise(&b), c);
    assert_int_equal(c->budget, 7);
    came(&b, c, 1);
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    assert_null(raise(&b)); /* whose turn it is then */
    gate_forget_wants(&b.gate, UPLOADER2);
    assert_ptr_equal(raise(&b), c);
    b.view.waiting = 0;
    came(&b, c, 5);
    assert_null(raise(&b));
}

static void test_what_does_not_grow(void **state) {
    (void)state;
    bench_t b;
    for (int i = 0; i < 8; i++) {
        bench_open(&b, i == 0 ? 1 : 2, 250);
        want(&b, FETCHER, CREDIT_FETCH);
        credit_t *c = decide(&b);
        came(&b, c, 1);
        if (i == 1) b.gate.state = GATE_CLOSED;
        if (i == 2) b.gate.pause_ms = b.now + 1;
        if (i == 3) b.gate.fetch_pause_ms = b.now + 1;
        if (i == 4) c->revoked = true;
        if (i == 5) c->recovered = true;
        if (i == 6) c->session = 6; /* its holder says HELLO anew */
        assert_int_equal(raise(&b) != NULL, i == 7);
    }
    bench_open(&b, 2, 250);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    want(&b, FETCHER, CREDIT_FETCH);
    (void)decide(&b);
    came(&b, decide(&b), 5);
    b.now += GATE_LONG_UPLOAD_MS + 1; /* turns are taken on the other credit */
    assert_null(raise(&b));
}

static void test_plenty_of_the_rate(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 2000);
    b.view.waiting = 1; /* more will come */
    want(&b, UPLOADER, CREDIT_UPLOAD);
    release(&b, expect(&b, CREDIT_UPLOAD, UPLOADER, CREDIT_BUDGET_MAX), 1);
    rate_add(&b.gate.window, b.now, 1500);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    expect(&b, CREDIT_UPLOAD, UPLOADER, 1);
}

static void test_pauses(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    credit_t *c = expect(&b, CREDIT_UPLOAD, UPLOADER, 5);
    assert_false(gate_report(&b.gate, CALL_PUT_RESULT, OUTCOME_LIMITED, 1, 7000, 0, b.now));
    uint8_t reason = 0;
    assert_ptr_equal(gate_recall(&b.gate, &b.view, b.now, &reason), c);
    assert_int_equal(reason, REVOKE_PAUSED);
    release(&b, c, 1);
    b.now += 6999;
    want(&b, UPLOADER, CREDIT_UPLOAD);
    assert_null(decide(&b));
    b.now += 1;
    assert_non_null(decide(&b));
    bench_open(&b, 2, 250);
    want(&b, FETCHER, CREDIT_FETCH);
    assert_false(gate_report(&b.gate, CALL_GET_TASK, OUTCOME_EMPTY, 0, -1, 10, b.now));
    assert_null(decide(&b)); /* AC does not long-poll: once a second */
    b.now += 1000;
    expect(&b, CREDIT_FETCH, FETCHER, 10);
}

static void test_closing(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 11));
    assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 11)); /* one result alone closes nothing */
    assert_true(outcome(&b, CALL_PUT_RESULT, OUTCOME_NETWORK, 12));
    assert_int_equal(b.gate.state, GATE_CLOSED);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    assert_null(decide(&b));
    b.now += 5000;
    want(&b, UPLOADER, CREDIT_UPLOAD);
    credit_t *probe = expect(&b, CREDIT_UPLOAD, UPLOADER, 1);
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    assert_null(decide(&b)); /* one probe */
    release(&b, probe, 1);
    assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 11));
    assert_int_equal(b.gate.probe_ms, b.now + 10000);
    assert_true(outcome(&b, CALL_PUT_RESULT, OUTCOME_DONE, 12));
    assert_int_equal(b.gate.state, GATE_OPEN);
    assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 11));
}

static void test_denied(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    assert_true(outcome(&b, CALL_GET_TASK, OUTCOME_DENIED, 0));
    assert_int_equal(b.gate.probe_ms, b.now + 5000);
    assert_false(outcome(&b, CALL_GET_TASK, OUTCOME_DENIED, 0)); /* the probe's own failure counts once */
    assert_int_equal(b.gate.probe_ms, b.now + 10000);
    bench_open(&b, 2, 250);
    assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_DENIED, 5));
    assert_int_equal(b.gate.state, GATE_OPEN);
}

/* What AC has failed on for long by itself tells nothing of AC, neither beside others nor as a probe. */
static void test_failing_alone(void **state) {
    (void)state;
    static const outcome_t failures[] = {OUTCOME_SERVER, OUTCOME_NETWORK, OUTCOME_DENIED};
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        bench_t b;
        bench_open(&b, 2, 250);
        b.gate.alone = 11;
        assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 10));
        assert_false(outcome(&b, CALL_PUT_RESULT, failures[i], 11));
        assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 10));
        b.gate.alone = 0;
        assert_true(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 11));
        b.now += 5000;
        want(&b, UPLOADER, CREDIT_UPLOAD);
        release(&b, expect(&b, CREDIT_UPLOAD, UPLOADER, 1), 1);
        b.gate.alone = 11;
        assert_false(outcome(&b, CALL_PUT_RESULT, failures[i], 11));
        assert_int_equal(b.gate.state, GATE_CLOSED);
        assert_int_equal(b.gate.probe_ms, b.now + 5000); /* another's turn, no later than it was */
        assert_true(outcome(&b, CALL_PUT_RESULT, OUTCOME_DONE, 11));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_credits),
        cmocka_unit_test(test_old_wants),
        cmocka_unit_test(test_borrowing),
        cmocka_unit_test(test_fetch_never_borrows),
        cmocka_unit_test(test_one_credit_alternates),
        cmocka_unit_test(test_one_credit_idle),
        cmocka_unit_test(test_long_upload),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_rate_and_reserve),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_flow),
        cmocka_unit_test(test_a_fetch_credit_grows_with_the_room),
        cmocka_unit_test(test_an_upload_credit_grows_with_the_results),
        cmocka_unit_test(test_what_does_not_grow),
        cmocka_unit_test(test_plenty_of_the_rate),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_closing),
        cmocka_unit_test(test_denied),
        cmocka_unit_test(test_failing_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
