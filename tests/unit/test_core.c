/* The core by plain dialogues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker/stage.h"
#include "tests/unit/core_bench.h"

static void test_hello(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    assert_int_equal(session >> 32, 1);
    const out_t *opened = bench_out(&b, OUT_OPEN, EXECUTOR);
    assert_non_null(opened);
    assert_int_equal(opened->slots, 2);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_CONFIG));
    assert_int_equal(bench_record(&b, REC_WORKER)->instance, EXECUTOR);
    bench_beat(&b, EXECUTOR, session + 100, NULL, 0);
    assert_null(bench_heard(&b, EXECUTOR, MSG_HEARTBEAT));
    bench_beat(&b, EXECUTOR2, session, NULL, 0);
    assert_int_equal(bench_heard(&b, EXECUTOR2, MSG_ERROR)->error.code, MSG_ERR_SESSION);
    bench_beat(&b, EXECUTOR, session, NULL, 0);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_HEARTBEAT)->heartbeat.seq, b.beat_seq);
    msg_t want = {.type = MSG_WANT, .want = {session, 1, CREDIT_FETCH}};
    bench_say(&b, EXECUTOR, &want);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_ERROR)->error.code, MSG_ERR_ROLE);
    bench_close(&b);
}

static void test_wrong_credit(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, REDELIVER_IDEMPOTENT);
    const credit_t credit = {.credit = 4712, .holder = FETCHER, .stage = CREDIT_FETCH, .budget = 3};
    core_restore_credit(b.core, &credit, b.now.ms);
    bench_start(&b);
    uint64_t session = bench_join(&b, ROLE_UPLOADER, UPLOADER, 0, NULL, 0);
    msg_t want = {.type = MSG_WANT, .want = {session, 1, CREDIT_FETCH}};
    bench_say(&b, UPLOADER, &want);
    assert_int_equal(bench_heard(&b, UPLOADER, MSG_ERROR)->error.code, MSG_ERR_ROLE);
    msg_t renew = {.type = MSG_RENEW, .renew = {session, 2, 4711, 0}};
    bench_say(&b, UPLOADER, &renew);
    assert_int_equal(bench_heard(&b, UPLOADER, MSG_REVOKE)->revoke.reason, REVOKE_UNKNOWN);
    msg_t release = {.type = MSG_RELEASE, .release = {session, 4712, 0}};
    bench_say(&b, UPLOADER, &release);
    assert_null(bench_record(&b, REC_CREDIT_GONE));
    release.release.session = 99; /* its holder's own, said to a broker that has died */
    bench_say(&b, FETCHER, &release);
    assert_non_null(bench_record(&b, REC_CREDIT_GONE));
    bench_close(&b);
}

static void test_fetch_and_dedup(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    (void)bench_join(&b, ROLE_FETCHER, FETCHER, 0, NULL, 0);
    uint64_t number = bench_fetch(&b, "id", "GET", TASK_IDEMPOTENT);
    assert_true(number != 0);
    assert_int_equal(bench_heard(&b, FETCHER, MSG_ACCEPTED)->accepted.verdict, VERDICT_NEW);
    b.fetch_seq--;
    assert_int_equal(bench_fetch(&b, "id", "GET", TASK_IDEMPOTENT), 0);
    assert_int_equal(bench_heard(&b, FETCHER, MSG_ACCEPTED)->accepted.verdict, VERDICT_REPEAT);
    assert_int_equal(bench_fetch(&b, "id", "GET", TASK_IDEMPOTENT), 0);
    assert_int_equal(bench_heard(&b, FETCHER, MSG_ACCEPTED)->accepted.verdict, VERDICT_HELD);
    assert_int_equal(bench_heard(&b, FETCHER, MSG_ACCEPTED)->accepted.number, number);
    b.fetch_seq = 70; /* the fetches between are on their way still */
    assert_true(bench_fetch(&b, "id-71", "GET", TASK_IDEMPOTENT) != 0);
    b.fetch_seq = 7;
    assert_true(bench_fetch(&b, "id-8", "GET", TASK_IDEMPOTENT) != 0);
    b.fetch_seq = 7;
    assert_int_equal(bench_fetch(&b, "id-8b", "GET", TASK_IDEMPOTENT), 0);
    b.fetch_seq = 80;
    assert_true(bench_fetch(&b, "bad", "GET", TASK_INVALID) != 0);
    assert_non_null(bench_record(&b, REC_TASK_FAIL));
    bench_close(&b);
}

