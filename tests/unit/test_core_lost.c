/* What becomes of a task whose worker fails, gives it back, is lost or says nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/core_bench.h"

static void test_retry(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_uploading(&b, &session);
    bench_uploaded(&b, session, number, 1, OUTCOME_SERVER);
    for (int i = 0; i < 8 && !bench_out(&b, OUT_PUSH, UPLOADER); i++) {
        bench_beat(&b, UPLOADER, session, NULL, 0);
        bench_later(&b, 1000);
        if (i < 4) assert_null(bench_out(&b, OUT_PUSH, UPLOADER)); /* 5 to 7 s */
    }
    assert_int_equal(bench_out(&b, OUT_PUSH, UPLOADER)->msg.task.attempt, 2);
    assert_int_equal(bench_out(&b, OUT_PUSH, UPLOADER)->msg.task.tries, 1);
    bench_close(&b);
}

static void test_lost_worker(void **state) {
    (void)state;
    static const struct {
        redeliver_t redeliver;
        const char *method;
        uint16_t flags;
        task_state_t state;
    } table[] = {{REDELIVER_IDEMPOTENT, "GET", TASK_IDEMPOTENT, TASK_READY},
                 {REDELIVER_IDEMPOTENT, "POST", 0, TASK_DONE},
                 {REDELIVER_NEVER, "GET", TASK_IDEMPOTENT, TASK_DONE},
                 {REDELIVER_ALWAYS, "POST", 0, TASK_READY}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bench_t b;
        uint64_t session;
        bench_begin(&b, table[i].redeliver);
        uint64_t number = bench_claimed(&b, &session, table[i].method, table[i].flags);
        bench_clear(&b);
        bench_later(&b, 5000);
        assert_int_equal(bench_state(&b, number), TASK_RUNNING);
        bench_later(&b, 1000);
        assert_int_equal(bench_state(&b, number), table[i].state);
        assert_non_null(bench_out(&b, OUT_CLOSE, EXECUTOR));
        if (table[i].state == TASK_DONE) assert_non_null(bench_record(&b, REC_TASK_FAIL));
        bench_close(&b);
    }
}

static void test_returned(void **state) {
    (void)state;
    static const struct {
        const char *method;
        uint16_t flags;
        bool started;
        task_state_t state;
        record_type_t record;
    } table[] = {{"POST", 0, false, TASK_READY, REC_TASK_READY},
                 {"POST", 0, true, TASK_DONE, REC_TASK_FAIL},
                 {"GET", TASK_IDEMPOTENT, true, TASK_READY, REC_WORKER}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bench_t b;
        uint64_t session;
        bench_begin(&b, REDELIVER_IDEMPOTENT);
        uint64_t number = bench_claimed(&b, &session, table[i].method, table[i].flags);
        msg_t msg = {.type = MSG_RETURN, .give_back = {session, number, 1, table[i].started}};
        bench_say(&b, EXECUTOR, &msg);
        assert_non_null(bench_heard(&b, EXECUTOR, MSG_GONE));
        assert_int_equal(bench_state(&b, number), table[i].state);
        if (table[i].record != REC_WORKER) assert_non_null(bench_record(&b, table[i].record));
        if (table[i].flags == 0) { /* it cannot have it all the same */
            msg_held_t held = {session, number, 1, PHASE_STARTED};
            (void)bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held, 1);
            assert_int_equal(bench_heard(&b, EXECUTOR, MSG_WELCOME)->welcome.drop.count, 1);
        }
        bench_close(&b);
    }
}

static void test_late_wake(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_claimed(&b, &session, "POST", 0);
    b.now.ms += 3 * (int64_t)PROTOCOL_LOST_MS; /* stood still; what was sent meanwhile is still to be read */
    bench_tick(&b);
    bench_beat(&b, EXECUTOR, session, &number, 1);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_HEARTBEAT));
    assert_int_equal(bench_state(&b, number), TASK_RUNNING);
    bench_later(&b, PROTOCOL_LOST_MS + 2000);
    assert_int_equal(bench_state(&b, number), TASK_DONE); /* outcome unknown */
    bench_close(&b);
}

