/* The pace of a loop: free turns first, then one each period; what is not used comes back, but never more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/pace.h"

static void test_free_turns_then_one_each_period(void **state) {
    (void)state;
    pace_t pace = {.every_us = 1000, .free_turns = 3};
    int64_t now_us = 5000000;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pace_wait_us(&pace, now_us), 0);
    for (int i = 0; i < 10; i++) { /* a turn that takes no time, after the wait of the one before */
        int64_t wait_us = pace_wait_us(&pace, now_us);
        assert_int_equal(wait_us, 1000);
        now_us += wait_us;
    }
}

static void test_a_turn_that_takes_long_waits_less(void **state) {
    (void)state;
    pace_t pace = {.every_us = 1000};
    assert_int_equal(pace_wait_us(&pace, 7000000), 0);
    assert_int_equal(pace_wait_us(&pace, 7000400), 600);
    assert_int_equal(pace_wait_us(&pace, 7002500), 0);
}

static void test_rest_brings_back_no_more_than_the_free_turns(void **state) {
    (void)state;
    pace_t pace = {.every_us = 1000, .free_turns = 2};
    int64_t now_us = 9000000;
    for (int round = 0; round < 3; round++, now_us += 3600000000) {
        for (int i = 0; i < 3; i++)
            assert_int_equal(pace_wait_us(&pace, now_us), 0);
        assert_int_equal(pace_wait_us(&pace, now_us), 1000);
    }
}

static void test_sleeps(void **state) {
    (void)state;
    pace_t pace = {.every_us = 2000};
    int64_t start_us = clock_monotonic_us();
    for (int i = 0; i < 6; i++)
        pace_turn(&pace);
    assert_true(clock_monotonic_us() - start_us >= 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_turns_then_one_each_period),
        cmocka_unit_test(test_a_turn_that_takes_long_waits_less),
        cmocka_unit_test(test_rest_brings_back_no_more_than_the_free_turns),
        cmocka_unit_test(test_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