/* It goes to no executor, but to the uploader as it is; one that cannot be read is answered like any other.
 */
static void test_logs_task_skips_execute(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t executor = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    uint64_t uploader = bench_join(&b, ROLE_UPLOADER, UPLOADER, 6, NULL, 0);
    bench_beat(&b, EXECUTOR, executor, NULL, 0);
    bench_beat(&b, UPLOADER, uploader, NULL, 0);
    uint64_t number = bench_fetch(&b, "fetchLogs", "GET", TASK_IDEMPOTENT | TASK_LOGS);
    assert_true(number != 0);
    assert_null(bench_record(&b, REC_TASK_FAIL));
    assert_int_equal(bench_record(&b, REC_TASK_NEW)->task.state, TASK_DONE);
    bench_tick(&b);
    assert_null(bench_out(&b, OUT_PUSH, EXECUTOR));
    const out_t *push = bench_out(&b, OUT_PUSH, UPLOADER);
    assert_non_null(push);
    assert_int_equal(push->msg.task.call, CALL_UPLOAD_LOGS);
    assert_int_equal(push->number, number);
    assert_true(bench_fetch(&b, "fetchLogs2", "GET", TASK_LOGS | TASK_INVALID) != 0);
    assert_non_null(bench_record(&b, REC_TASK_FAIL));
    assert_int_equal(bench_record(&b, REC_TASK_NEW)->task.call, CALL_PUT_RESULT);
    bench_close(&b);
}

static void test_claim(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_claimed(&b, &session, "POST", 0);
    assert_int_equal(bench_record(&b, REC_TASK_RUNNING)->task.holder, EXECUTOR);
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number, 1); /* repeated: answered, journaled once */
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_CLAIMED));
    assert_null(bench_record(&b, REC_TASK_RUNNING));
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number, 2);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_DENIED)->denied.reason, DENIED_OTHER);
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number + 50, 1);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_DENIED)->denied.reason, DENIED_UNKNOWN);
    msg_held_t held = {session, number, 1, PHASE_STARTED};
    uint64_t other = bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 6, &held, 1); /* another has it */
    assert_int_equal(bench_heard(&b, EXECUTOR2, MSG_WELCOME)->welcome.drop.count, 1);
    bench_ref(&b, EXECUTOR2, MSG_CLAIM, other, number, 1);
    assert_int_equal(bench_heard(&b, EXECUTOR2, MSG_DENIED)->denied.reason, DENIED_OTHER);
    bench_close(&b);
}

static void test_result(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_claimed(&b, &session, "POST", 0);
    uint64_t other = bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 6, NULL, 0);
    bench_result(&b, other, number, 1); /* it is not the other's */
    assert_int_equal(bench_heard(&b, EXECUTOR2, MSG_DENIED)->denied.reason, DENIED_OTHER);
    assert_int_equal(bench_state(&b, number), TASK_RUNNING);
    bench_result(&b, session, number, 1);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    assert_non_null(bench_record(&b, REC_TASK_DONE)->doc);
    bench_result(&b, session, number, 1); /* repeated */
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    assert_null(bench_record(&b, REC_TASK_DONE));
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number, 1); /* a CLAIM that comes after its own result */
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    bench_close(&b);
}

static void test_uploaded(void **state) {
    (void)state;
    static const struct {
        outcome_t outcome;
        task_state_t state;
        record_type_t record;
    } table[] = {
        {OUTCOME_DONE, TASK_STATES, REC_TASK_GONE},  {OUTCOME_REFUSED, TASK_BURIED, REC_TASK_BURIED},
        {OUTCOME_SERVER, TASK_DONE, REC_TASK_TRY},   {OUTCOME_NETWORK, TASK_DONE, REC_TASK_TRY},
        {OUTCOME_BUSY, TASK_DONE, REC_TASK_TRY},     {OUTCOME_LIMITED, TASK_DONE, REC_TASK_TRY},
        {OUTCOME_DENIED, TASK_DONE, REC_TASK_TRY},   {OUTCOME_MALFORMED, TASK_DONE, REC_TASK_TRY},
        {OUTCOME_REDIRECT, TASK_DONE, REC_TASK_TRY}, {OUTCOME_ABORTED, TASK_DONE, REC_TASK_TRY},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bench_t b;
        uint64_t session;
        bench_begin(&b, REDELIVER_IDEMPOTENT);
        uint64_t number = bench_uploading(&b, &session);
        bench_uploaded(&b, session, number, 1, table[i].outcome);
        assert_non_null(bench_heard(&b, UPLOADER, MSG_GONE));
        assert_non_null(bench_record(&b, table[i].record));
        assert_int_equal(bench_state(&b, number), table[i].state);
        bench_uploaded(&b, session, number, 1, table[i].outcome);
        assert_non_null(bench_heard(&b, UPLOADER, MSG_DENIED)); /* a final answer */
        bench_close(&b);
    }
}

