/* What the core notes of a task: why it was not done, who had it last, and that nothing noted is lost when
 * the broker ends by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "broker/trail.h"
#include "core_bench.h"

/* The kinds of a trail, in a row. */
static size_t kinds_of(str_t trail, unsigned char kinds[64]) {
    trail_entry_t entry;
    size_t at = 0, count = 0;
    while (count < 63 && trail_next(trail.ptr, trail.len, 0, &at, &entry))
        kinds[count++] = (unsigned char)entry.kind;
    kinds[count] = 0;
    return count;
}

/* At its own end the broker writes what it has written with no step. */
static void test_end(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    unsigned char kinds[64];
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t get = bench_claimed(&b, &session, "GET", TASK_IDEMPOTENT);
    bench_clear(&b);
    core_stop(b.core);
    bench_tick(&b);
    const record_t *record = bench_record(&b, REC_TASK_READY);
    assert_non_null(record);
    assert_int_equal(record->task.number, get);
    assert_int_equal(record->task.attempt, 1);
    size_t count = kinds_of(record->task.trail, kinds);
    assert_int_equal(kinds[count - 1], TRAIL_CLAIMED);
    bench_clear(&b);
    bench_tick(&b); /* once */
    assert_null(bench_record(&b, REC_TASK_READY));
    bench_close(&b);

    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t result = bench_uploading(&b, &session);
    bench_clear(&b);
    core_stop(b.core);
    bench_tick(&b);
    record = bench_record(&b, REC_TASK_TRY);
    assert_non_null(record);
    assert_int_equal(record->task.number, result);
    assert_int_equal(record->task.tries, 0);
    count = kinds_of(record->task.trail, kinds);
    assert_int_equal(kinds[count - 1], TRAIL_CLAIMED);
    assert_null(bench_record(&b, REC_TASK_READY));
    bench_close(&b);

    bench_begin(&b, REDELIVER_IDEMPOTENT); /* a POST's claim is on disk, and stays a claim */
    (void)bench_claimed(&b, &session, "POST", 0);
    bench_clear(&b);
    core_stop(b.core);
    bench_tick(&b);
    assert_null(bench_record(&b, REC_TASK_READY));
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
