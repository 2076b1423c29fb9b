#include "tests/unit/gate_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool all_claimed(void *ctx, uint64_t holder) {
    (void)ctx;
    return holder != UNCLAIMED;
}

static bool in_session(void *ctx, uint64_t holder, uint64_t session) {
    (void)ctx, (void)holder;
    return session == 7;
}

void bench_open(bench_t *b, int max, uint32_t rate) {
    *b = (bench_t){.now = 1000000};
    gate_init(&b->gate, max, rate, 1, 100);
    b->view = (gate_view_t){.fetch_room = 10, .waiting = 5, .claimed = all_claimed, .present = in_session};
}

void want(bench_t *b, uint64_t holder, uint8_t stage) {
    gate_want(&b->gate, holder, 7, ++b->seq, stage, b->now);
}

credit_t *decide(bench_t *b) {
    uint64_t seq;
    return gate_decide(&b->gate, &b->view, b->now, &seq);
}

credit_t *expect(bench_t *b, uint8_t stage, uint64_t holder, unsigned budget) {
    credit_t *c = decide(b);
    assert_non_null(c);
    assert_int_equal(c->stage, stage);
    assert_int_equal(c->holder, holder);
    assert_int_equal(c->budget, budget);
    return c;
}

void release(bench_t *b, credit_t *c, uint16_t used) {
    gate_all_ended(&b->gate, c, used, b->now);
    gate_release(&b->gate, c, b->now);
}

bool outcome(bench_t *b, call_t call, outcome_t what, uint64_t number) {
    return gate_report(&b->gate, call, what, number, -1, 2000, b->now);
}
