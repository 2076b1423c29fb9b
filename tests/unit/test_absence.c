/* A broker that is away is told of after 5 s, and then ever more rarely. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/absence.h"

/* Turns each 100 ms until something is told; returns what. */
static int64_t next(absence_t *self, int64_t *now_ms) {
    for (int64_t told; *now_ms < 1000000000; *now_ms += 100)
        if ((told = absence_turn(self, false, *now_ms)) > 0) return told;
    return 0;
}

static void test_told_rarely(void **state) {
    (void)state;
    static const int64_t told[] = {5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 8720, 12320};
    absence_t absence;
    int64_t now_ms = 70000;
    absence_init(&absence, "tcp://h:1");
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        assert_int_equal(next(&absence, &now_ms), told[i]);
    assert_int_equal(now_ms, 70000 + 12320000);
    assert_string_equal(absence.endpoint, "tcp://h:1");
}

static void test_begins_anew_with_each_session(void **state) {
    (void)state;
    absence_t absence;
    int64_t now_ms = 70000;
    absence_init(&absence, "ipc://d");
    assert_int_equal(absence_turn(&absence, true, now_ms), 0);
    now_ms += 60000;
    for (int i = 0; i < 3; i++) {
        int64_t begun_ms = now_ms;
        assert_int_equal(next(&absence, &now_ms), 5);
        assert_int_equal(now_ms, begun_ms + 5000);
        assert_int_equal(absence_turn(&absence, true, now_ms), 0);
    }
    assert_int_equal(absence_turn(&absence, false, now_ms), 0);
    assert_int_equal(absence_turn(&absence, false, now_ms + 33400), 33); /* a turn that comes late */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_rarely),
        cmocka_unit_test(test_begins_anew_with_each_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
