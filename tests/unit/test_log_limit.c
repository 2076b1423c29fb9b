/* How many lines peers may make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/log_limit.h"

static void test_window(void **state) {
    (void)state;
    log_limit_t limit = {0};
    assert_true(log_limit_take(&limit, 1000, 2, 100));
    assert_true(log_limit_take(&limit, 1050, 2, 100));
    for (int i = 0; i < 5; i++)
        assert_false(log_limit_take(&limit, 1099, 2, 100));
    assert_int_equal(log_limit_left_out(&limit, 1099, 100), 0);
    assert_int_equal(log_limit_left_out(&limit, 1100, 100), 5);
    assert_int_equal(log_limit_left_out(&limit, 1100, 100), 0);
    assert_true(log_limit_take(&limit, 1100, 2, 100));
    assert_true(log_limit_take(&limit, 1199, 2, 100));
    assert_false(log_limit_take(&limit, 1199, 2, 100));
    assert_true(log_limit_take(&limit, 9000, 2, 100));
    assert_int_equal(log_limit_left_out(&limit, 9000, 100), 0);
    assert_int_equal(log_limit_left_out(&limit, 9100, 100), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
