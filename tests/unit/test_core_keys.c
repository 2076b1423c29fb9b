/* Sessions and the keys of their connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker/stage.h"
#include "tests/unit/core_bench.h"

#define KEY_A 0xa1u
#define KEY_B 0xb2u

static void revoke(bench_t *b, uint64_t key) {
    bench_clear(b);
    const event_t event = {.kind = EV_KEY_REVOKED, .key = key};
    assert_int_equal(core_step(b->core, &event, b->now, b->fx), 0);
}

static void test_an_instance_stays_with_its_key(void **state) {
    (void)state;
    bench_t b;
    uint64_t key = 0;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    b.key = KEY_A;
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 0, NULL, 0);
    assert_true(core_session_key(b.core, session, &key));
    assert_int_equal(key, KEY_A);
    assert_false(core_session_key(b.core, session + 1, &key));
    assert_int_equal(bench_out(&b, OUT_OPEN, EXECUTOR)->key, KEY_A);
    b.key = KEY_B; /* takes nobody's place, whoever knows the instance */
    msg_t hello = {.type = MSG_HELLO,
                   .hello = {.role = ROLE_EXECUTOR,
                             .instance = EXECUTOR,
                             .name = str_of("x"),
                             .program_version = str_of("2"),
                             .slots = 1,
                             .seq = 9}};
    bench_say(&b, EXECUTOR, &hello);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_ERROR)->error.code, MSG_ERR_ROLE);
    assert_true(core_session_key(b.core, session, &key));
    bench_close(&b);
}

/* Workers have places of their own, whoever they were before. */
static void test_an_instance_stays_with_its_role(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    (void)bench_join(&b, ROLE_TOOL, EXECUTOR, 0, NULL, 0);
    msg_t hello = {.type = MSG_HELLO,
                   .hello = {.role = ROLE_EXECUTOR,
                             .instance = EXECUTOR,
                             .name = str_of("x"),
                             .program_version = str_of("2"),
                             .slots = 1,
                             .seq = 9}};
    bench_say(&b, EXECUTOR, &hello);
    const msg_t *answer = bench_heard(&b, EXECUTOR, MSG_ERROR);
    assert_non_null(answer);
    assert_int_equal(answer->error.code, MSG_ERR_ROLE);
    core_view_t view;
    core_look(b.core, b.now.ms, &view);
    assert_null(view.executors);
    bench_close(&b);
}

/* A place proves a death among the sessions of one key alone. */
static void test_places_are_a_keys_own(void **state) {
    (void)state;
    bench_t b;
    uint64_t key;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    b.key = KEY_A;
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    b.key = KEY_B;
    (void)bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 5, NULL, 0);
    (void)bench_join(&b, ROLE_EXECUTOR, 0xe4, 5 ^ KEY_A ^ KEY_B, NULL, 0); /* whatever it makes up */
    assert_true(core_session_key(b.core, session, &key));
    b.key = KEY_A;
    (void)bench_join(&b, ROLE_EXECUTOR, 0xe3, 5, NULL, 0);
    assert_false(core_session_key(b.core, session, &key));
    bench_close(&b);
}

static void test_a_revoked_key_ends_its_sessions_alone(void **state) {
    (void)state;
    bench_t b;
    uint64_t key;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    (void)bench_join(&b, ROLE_FETCHER, FETCHER, 0, NULL, 0);
    b.key = KEY_A;
    uint64_t first = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 0, NULL, 0);
    bench_beat(&b, EXECUTOR, first, NULL, 0);
    b.key = 0;
    uint64_t get = bench_fetch(&b, "get", "GET", TASK_IDEMPOTENT), post = bench_fetch(&b, "post", "POST", 0);
    bench_tick(&b);
    b.key = KEY_A;
    bench_ref(&b, EXECUTOR, MSG_CLAIM, first, get, 1);
    bench_ref(&b, EXECUTOR, MSG_CLAIM, first, post, 1);
    assert_int_equal(bench_state(&b, post), TASK_RUNNING);
    b.key = KEY_B;
    uint64_t other = bench_join(&b, ROLE_EXECUTOR, EXECUTOR2, 0, NULL, 0);
    revoke(&b, KEY_A);
    assert_int_equal(bench_heard(&b, EXECUTOR, MSG_ERROR)->error.code, MSG_ERR_SESSION);
    assert_non_null(bench_out(&b, OUT_CLOSE, EXECUTOR));
    assert_int_equal(bench_state(&b, get), TASK_READY); /* for another */
    assert_int_equal(bench_state(&b, post), TASK_DONE); /* outcome unknown */
    assert_false(core_session_key(b.core, first, &key));
    assert_true(core_session_key(b.core, other, &key));
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_instance_stays_with_its_key),
        cmocka_unit_test(test_an_instance_stays_with_its_role),
        cmocka_unit_test(test_places_are_a_keys_own),
        cmocka_unit_test(test_a_revoked_key_ends_its_sessions_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