/* Ticks as the shell does it, until `ms` later. */
static void ticks_until(bench_t *b, int64_t ms) {
    int64_t end_ms = b->now.ms + ms;
    for (int64_t due_ms; (due_ms = core_due_ms(b->core, b->now.ms)) < end_ms;) {
        b->now.ms = due_ms;
        bench_tick(b);
    }
    b->now.ms = end_ms;
}

/* Whatever comes in between, and however seldom: after a stop the lost are judged once the grace is over. */
static void test_judged_after_a_stop(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_claimed(&b, &session, "POST", 0);
    uint64_t other = bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 6, NULL, 0);
    b.now.ms += 3 * (int64_t)PROTOCOL_LOST_MS;
    bench_tick(&b);
    for (int i = 0; i < 3; i++) {
        ticks_until(&b, 1001); /* a heartbeat that is due each second, and is late as they are */
        bench_beat(&b, EXECUTOR2, other, NULL, 0);
        bench_tick(&b);
    }
    assert_int_equal(bench_state(&b, number), TASK_DONE); /* outcome unknown */
    bench_close(&b);
}

static void test_forgotten_claim(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_claimed(&b, &session, "GET", TASK_IDEMPOTENT);
    bench_beat(&b, EXECUTOR, session, &number, 1);
    bench_beat(&b, EXECUTOR, session, NULL, 0);
    assert_int_equal(bench_state(&b, number), TASK_RUNNING);
    b.beat_seq -= 2; /* one from before, overtaken by the other two */
    bench_beat(&b, EXECUTOR, session, NULL, 0);
    assert_int_equal(bench_state(&b, number), TASK_RUNNING);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_HEARTBEAT));
    b.beat_seq++;
    bench_beat(&b, EXECUTOR, session, NULL, 0);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_DENIED)->denied.reason, DENIED_LOST);
    assert_int_equal(bench_state(&b, number), TASK_READY);
    bench_close(&b);
}

static void test_unclaimed(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    bench_beat(&b, EXECUTOR, session, NULL, 0);
    uint64_t number = bench_fetch(&b, "id", "POST", 0);
    bench_tick(&b);
    for (int i = 0; i < 5; i++) {
        bench_beat(&b, EXECUTOR, session, NULL, 0);
        bench_later(&b, 1000);
    }
    assert_int_equal(bench_out(&b, OUT_PUSH, EXECUTOR)->msg.task.attempt, 2);
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number, 1); /* the late claim */
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_DENIED));
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number, 2);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_CLAIMED));
    bench_close(&b);
}

static void test_expired(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_fetch(&b, "id", "GET", TASK_IDEMPOTENT);
    bench_clear(&b);
    bench_later(&b, 59000);
    assert_int_equal(bench_state(&b, number), TASK_READY);
    bench_later(&b, 1000);
    assert_int_equal(bench_state(&b, number), TASK_DONE);
    assert_non_null(bench_record(&b, REC_TASK_FAIL));
    bench_close(&b);
}

static void test_place_replaced(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_claimed(&b, &session, "GET", TASK_IDEMPOTENT);
    uint64_t next = bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 5, NULL, 0);
    assert_int_equal(bench_record(&b, REC_WORKER_GONE)->instance, EXECUTOR);
    assert_non_null(bench_out(&b, OUT_CLOSE, EXECUTOR));
    assert_int_equal(bench_state(&b, number), TASK_READY);
    bench_beat(&b, EXECUTOR2, next, NULL, 0);
    bench_tick(&b);
    assert_int_equal(bench_out(&b, OUT_PUSH, EXECUTOR2)->msg.task.attempt, 2);
    bench_result(&b, session, number, 1); /* of the dead one, late */
    assert_int_equal(bench_state(&b, number), TASK_PUSHED);
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry),          cmocka_unit_test(test_lost_worker),
        cmocka_unit_test(test_late_wake),      cmocka_unit_test(test_judged_after_a_stop),
        cmocka_unit_test(test_returned),       cmocka_unit_test(test_forgotten_claim),
        cmocka_unit_test(test_unclaimed),      cmocka_unit_test(test_expired),
        cmocka_unit_test(test_place_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
