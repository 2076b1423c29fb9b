/* The core on what a former broker has left in the journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker/stage.h"
#include "tests/unit/core_bench.h"

static const task_image_t running_post = {.number = 9,
                                          .task_id = {"id", 2},
                                          .method = {"POST", 4},
                                          .host = {"", 0},
                                          .reason = {"", 0},
                                          .state = TASK_RUNNING,
                                          .call = CALL_PUT_RESULT,
                                          .deadline_ms = 1060000,
                                          .attempt = 3,
                                          .holder = EXECUTOR};

static void restarted(bench_t *b) {
    bench_open(b, REDELIVER_IDEMPOTENT);
    assert_int_equal(core_restore_task(b->core, &running_post), 0);
    assert_int_equal(core_restore_worker(b->core, EXECUTOR, 5, ROLE_EXECUTOR), 0);
    bench_start(b);
}

static void test_restart_adopts(void **state) {
    (void)state;
    bench_t b;
    restarted(&b);
    msg_held_t held[] = {{77, 9, 3, PHASE_STARTED}, {77, 10, 1, PHASE_STARTED}};
    uint64_t other = bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 6, held, 1); /* not its own */
    assert_int_equal(bench_heard(&b, EXECUTOR2, MSG_WELCOME)->welcome.drop.count, 1);
    bench_beat(&b, EXECUTOR2, other, NULL, 0);
    bench_later(&b, 3000);
    assert_int_equal(bench_state(&b, 9), TASK_RUNNING);
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, held, 2);
    const msg_welcome_t *welcome = &bench_heard(&b, EXECUTOR, MSG_WELCOME)->welcome;
    assert_int_equal(welcome->drop.count, 1);
    assert_int_equal(welcome->drop.items[0], 10);
    bench_result(&b, session, 9, 3);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    bench_close(&b);
}

static void test_restart_adopted_too_long(void **state) {
    (void)state;
    bench_t b;
    restarted(&b);
    msg_held_t held[] = {{77, 9, 3, PHASE_STARTED}};
    uint64_t number = 9, session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, held, 1);
    for (int i = 0; i < 70; i++) {
        assert_int_equal(bench_state(&b, 9), TASK_RUNNING);
        bench_beat(&b, EXECUTOR, session, &number, 1);
        bench_later(&b, 1000);
    }
    assert_int_equal(bench_state(&b, 9), TASK_DONE); /* 10 s past its expiry */
    bench_close(&b);
}

static void test_restart_without_it(void **state) {
    (void)state;
    bench_t b;
    restarted(&b);
    bench_later(&b, 5000);
    assert_int_equal(bench_state(&b, 9), TASK_DONE);
    assert_non_null(bench_record(&b, REC_TASK_FAIL));
    bench_close(&b);
    restarted(&b);
    (void)bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 5, NULL, 0); /* its place is taken: it is dead */
    assert_int_equal(bench_state(&b, 9), TASK_DONE);
    bench_close(&b);
}

/* A task that may be with the executor, and has so long to live. */
static void restarted_with_get(bench_t *b, int64_t left_ms) {
    bench_open(b, REDELIVER_IDEMPOTENT);
    task_image_t image = {.number = 9, .state = TASK_READY, .flags = TASK_IDEMPOTENT};
    image.task_id = image.method = str_of("GET");
    image.deadline_ms = b->now.ms + left_ms;
    assert_int_equal(core_restore_task(b->core, &image), 0);
    assert_int_equal(core_restore_worker(b->core, EXECUTOR, 5, ROLE_EXECUTOR), 0);
    bench_start(b);
}

/* A GET may be with an executor, though the journal has it as ready. */
static void test_restart_waits(void **state) {
    (void)state;
    bench_t b;
    restarted_with_get(&b, 60000);
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 6, NULL, 0);
    bench_beat(&b, EXECUTOR2, session, NULL, 0);
    bench_tick(&b);
    assert_null(bench_out(&b, OUT_PUSH, EXECUTOR2));
    session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    bench_tick(&b);
    assert_null(bench_out(&b, OUT_PUSH, EXECUTOR2));
    bench_beat(&b, EXECUTOR, session, NULL, 0);
    bench_tick(&b);
    assert_true(bench_out(&b, OUT_PUSH, EXECUTOR) || bench_out(&b, OUT_PUSH, EXECUTOR2));
    bench_close(&b);
}

/* A HELLO that was on its way since before it had anything comes first: that the executor has started the
 * session, which it does with a heartbeat, is what counts. */
static void test_restart_old_hello(void **state) {
    (void)state;
    bench_t b;
    restarted(&b);
    (void)bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    bench_later(&b, 1000);
    msg_held_t held = {77, 9, 3, PHASE_FINISHED};
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held, 1);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_WELCOME)->welcome.drop.count, 0);
    bench_result(&b, session, 9, 3);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    bench_close(&b);
}

/* One that comes behind a newer one, or behind the first heartbeat of the session that it began, is no news.
 */
