/* The AC gate: how fetching and uploads share the minute's units. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/gate_bench.h"

#define SPAN_S 61 /* a unit counts for so long, and for the rest of its second */

typedef struct {
    unsigned polls, fewest_left; /* fewest_left: units that were free after a poll was granted */
    unsigned most_used;          /* in the window */
} minutes_t;

/* Each second one poll and, every `upload_s` seconds, one upload are wanted; both end at once. */
static minutes_t pass(bench_t *b, int seconds, int upload_s) {
    minutes_t m = {.fewest_left = UINT32_MAX};
    for (int s = 0; s < seconds; s++) {
        b->now += 1000;
        want(b, FETCHER, CREDIT_FETCH);
        if (upload_s && s % upload_s == 0) want(b, UPLOADER, CREDIT_UPLOAD);
        for (credit_t *c; (c = decide(b)) != NULL;) {
            bool fetch = c->stage == CREDIT_FETCH;
            m.polls += fetch;
            if (fetch) gate_fetch_ended(&b->gate, c->credit);
            release(b, c, 1);
            unsigned left = gate_rate_free(&b->gate, b->now);
            if (fetch && left < m.fewest_left) m.fewest_left = left;
        }
        unsigned used = rate_used(&b->gate.window, b->now);
        if (used > m.most_used) m.most_used = used;
    }
    return m;
}

static const uint32_t rates[] = {1, 2, 3, 4, 20, 60, 250};
#define RATES (sizeof rates / sizeof rates[0])

static unsigned quarter(uint32_t rate) {
    return rate < 4 ? 1 : rate / 4;
}

/* A task that runs may run for long: however many do, they keep no more than a quarter. */
static void test_running_tasks(void **state) {
    (void)state;
    static const uint32_t coming[] = {0, 1, 19, 249, 640, 100000};
    for (size_t r = 0; r < RATES; r++)
        for (size_t i = 0; i < sizeof coming / sizeof coming[0]; i++) {
            bench_t b;
            bench_open(&b, 2, rates[r]);
            b.view.waiting = 0;
            b.view.coming = coming[i];
            minutes_t m = pass(&b, 10 * SPAN_S, 0);
            unsigned kept = coming[i] < quarter(rates[r]) ? coming[i] : quarter(rates[r]);
            if (rates[r] == 1) kept = 0; /* none is to be had of one */
            unsigned most = rates[r] - kept < SPAN_S - 1 ? rates[r] - kept : SPAN_S - 1;
            assert_in_range(m.polls, 9 * most, 10 * SPAN_S);
            assert_in_range(m.most_used, most, rates[r] - kept);
        }
}

/* Results that wait and are not taken, say because no uploader is there, keep all but a quarter. */
static void test_waiting_results(void **state) {
    (void)state;
    for (size_t r = 0; r < RATES; r++) {
        bench_t b;
        bench_open(&b, 2, rates[r]);
        b.view.waiting = rates[r] / 2;
        minutes_t m = pass(&b, 10 * SPAN_S, 0);
        assert_in_range(m.fewest_left, rates[r] / 2, rates[r] > 3 * SPAN_S ? rates[r] : rates[r] / 2);
        bench_open(&b, 2, rates[r]);
        b.view.waiting = b.view.coming = 1000;
        m = pass(&b, 10 * SPAN_S, 0);
        assert_in_range(m.polls, 9 * (quarter(rates[r]) < SPAN_S ? quarter(rates[r]) : SPAN_S - 1),
                        10 * quarter(rates[r]));
        assert_in_range(m.fewest_left, rates[r] - quarter(rates[r]), rates[r]);
    }
}

/* Uploads that go on as slowly as they may take a part of the units for good; what they use is of their own.
 */
static void test_slow_uploads(void **state) {
    (void)state;
    for (size_t r = 0; r < RATES; r++)
        for (int every_s = 1; every_s < SPAN_S; every_s += 1 + every_s / 3) {
            bench_t b;
            bench_open(&b, 2, rates[r]);
            b.view.waiting = 1000;
            b.view.coming = 100;
            minutes_t m = pass(&b, 20 * SPAN_S, every_s);
            unsigned used = (SPAN_S + every_s) / every_s; /* by uploads, in a minute and its bucket */
            unsigned left = rates[r] > used ? rates[r] - used : 0, share = quarter(rates[r]);
            assert_in_range(m.polls, 18 * (left < share ? left : share), 20 * SPAN_S);
            assert_in_range(m.most_used, 0, rates[r]);
        }
}

