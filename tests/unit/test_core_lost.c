/* What becomes of a task whose worker fails, gives it back, is lost or says nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/stage.h"
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

/* GONE was lost with the session: the outcome is not taken a second time. */
static void test_outcome_said_again(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    core_view_t view;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_uploading(&b, &session);
    bench_uploaded(&b, session, number, 1, OUTCOME_SERVER);
    msg_held_t held = {session, number, 1, PHASE_FINISHED};
    session = bench_join(&b, ROLE_UPLOADER, UPLOADER, 0, &held, 1);
    assert_int_equal(bench_heard(&b, UPLOADER, MSG_WELCOME)->welcome.drop.count, 1);
    bench_uploaded(&b, session, number, 1, OUTCOME_SERVER);
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(view.counters.retried, 1);
    assert_int_equal(tasks_find(view.tasks, number)->tries, 1);
    bench_close(&b);
}

/* What the agent ends itself says nothing of AC: no pause, no closed gate; the result has one try more. */
static void test_aborted(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    core_view_t view;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_uploading(&b, &session);
    uint64_t fetcher = bench_join(&b, ROLE_FETCHER, FETCHER, 7, NULL, 0);
    msg_t report = {.type = MSG_REPORT,
                    .report = {.session = fetcher,
                               .call = CALL_GET_TASK,
                               .outcome = OUTCOME_ABORTED,
                               .retry_after_ms = -1,
                               .reason = str_of("get-task at ac:443: aborted: the credit ran out")}};
    bench_say(&b, FETCHER, &report);
    bench_uploaded(&b, session, number, 1, OUTCOME_ABORTED);
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(view.gate->state, GATE_OPEN);
    assert_true(view.gate->fetch_pause_ms <= b.now.ms);
    assert_int_equal(view.gate->error_wall_ms, 0);
    assert_int_equal(tasks_find(view.tasks, number)->tries, 1);
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
    assert_int_equal(bench_state(&b, number), TASK_READY);
    for (int i = 0; i < 5; i++) {
        bench_beat(&b, EXECUTOR, session, NULL, 0);
        bench_later(&b, 1000);
    }
    assert_int_equal(bench_out(&b, OUT_PUSH, EXECUTOR)->msg.task.attempt, 2);
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number, 1); /* late, and the second push is out */
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_DENIED));
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number, 2);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_CLAIMED));
    bench_close(&b);
}

/* An executor that can be heard and not reached, as behind a firewall that knows the control port alone. */
static void test_mute_worker(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t mute = bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 6, NULL, 0), good = 0;
    unsigned trials = 0, alone = 0;
    bench_beat(&b, EXECUTOR2, mute, NULL, 0);
    (void)bench_fetch(&b, "first", "GET", TASK_IDEMPOTENT);
    (void)bench_fetch(&b, "second", "GET", TASK_IDEMPOTENT);
    for (int i = 0; i < 55; i++) {
        bench_clear(&b);
        bench_tick(&b);
        if (i == 30) alone = trials;
        if (i == 30) good = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
        if (good) bench_beat(&b, EXECUTOR, good, NULL, 0);
        bench_beat(&b, EXECUTOR2, mute, NULL, 0);
        bench_clear(&b);
        bench_later(&b, 1000);
        size_t count;
        const out_t *outs = effects_outs(b.fx, &count);
        for (size_t k = 0; k < count; k++) {
            if (outs[k].type != OUT_PUSH) continue;
            trials += outs[k].peer == EXECUTOR2;
            if (outs[k].peer != EXECUTOR) continue;
            uint64_t number = outs[k].msg.task.number;
            uint32_t attempt = outs[k].msg.task.attempt;
            bench_ref(&b, EXECUTOR, MSG_CLAIM, good, number, attempt);
            bench_result(&b, good, number, attempt);
            break;
        }
    }
    assert_in_range(alone, 1, 4);              /* at first both, then one at a time and ever more seldom */
    assert_in_range(trials, alone, alone + 1); /* once there is another, that one has all */
    core_view_t view;
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(view.counters.results, 2);
    assert_int_equal(view.counters.expired, 0);
    assert_int_equal(view.executor_slots, 2 + 1); /* fetching does not count on it */
    bench_close(&b);
}

/* Turns that always take more than a second, as with a disk that needs so long for each sync. */
static void test_judged_in_long_turns(void **state) {
    (void)state;
    static const int64_t turns_ms[] = {900, 1100, 2500, 4900};
    for (size_t i = 0; i < sizeof turns_ms / sizeof turns_ms[0]; i++) {
        bench_t b;
        uint64_t session;
        bench_begin(&b, REDELIVER_IDEMPOTENT);
        uint64_t number = bench_claimed(&b, &session, "POST", 0);
        uint64_t other = bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 6, NULL, 0);
        int64_t since_ms = b.now.ms;
        while (b.now.ms - since_ms < 20000) {
            b.now.ms += turns_ms[i];
            bench_beat(&b, EXECUTOR2, other, NULL, 0);
            bench_tick(&b);
        }
        assert_int_equal(bench_state(&b, number), TASK_DONE); /* outcome unknown: its executor is dead */
        core_view_t view;
        core_look(b.core, b.now.ms, &view);
        assert_int_equal(view.executors->session, other); /* and the living one is not */
        bench_close(&b);
    }
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