static void say_uploaded(bench_t *b, uint64_t session, uint64_t number, uint64_t credit) {
    const msg_t msg = {.type = MSG_UPLOADED,
                       .uploaded = {.session = session,
                                    .number = number,
                                    .attempt = 1,
                                    .credit = credit,
                                    .call = CALL_PUT_RESULT,
                                    .outcome = OUTCOME_DONE,
                                    .http_status = 200,
                                    .retry_after_ms = -1,
                                    .reason = str_of("")}};
    bench_say(b, UPLOADER, &msg);
}

/* That AC took a result once, under a credit of a process that is gone, opens no gate. */
static void test_taken_before(void **state) {
    (void)state;
    for (uint64_t credit = 0; credit < 2; credit++) {
        bench_t b;
        uint64_t session;
        core_view_t view;
        bench_begin(&b, REDELIVER_IDEMPOTENT);
        uint64_t number = bench_uploading(&b, &session);
        uint64_t fetcher = bench_join(&b, ROLE_FETCHER, FETCHER, 0, NULL, 0);
        const msg_t denied = {.type = MSG_REPORT,
                              .report = {.session = fetcher,
                                         .call = CALL_GET_TASK,
                                         .outcome = OUTCOME_DENIED,
                                         .http_status = 401,
                                         .retry_after_ms = -1,
                                         .reason = str_of("why")}};
        bench_say(&b, FETCHER, &denied);
        say_uploaded(&b, session, number, credit);
        assert_non_null(bench_heard(&b, UPLOADER, MSG_GONE));
        assert_int_equal(bench_state(&b, number), TASK_STATES);
        core_look(b.core, b.now.ms, &view);
        assert_int_equal(view.gate->state, credit ? GATE_OPEN : GATE_CLOSED);
        bench_close(&b);
    }
}

static void say_body(bench_t *b, uint64_t session, uint64_t number, uint32_t attempt, uint8_t kind) {
    msg_t body = {.type = MSG_BODY, .body = {session, number, attempt, 1, 1000000, kind}};
    bench_say(b, EXECUTOR, &body);
}

/* An executor says that it drains: it gets nothing more, and its bodies need not wait. */
static void test_an_executor_that_drains(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    uint64_t uploader = bench_join(&b, ROLE_UPLOADER, UPLOADER, 6, NULL, 0);
    msg_t drain = {.type = MSG_DRAIN, .drain = {session, 0}};
    bench_say(&b, EXECUTOR, &drain);
    assert_false(core_leaves(b.core, session));
    drain.drain.mode = 1;
    bench_say(&b, EXECUTOR, &drain);
    assert_true(core_leaves(b.core, session));
    assert_false(core_leaves(b.core, session + 1) || core_leaves(b.core, uploader));
    uint64_t number = bench_fetch(&b, "a", "GET", 0);
    bench_tick(&b);
    assert_int_equal(bench_state(&b, number), TASK_READY);
    bench_clear(&b);
    drain.drain.session = uploader;
    bench_say(&b, UPLOADER, &drain);
    assert_int_equal(bench_heard(&b, UPLOADER, MSG_ERROR)->error.code, MSG_ERR_ROLE);
    bench_close(&b);
}