/* What an upload credit has is not kept a second time. */
static void test_budgets_of_uploads(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 40);
    b.view.waiting = 12;
    b.view.fetch_room = 100;
    want(&b, UPLOADER, CREDIT_UPLOAD);
    expect(&b, CREDIT_UPLOAD, UPLOADER, 12);
    rate_add(&b.gate.window, b.now, 8);
    b.view.coming = 3;
    want(&b, FETCHER, CREDIT_FETCH);
    expect(&b, CREDIT_FETCH, FETCHER, 40 - 12 - 8 - 3);
}

static const char *waits_for(bench_t *b) {
    return gate_waits_for(&b->gate, &b->view, b->now);
}

static void test_what_fetching_waits_for(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 20);
    b.view.waiting = 0;
    b.view.coming = 100;
    assert_string_equal(waits_for(&b), "nothing");
    assert_false(gate_keeps_units(&b.gate, &b.view, b.now));
    want(&b, FETCHER, CREDIT_FETCH);
    release(&b, expect(&b, CREDIT_FETCH, FETCHER, 10), 10);
    for (int i = 0; i < 10; i++)
        gate_fetch_ended(&b.gate, 100);
    want(&b, FETCHER, CREDIT_FETCH);
    b.now += GATE_FLOW_MS;
    release(&b, expect(&b, CREDIT_FETCH, FETCHER, 5), 5);
    assert_true(gate_keeps_units(&b.gate, &b.view, b.now));
    assert_string_equal(waits_for(&b), "the rate limit's minute: what is left of it is for results");
    b.view.fetch_room = 0;
    assert_false(gate_keeps_units(&b.gate, &b.view, b.now));
    assert_string_equal(waits_for(&b), "room to fetch");
    b.view.fetch_room = 10;
    rate_add(&b.gate.window, b.now, 5);
    assert_string_equal(waits_for(&b), "the rate limit's minute");
    b.gate.pause_ms = b.now + 1;
    assert_string_equal(waits_for(&b), "the end of the pause that AC asked for (429 or Retry-After)");
}

/* A probe is one request, and tells most when it is get-task's: no result is too many for it. */
static void test_probe(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 20);
    assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 11));
    assert_true(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 12));
    b.view.waiting = b.view.coming = 100;
    rate_add(&b.gate.fetched, b.now, 19);
    rate_add(&b.gate.window, b.now, 19);
    b.now += 5000;
    want(&b, UPLOADER, CREDIT_UPLOAD);
    want(&b, FETCHER, CREDIT_FETCH);
    release(&b, expect(&b, CREDIT_FETCH, FETCHER, 1), 1);
    b.now += GATE_PROBE_MS;
    want(&b, FETCHER, CREDIT_FETCH);
    assert_null(decide(&b)); /* no unit is free */
    b.now += SPAN_S * 1000ll;
    b.view.fetch_room = 0;
    want(&b, UPLOADER, CREDIT_UPLOAD);
    want(&b, FETCHER, CREDIT_FETCH);
    release(&b, expect(&b, CREDIT_UPLOAD, UPLOADER, 1), 1);
    b.view.fetch_room = 1;
    b.now += GATE_PROBE_MS;
    b.gate.fetch_pause_ms = b.now + 1; /* get-task has failed on its own */
    want(&b, UPLOADER, CREDIT_UPLOAD);
    want(&b, FETCHER, CREDIT_FETCH);
    expect(&b, CREDIT_UPLOAD, UPLOADER, 1);
}

static credit_t *recall(bench_t *b, uint8_t reason) {
    uint8_t said = 0;
    credit_t *c = gate_recall(&b->gate, &b->view, b->now, &said);
    if (c) assert_int_equal(said, reason);
    return c;
}

/* acMaxConcurrent is 1 all at once, while credits are out that were granted under 2. */
static void test_fewer_credits(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    want(&b, FETCHER, CREDIT_FETCH);
    credit_t *fetch = expect(&b, CREDIT_FETCH, FETCHER, 10);
    b.gate.max = 1;
    assert_null(recall(&b, REVOKE_WANTED)); /* nobody else wants it */
    want(&b, UNCLAIMED, CREDIT_UPLOAD);
    assert_null(recall(&b, REVOKE_WANTED));
    want(&b, UPLOADER, CREDIT_UPLOAD);
    assert_ptr_equal(recall(&b, REVOKE_WANTED), fetch);
    assert_null(recall(&b, REVOKE_WANTED));
    release(&b, fetch, 1);
    release(&b, expect(&b, CREDIT_UPLOAD, UPLOADER, 5), 5);
    want(&b, FETCHER, CREDIT_FETCH);
    (void)expect(&b, CREDIT_FETCH, FETCHER, 1);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    assert_null(recall(&b, REVOKE_WANTED)); /* a single poll has its turn */

    bench_open(&b, 2, 250);
    want(&b, UPLOADER, CREDIT_UPLOAD);
    want(&b, FETCHER, CREDIT_FETCH);
    credit_t *upload = expect(&b, CREDIT_UPLOAD, UPLOADER, 5);
    fetch = expect(&b, CREDIT_FETCH, FETCHER, 10);
    assert_null(recall(&b, REVOKE_WANTED));
    b.gate.max = 1;
    assert_ptr_equal(recall(&b, REVOKE_WANTED), fetch); /* one too many; a poll can be begun anew */
    assert_null(recall(&b, REVOKE_WANTED));
    want(&b, FETCHER, CREDIT_FETCH);
    release(&b, fetch, 0);
    assert_null(decide(&b));
    release(&b, upload, 5);
    expect(&b, CREDIT_FETCH, FETCHER, 1);

    bench_open(&b, 2, 250); /* likewise after a restart */
    const credit_t former = {.credit = 500, .holder = FETCHER, .stage = CREDIT_FETCH, .budget = 8};
    gate_restore(&b.gate, &former, b.now);
    b.gate.max = 1;
    want(&b, UPLOADER, CREDIT_UPLOAD);
    assert_null(recall(&b, REVOKE_WANTED));
    assert_true(gate_rejoin(&b.gate, 500, FETCHER, 7, b.now));
    assert_non_null(recall(&b, REVOKE_WANTED));
}