static void test_old_hello_behind_a_newer(void **state) {
    (void)state;
    bench_t b;
    msg_held_t held = {77, 9, 3, PHASE_FINISHED};
    restarted(&b);
    b.hello_seq = 9;
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held, 1);
    msg_t hello = {.type = MSG_HELLO,
                   .hello = {.role = ROLE_EXECUTOR,
                             .instance = EXECUTOR,
                             .place = 5,
                             .name = str_of("worker"),
                             .program_version = str_of("test"),
                             .slots = 2,
                             .seq = 9}};
    for (int i = 0; i < 2; i++) {
        bench_say(&b, EXECUTOR, &hello);
        assert_null(bench_heard(&b, EXECUTOR, MSG_WELCOME));
        assert_int_equal(bench_state(&b, 9), TASK_RUNNING);
        bench_beat(&b, EXECUTOR, session, &held.number, 1);
        hello.hello.seq = 10;
    }
    hello.hello.seq = 11; /* and this is one */
    hello.hello.held = (msg_held_list_t){1, &held};
    bench_say(&b, EXECUTOR, &hello);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_WELCOME));
    assert_int_equal(bench_state(&b, 9), TASK_RUNNING);
    bench_close(&b);
}

/* The repeat of a HELLO whose WELCOME has not come may bring news: it is answered anew. */
static void test_hello_is_repeated(void **state) {
    (void)state;
    bench_t b;
    msg_held_t held = {77, 9, 3, PHASE_FINISHED};
    restarted(&b);
    uint64_t first = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held, 1);
    b.hello_seq--;
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held, 1);
    assert_int_not_equal(session, first);
    bench_result(&b, session, 9, 3);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    bench_close(&b);
}

/* A worker that has said HELLO when the grace ends, and no heartbeat yet, stays in the journal: its session
 * lasts, and the next broker has to wait for it. */
static void test_joined_as_the_grace_ends(void **state) {
    (void)state;
    bench_t b;
    restarted(&b);
    assert_int_equal(core_restore_worker(b.core, EXECUTOR2, 6, ROLE_EXECUTOR), 0);
    bench_later(&b, PROTOCOL_GRACE_MS - 100);
    msg_held_t held = {77, 9, 3, PHASE_FINISHED};
    (void)bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held, 1);
    bench_clear(&b);
    bench_later(&b, 200);
    assert_int_equal(bench_state(&b, 9), TASK_RUNNING);
    const record_t *gone = bench_record(&b, REC_WORKER_GONE); /* the first of those who did not come */
    assert_non_null(gone);
    assert_int_equal(gone->instance, EXECUTOR2);
    size_t count, gone_count = 0;
    const record_t *records = effects_records(b.fx, &count);
    for (size_t i = 0; i < count; i++)
        gone_count += records[i].type == REC_WORKER_GONE;
    assert_int_equal(gone_count, 1);
    bench_close(&b);
}

/* A GET that ended in time while the broker was away for longer: its result is not replaced by "expired". */
static void test_restart_after_the_expiry(void **state) {
    (void)state;
    static const phase_t phases[] = {PHASE_FINISHED, PHASE_STARTED};
    for (int i = 0; i < 4; i++) {
        bench_t b;
        restarted_with_get(&b, -100);
        if (i < 2) bench_later(&b, 1000); /* others are heard first */
        msg_held_t held = {77, 9, 1, (uint8_t)phases[i % 2]};
        uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held, 1);
        assert_int_equal(bench_heard(&b, EXECUTOR, MSG_WELCOME)->welcome.drop.count, 0);
        bench_result(&b, session, 9, 1);
        assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
        bench_close(&b);
    }
}

/* The repeats of a HELLO may come in any order, and the first to come be of before its end. */
static void test_restart_long_after_the_expiry(void **state) {
    (void)state;
    bench_t b;
    restarted_with_get(&b, -60000);
    msg_held_t held[] = {{77, 9, 1, PHASE_FINISHED}, {77, 9, 1, PHASE_STARTED}};
    (void)bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held[1], 1);
    bench_later(&b, 1000);
    b.hello_seq--;
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held[0], 1);
    bench_result(&b, session, 9, 1);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    bench_close(&b);
}

/* And if nobody brings it, it expires. */
static void test_restart_expires(void **state) {
    (void)state;
    bench_t b;
    restarted_with_get(&b, -100);
    bench_later(&b, 1000);
    assert_int_equal(bench_state(&b, 9), TASK_READY);
    bench_later(&b, PROTOCOL_GRACE_MS);
    assert_int_equal(bench_state(&b, 9), TASK_DONE);
    assert_non_null(bench_record(&b, REC_TASK_FAIL));
    bench_close(&b);
}