/* A body may take longer than its task's expiry: what has ended in time is not lost. */
static void test_body(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_claimed(&b, &session, "POST", 0);
    say_body(&b, session, number + 1, 1, BODY_RAW);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_DENIED)->denied.reason, DENIED_UNKNOWN);
    say_body(&b, session, number, 2, BODY_RAW);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_DENIED)->denied.reason, DENIED_OTHER);
    assert_true(core_runs(b.core, session, number, 1));
    assert_false(core_runs(b.core, session, number, 2) || core_runs(b.core, session + 1, number, 1));
    say_body(&b, session, number, 1, BODY_RAW);
    for (int second = 0; second < 90; second++) {
        bench_later(&b, 1000);
        bench_beat(&b, EXECUTOR, session, &number, 1);
    }
    assert_int_equal(bench_state(&b, number), TASK_RUNNING);
    msg_held_t held = {session, number, 1, PHASE_FINISHED};
    session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held, 1); /* nor in a new session */
    bench_later(&b, 3000);
    assert_int_equal(bench_state(&b, number), TASK_RUNNING);
    say_body(&b, session, number, 1, BODY_RAW);
    assert_false(core_has_body(b.core, number));
    bench_result_flags(&b, session, number, 1, RESULT_STREAM);
    assert_int_equal(bench_record(&b, REC_TASK_DONE)->task.call, CALL_UPLOAD_URL);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    assert_true(core_has_body(b.core, number));
    say_body(&b, session, number, 1, BODY_RAW); /* it has not heard STORED */
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    bench_close(&b);
}

/* Large results leave slots of an uploader to others. */
static void test_large_results_leave_room(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, REDELIVER_IDEMPOTENT);
    for (uint64_t number = 1; number <= 9; number++) {
        char id[8];
        (void)snprintf(id, sizeof id, "%d", (int)number);
        const task_image_t image = {.number = number,
                                    .task_id = str_of(id),
                                    .method = str_of("GET"),
                                    .state = TASK_DONE,
                                    .call = number <= 6 ? CALL_UPLOAD_RESULT : CALL_PUT_RESULT};
        assert_int_equal(core_restore_task(b.core, &image), 0);
    }
    bench_start(&b);
    for (uint64_t uploader = UPLOADER; uploader < UPLOADER + 4; uploader++) { /* of two slots each */
        uint64_t session = bench_join(&b, ROLE_UPLOADER, uploader, 0, NULL, 0);
        bench_beat(&b, uploader, session, NULL, 0);
        bench_tick(&b);
    }
    for (uint64_t number = 1; number <= 9; number++) {
        bool out = number <= STAGE_LARGE_MAX || number > 6;
        assert_int_equal(bench_state(&b, number), out ? TASK_DONE_PUSHED : TASK_DONE);
    }
    bench_close(&b);
}

static void test_held_back(void **state) {
    (void)state;
    bench_t b;
    core_view_t view;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    core_hold_fetching(b.core, "no room");
    core_look(b.core, b.now.ms, &view);
    assert_string_equal(view.fetch_paused, "no room");
    core_hold_fetching(b.core, NULL);
    core_look(b.core, b.now.ms, &view);
    assert_string_equal(view.fetch_paused, "no executor is connected");
    bench_close(&b);
}

/* What comes beyond all credits is left with its sender, until there is room. */
static void test_no_room(void **state) {
    (void)state;
    bench_t b;
    core_view_t view;
    char id[16];
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    (void)bench_join(&b, ROLE_FETCHER, FETCHER, 0, NULL, 0);
    unsigned taken = 0;
    for (; taken < 1000; taken++) {
        (void)snprintf(id, sizeof id, "id-%u", taken);
        if (bench_fetch(&b, id, "GET", TASK_IDEMPOTENT) == 0) break;
    }
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(taken, 2 * view.settings->task_queue + PROTOCOL_FETCH_WINDOW);
    assert_null(bench_heard(&b, FETCHER, MSG_ACCEPTED));
    assert_int_equal(view.counters.no_room, 1);
    bench_later(&b, 61000); /* they expire: their results are what fills it now */
    b.fetch_seq--;
    unsigned results = 0;
    for (; results < 1000; results++) {
        (void)snprintf(id, sizeof id, "id2-%u", results);
        if (bench_fetch(&b, id, "GET", TASK_INVALID) == 0) break;
    }
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(taken + results, 2 * view.settings->response_queue + PROTOCOL_FETCH_WINDOW);
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_executor_that_drains),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_large_results_leave_room),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_wrong_credit),
        cmocka_unit_test(test_fetch_and_dedup),
        cmocka_unit_test(test_logs_task_skips_execute),
        cmocka_unit_test(test_claim),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_uploaded),
        cmocka_unit_test(test_taken_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
