/* The rate window: how long units count, the reuse of buckets, and what the journal puts back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/backoff.h"
#include "broker/rate_window.h"

static void test_one_minute(void **state) {
    (void)state;
    rate_window_t w = {0};
    assert_int_equal(rate_used(&w, 5000), 0);
    assert_true(rate_next_ms(&w, 5000) == INT64_MAX);
    assert_int_equal(rate_add(&w, 5999, 3), 5);
    static const struct {
        int64_t at_ms;
        uint32_t used;
    } table[] = {{5999, 3}, {6000, 3}, {65999, 3}, {66999, 3}, {67000, 0}, {200000, 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(rate_used(&w, table[i].at_ms), table[i].used);
    assert_int_equal(rate_next_ms(&w, 6000), 67000);
    assert_true(rate_next_ms(&w, 67000) == INT64_MAX);
}

static void test_reuse(void **state) {
    (void)state;
    rate_window_t w = {0};
    rate_add(&w, 1000, 7);
    assert_int_equal(rate_add(&w, (1 + RATE_BUCKETS) * (int64_t)1000, 2), 1);
    assert_int_equal(rate_used(&w, (1 + RATE_BUCKETS) * (int64_t)1000), 2);
}

/* Against a plain list: never fewer than what was used in the last 61 s, never more than in the last 62 s. */
static void test_random(void **state) {
    (void)state;
    rate_window_t w = {0};
    static int64_t at[20000];
    uint64_t random = 7;
    int64_t now = 0;
    for (int i = 0; i < 20000; i++) {
        now += (int64_t)random_below(&random, 300);
        at[i] = now;
        rate_add(&w, now, 1);
        uint32_t least = 0, most = 0;
        for (int j = i; j >= 0 && now - at[j] < 62000; j--) {
            least += now - at[j] < 61000;
            most++;
        }
        assert_in_range(rate_used(&w, now), least, most);
    }
}

static void test_restore(void **state) {
    (void)state;
    rate_window_t w = {0};
    rate_restore(&w, 100, 4);
    rate_restore(&w, 100, 2);
    assert_int_equal(rate_used(&w, 100000), 6);
    rate_restore(&w, 100 + RATE_BUCKETS, 1); /* the newer takes the bucket */
    rate_restore(&w, 100, 9);
    assert_int_equal(rate_used(&w, (100 + RATE_BUCKETS) * (int64_t)1000), 1);
    rate_restore(&w, -1, 9);
    assert_int_equal(rate_used(&w, (100 + RATE_BUCKETS) * (int64_t)1000), 1);
    rate_window_t zero = {0};
    rate_restore(&zero, 0, 3);
    assert_int_equal(rate_used(&zero, 0), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_minute), cmocka_unit_test(test_reuse),
                                       cmocka_unit_test(test_random), cmocka_unit_test(test_restore)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
