/* When an executor says a RESULT again: soon when it did not go out, later when it is only unanswered; and
 * what it makes of a way on which nothing goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/err.h"
#include "executor/from_broker.h"
#include "executor/to_broker.h"

#define SESSION 5
#define NOW_MS  100000

uint64_t __wrap_link_session(const link_t *link);
int __wrap_link_push(link_t *link, const msg_t *msg, const void *payload, size_t payload_bytes);

static int push_answer;
static unsigned pushed;

uint64_t __wrap_link_session(const link_t *link) {
    (void)link;
    return SESSION;
}

int __wrap_link_push(link_t *link, const msg_t *msg, const void *payload, size_t payload_bytes) {
    (void)link, (void)payload, (void)payload_bytes;
    assert_int_equal(msg->type, MSG_RESULT);
    pushed++;
    return push_answer;
}

/* A claimed task whose result is there. */
static run_t run_with_result(void) {
    static char result[] = "{}";
    return (run_t){.session = SESSION,
                   .number = 1,
                   .attempt = 1,
                   .claimed = true,
                   .started = true,
                   .result = result,
                   .result_bytes = sizeof result - 1};
}

static void test_a_result_that_did_not_go_out_is_tried_again_soon(void **state) {
    (void)state;
    executor_t executor = {.now_ms = NOW_MS};
    run_t run = run_with_result();
    pushed = 0;
    push_answer = ERR_FULL;
    for (unsigned tries = 1; tries <= 60; tries++) {
        to_broker_send_due(&executor, &run);
        assert_int_equal(pushed, tries);
        assert_int_equal(run.sent_count, 0);
        int64_t due_ms = to_broker_due_ms(&executor, &run);
        assert_in_range(due_ms - executor.now_ms, 1,
                        50); /* no loop without a pause, and nobody waits for it */
        to_broker_send_due(&executor, &run);
        assert_int_equal(pushed, tries); /* not before it is due */
        executor.now_ms = due_ms;
    }
    push_answer = 0;
    to_broker_send_due(&executor, &run);
    assert_int_equal(run.sent_count, 1);
    assert_int_equal(to_broker_due_ms(&executor, &run) - executor.now_ms, PROTOCOL_REPEAT_MS);
}

static void test_a_repeat_that_did_not_go_out_waits_its_time(void **state) {
    (void)state;
    executor_t executor = {.now_ms = NOW_MS};
    run_t run = run_with_result();
    pushed = 0;
    push_answer = 0;
    to_broker_send_due(&executor, &run);
    executor.now_ms = to_broker_due_ms(&executor, &run);
    push_answer = ERR_FULL;
    to_broker_send_due(&executor, &run);
    assert_int_equal(pushed, 2);
    assert_int_equal(run.sent_count, 1);
    assert_int_equal(to_broker_due_ms(&executor, &run) - executor.now_ms, PROTOCOL_REPEAT_MS);
}

/* A broker that was away for long has just opened its results-in: that is no port which cannot be reached. */
static void test_a_new_session_begins_with_a_way_that_is_open(void **state) {
    (void)state;
    executor_t executor = {.now_ms = NOW_MS, .slots = slots_new()};
    run_t run = run_with_result();
    msg_welcome_t welcome = {.session = SESSION};
    assert_non_null(executor.slots);
    push_answer = ERR_FULL;
    to_broker_send_due(&executor, &run);
    assert_int_equal(executor.shut_ms, NOW_MS);
    executor.now_ms += 20000;
    from_broker_handler(&executor).welcome(&executor, &welcome);
    to_broker_send_due(&executor, &run);
    assert_int_equal(executor.shut_ms, NOW_MS + 20000); /* below 0: it was told */
    slots_destroy(&executor.slots);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_result_that_did_not_go_out_is_tried_again_soon),
        cmocka_unit_test(test_a_repeat_that_did_not_go_out_waits_its_time),
        cmocka_unit_test(test_a_new_session_begins_with_a_way_that_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
