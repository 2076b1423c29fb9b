/* The life of a task: every pair of state and event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/task_state.h"
#include "common/err.h"

#define X ERR_STATE

static const int expected[TASK_STATES][TASK_EVENTS] = {
    /*                    push              unclaimed   claim           result     redeliver   fail
                          retry      accepted   refused      revive     drop */
    [TASK_READY] = {TASK_PUSHED, X, TASK_RUNNING, X, X, TASK_DONE, X, X, X, X, X},
    [TASK_PUSHED] = {X, TASK_READY, TASK_RUNNING, TASK_DONE, X, TASK_DONE, X, X, X, X, X},
    [TASK_RUNNING] = {X, TASK_READY, X, TASK_DONE, TASK_READY, TASK_DONE, X, X, X, X, X},
    [TASK_DONE] = {TASK_DONE_PUSHED, X, TASK_UPLOADING, X, X, X, X, X, X, X, X},
    [TASK_DONE_PUSHED] = {X, TASK_DONE, TASK_UPLOADING, X, X, X, X, X, X, X, X},
    [TASK_UPLOADING] = {X, TASK_DONE, X, X, TASK_DONE, X, TASK_DONE, TASK_GONE, TASK_BURIED, X, X},
    [TASK_BURIED] = {X, X, X, X, X, X, X, X, X, TASK_DONE, TASK_GONE},
    [TASK_GONE] = {X, X, X, X, X, X, X, X, X, X, X},
};

static void test_every_pair(void **state) {
    (void)state;
    for (int s = 0; s < TASK_STATES; s++)
        for (int e = 0; e < TASK_EVENTS; e++)
            if (task_next((task_state_t)s, (task_event_t)e) != expected[s][e])
                fail_msg("%s + %s gives %d, not %d", task_state_name((task_state_t)s),
                         task_event_name((task_event_t)e), task_next((task_state_t)s, (task_event_t)e),
                         expected[s][e]);
}

static void test_outside(void **state) {
    (void)state;
    assert_int_equal(task_next(TASK_STATES, TASK_EV_PUSH), ERR_STATE);
    assert_int_equal(task_next(TASK_READY, TASK_EVENTS), ERR_STATE);
    assert_int_equal(task_next((task_state_t)-1, TASK_EV_PUSH), ERR_STATE);
    assert_string_equal(task_state_name(TASK_STATES), "?");
    assert_string_equal(task_event_name(TASK_EVENTS), "?");
    for (int s = 0; s < TASK_STATES; s++)
        for (int t = 0; t < s; t++)
            assert_string_not_equal(task_state_name((task_state_t)s), task_state_name((task_state_t)t));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_pair), cmocka_unit_test(test_outside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
