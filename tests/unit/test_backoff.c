/* Waits before the next try, by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/backoff.h"

static const struct {
    uint32_t count;
    int64_t fetch_ms, result_ms, probe_ms;
} table[] = {
    {1, 5000, 5000, 5000},
    {2, 10000, 10000, 10000},
    {3, 20000, 20000, 20000},
    {4, 40000, 40000, 30000},
    {5, 80000, 80000, 30000},
    {6, 160000, 160000, 30000},
    {7, 320000, 320000, 30000},
    {8, 600000, 600000, 30000},
    {9, 600000, 600000, 30000},
    {1000, 600000, 600000, 30000},
    {UINT32_MAX, 600000, 600000, 30000},
};

static void test_table(void **state) {
    (void)state;
    uint64_t random = 1;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(backoff_fetch_ms(table[i].count), table[i].fetch_ms);
        assert_int_equal(backoff_probe_ms(table[i].count), table[i].probe_ms);
        for (int n = 0; n < 100; n++)
            assert_in_range(backoff_result_ms(table[i].count, &random), table[i].result_ms,
                            table[i].result_ms + 2000);
    }
}

static void test_random(void **state) {
    (void)state;
    uint64_t a = 42, b = 42, seen = 0;
    for (int i = 0; i < 1000; i++) {
        assert_true(random_next(&a) == random_next(&b));
        seen |= (uint64_t)1 << random_below(&a, 64);
        b = a;
        assert_int_equal(random_below(&a, 1), 0);
        b = a;
    }
    assert_true(seen == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