/* The journal was moved aside while an executor lived on: numbers and sessions begin again. */
static void test_another_journal(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t number = bench_fetch(&b, "id", "GET", TASK_IDEMPOTENT);
    msg_held_t held = {number, number, 1, PHASE_FINISHED}; /* sessions and numbers have the same beginning */
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, &held, 1);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_WELCOME)->welcome.drop.count, 1);
    bench_result(&b, session, number, 1);
    assert_int_equal(bench_state(&b, number), TASK_READY);
    bench_close(&b);
}

static void test_restart_fetches(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, REDELIVER_IDEMPOTENT);
    assert_int_equal(core_restore_fetcher(b.core, FETCHER, 5, 1), 0); /* 5 and 4 are known */
    bench_start(&b);
    (void)bench_join(&b, ROLE_FETCHER, FETCHER, 0, NULL, 0);
    static const struct {
        uint64_t seq;
        bool is_new;
    } table[] = {{5, false}, {4, false}, {3, true}, {3, false}, {6, true}, {5, false}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char id[2] = {(char)('a' + i), '\0'};
        b.fetch_seq = table[i].seq - 1;
        assert_int_equal(bench_fetch(&b, id, "GET", TASK_IDEMPOTENT) != 0, table[i].is_new);
    }
    bench_close(&b);
}

/* Both credits were out. */
static void restarted_with_credits(bench_t *b) {
    static const credit_t credits[] = {
        {.credit = 3, .holder = UPLOADER, .stage = CREDIT_UPLOAD, .budget = 20, .used = 2},
        {.credit = 4, .holder = FETCHER, .stage = CREDIT_FETCH, .budget = 10}};
    bench_open(b, REDELIVER_IDEMPOTENT);
    for (int i = 0; i < 2; i++)
        core_restore_credit(b->core, &credits[i], b->now.ms);
    bench_start(b);
}

/* The number of the credit that ends with the first heartbeat, 0 for none. */
static uint64_t ended_by_beat(bench_t *b, uint64_t peer, uint64_t session) {
    assert_null(bench_record(b, REC_CREDIT_GONE));
    bench_beat(b, peer, session, NULL, 0);
    const record_t *gone = bench_record(b, REC_CREDIT_GONE);
    return gone ? gone->number : 0;
}

/* Who comes back without the credit that the journal says is his has nothing under way: nobody waits for its
 * end. */
static void test_restart_without_its_credit(void **state) {
    (void)state;
    bench_t b;
    restarted_with_credits(&b);
    uint64_t session = bench_join(&b, ROLE_UPLOADER, UPLOADER, 5, NULL, 0);
    assert_int_equal(ended_by_beat(&b, UPLOADER, session), 3);
    core_view_t view;
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(rate_used(&view.gate->window, b.now.ms), 18); /* what it used beyond 2 nobody tells */
    session = bench_join(&b, ROLE_FETCHER, FETCHER, 6, NULL, 0);
    assert_int_equal(ended_by_beat(&b, FETCHER, session), 4);
    bench_close(&b);
}

static void test_restart_with_its_credit(void **state) {
    (void)state;
    bench_t b;
    restarted_with_credits(&b);
    b.credit = 3;
    uint64_t session = bench_join(&b, ROLE_UPLOADER, UPLOADER, 5, NULL, 0);
    assert_int_equal(bench_heard(&b, UPLOADER, MSG_WELCOME)->welcome.credit, 3);
    assert_int_equal(ended_by_beat(&b, UPLOADER, session), 0);
    bench_close(&b);
}

/* A HELLO of before its GRANT comes first, and that it has none is no news any more. */
static void test_restart_with_its_credit_behind_an_old_hello(void **state) {
    (void)state;
    bench_t b;
    restarted_with_credits(&b);
    (void)bench_join(&b, ROLE_UPLOADER, UPLOADER, 5, NULL, 0);
    assert_null(bench_record(&b, REC_CREDIT_GONE));
    b.credit = 3;
    uint64_t session = bench_join(&b, ROLE_UPLOADER, UPLOADER, 5, NULL, 0);
    assert_int_equal(bench_heard(&b, UPLOADER, MSG_WELCOME)->welcome.credit, 3);
    assert_int_equal(ended_by_beat(&b, UPLOADER, session), 0);
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart_adopts),
        cmocka_unit_test(test_restart_adopted_too_long),
        cmocka_unit_test(test_restart_without_it),
        cmocka_unit_test(test_restart_waits),
        cmocka_unit_test(test_restart_fetches),
        cmocka_unit_test(test_restart_after_the_expiry),
        cmocka_unit_test(test_restart_expires),
        cmocka_unit_test(test_another_journal),
        cmocka_unit_test(test_restart_long_after_the_expiry),
        cmocka_unit_test(test_restart_old_hello),
        cmocka_unit_test(test_old_hello_behind_a_newer),
        cmocka_unit_test(test_hello_is_repeated),
        cmocka_unit_test(test_joined_as_the_grace_ends),
        cmocka_unit_test(test_restart_without_its_credit),
        cmocka_unit_test(test_restart_with_its_credit),
        cmocka_unit_test(test_restart_with_its_credit_behind_an_old_hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