/* A task of the executor's is claimed, and its RESULT comes. */
static void another_result(bench_t *b, uint64_t session, int serial) {
    char id[16];
    (void)snprintf(id, sizeof id, "other%d", serial);
    bench_clear(b);
    uint64_t number = bench_fetch(b, id, "GET", TASK_IDEMPOTENT);
    bench_tick(b);
    const out_t *push = bench_out(b, OUT_PUSH, EXECUTOR);
    assert_non_null(push);
    assert_int_equal(push->msg.task.number, number);
    bench_ref(b, EXECUTOR, MSG_CLAIM, session, number, 1);
    bench_result(b, session, number, 1);
}

static void live(bench_t *b, uint64_t session, uint64_t number, int seconds) {
    for (int i = 0; i < seconds; i++) {
        bench_beat(b, EXECUTOR, session, &number, 1);
        bench_later(b, 1000);
    }
}

/* An answer that came in time may be behind others on a slow way: it is waited for while these come. */
static void test_results_come_past_the_expiry(void **state) {
    (void)state;
    for (int ends = 0; ends < 2; ends++) {
        bench_t b;
        uint64_t session;
        bench_begin(&b, REDELIVER_IDEMPOTENT);
        uint64_t number = bench_claimed(&b, &session, "POST", 0); /* expires after 60 s */
        int comes = ends ? 60 : 8, serial = 0;
        for (; serial < comes && bench_state(&b, number) == TASK_RUNNING; serial++) {
            another_result(&b, session, serial);
            live(&b, session, number, 15);
        }
        if (ends) { /* not without end */
            assert_in_range(serial, (60 + 600) / 15, (60 + 600) / 15 + 1);
        } else {
            assert_int_equal(bench_state(&b, number), TASK_RUNNING); /* 50 s later */
            bench_clear(&b);
            bench_result(&b, session, number, 1);
            assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
        }
        assert_int_equal(bench_state(&b, number), TASK_DONE);
        bench_close(&b);
    }
}

/* And when nothing comes any more it is ended. */
static void test_no_results_come_past_the_expiry(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_claimed(&b, &session, "POST", 0);
    live(&b, session, number, 65);
    another_result(&b, session, 0);
    live(&b, session, number, 20);
    assert_int_equal(bench_state(&b, number), TASK_RUNNING);
    live(&b, session, number, 1);
    assert_int_equal(bench_state(&b, number), TASK_DONE);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_DENIED)->denied.reason, DENIED_EXPIRED);
    bench_close(&b);
}

/* What is said of an expired task: whether it was with an executor that may have begun it. */
static void test_what_is_said_of_an_expired_task(void **state) {
    (void)state;
    static const struct {
        bool claimed, given_back, begun;
    } table[] = {{false, false, false}, {true, false, true}, {true, true, false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bench_t b;
        uint64_t session, number;
        bench_begin(&b, REDELIVER_IDEMPOTENT);
        if (table[i].claimed)
            number = bench_claimed(&b, &session, "GET", TASK_IDEMPOTENT);
        else
            number = bench_fetch(&b, "id", "GET", TASK_IDEMPOTENT);
        if (table[i].given_back) {
            msg_t msg = {.type = MSG_RETURN, .give_back = {session, number, 1, false}};
            bench_say(&b, EXECUTOR, &msg);
        }
        bench_clear(&b);
        bench_later(&b, 75000); /* its executor is lost meanwhile */
        assert_int_equal(bench_state(&b, number), TASK_DONE);
        char text[201];
        str_copy(bench_record(&b, REC_TASK_FAIL)->task.reason, text, sizeof text);
        assert_int_equal(strstr(text, "before it was sent to the tool") != NULL, !table[i].begun);
        assert_int_equal(strstr(text, "the executor that had it brought no result") != NULL, table[i].begun);
        bench_close(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_lost_worker),
        cmocka_unit_test(test_late_wake),
        cmocka_unit_test(test_judged_after_a_stop),
        cmocka_unit_test(test_returned),
        cmocka_unit_test(test_forgotten_claim),
        cmocka_unit_test(test_unclaimed),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_mute_worker),
        cmocka_unit_test(test_judged_in_long_turns),
        cmocka_unit_test(test_aborted),
        cmocka_unit_test(test_outcome_said_again),
        cmocka_unit_test(test_place_replaced),
        cmocka_unit_test(test_results_come_past_the_expiry),
        cmocka_unit_test(test_no_results_come_past_the_expiry),
        cmocka_unit_test(test_what_is_said_of_an_expired_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