/* Two borrowed upload credits, and then there is only one to have. */
static void test_fewer_upload_credits(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    b.view.fetch_room = 0;
    want(&b, UPLOADER, CREDIT_UPLOAD);
    want(&b, UPLOADER2, CREDIT_UPLOAD);
    expect(&b, CREDIT_UPLOAD, UPLOADER, 5);
    expect(&b, CREDIT_UPLOAD, UPLOADER2, 5);
    b.gate.max = 1;
    assert_non_null(recall(&b, REVOKE_WANTED));
    assert_null(recall(&b, REVOKE_WANTED));
}

/* A credit of many polls has all that is left of the minute, and AC has no tasks: a result that comes
 * meanwhile does not wait until these polls are over. */
static void test_units_of_idle_polls(void **state) {
    (void)state;
    for (int max = 1; max <= 2; max++) {
        bench_t b;
        bench_open(&b, max, 8);
        b.gate.max = 2;
        b.view.waiting = 0;
        want(&b, FETCHER, CREDIT_FETCH);
        credit_t *fetch = expect(&b, CREDIT_FETCH, FETCHER, 8);
        b.gate.max = max;
        gate_used(&b.gate, fetch, 1, b.now);
        assert_null(recall(&b, REVOKE_WANTED));
        b.view.waiting = 1;
        want(&b, UPLOADER, CREDIT_UPLOAD);
        assert_null(decide(&b));
        assert_ptr_equal(recall(&b, REVOKE_WANTED), fetch);
        release(&b, fetch, 2);
        expect(&b, CREDIT_UPLOAD, UPLOADER, 1);
    }
    bench_t b; /* its last poll gives nothing back */
    bench_open(&b, 2, 8);
    b.view.waiting = 0;
    want(&b, FETCHER, CREDIT_FETCH);
    credit_t *fetch = expect(&b, CREDIT_FETCH, FETCHER, 8);
    gate_used(&b.gate, fetch, 8, b.now);
    b.view.waiting = 1;
    want(&b, UPLOADER, CREDIT_UPLOAD);
    assert_null(recall(&b, REVOKE_WANTED));
}

/* Uploaders repeat their WANT each second, one always a little before the other: both have their turns, for
 * one may hold nothing but results that AC fails on. */
static void test_turns_of_uploaders(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 2, 250);
    b.view.fetch_room = 0;
    assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 11));
    assert_true(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 12));
    unsigned probes[UPLOADER2 + 1] = {0};
    for (int s = 0; s < 600; s++) {
        want(&b, UPLOADER, CREDIT_UPLOAD);
        b.now += 500;
        want(&b, UPLOADER2, CREDIT_UPLOAD);
        credit_t *c = decide(&b);
        b.now += 500;
        if (!c) continue;
        probes[c->holder]++;
        release(&b, c, 1);
        assert_false(outcome(&b, CALL_PUT_RESULT, OUTCOME_SERVER, 11 + (uint64_t)s % 2));
    }
    assert_in_range(probes[UPLOADER] + probes[UPLOADER2], 18, 22);
    assert_in_range(probes[UPLOADER], probes[UPLOADER2] - 1, probes[UPLOADER2] + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running_tasks),
        cmocka_unit_test(test_waiting_results),
        cmocka_unit_test(test_slow_uploads),
        cmocka_unit_test(test_budgets_of_uploads),
        cmocka_unit_test(test_what_fetching_waits_for),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_fewer_credits),
        cmocka_unit_test(test_fewer_upload_credits),
        cmocka_unit_test(test_units_of_idle_polls),
        cmocka_unit_test(test_turns_of_uploaders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
