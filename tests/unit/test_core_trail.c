/* What the core notes of a task: why it was not done, who had it last, and that nothing noted is lost when
 * the broker ends by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "broker/trail.h"
#include "core_bench.h"

/* Whether there is an entry of that kind; the kind of the last entry; and the last entry of one kind. */
static bool has_kind(str_t trail, trail_kind_t kind) {
    trail_entry_t entry;
    size_t at = 0;
    while (trail_next(trail.ptr, trail.len, 0, &at, &entry))
        if (entry.kind == kind) return true;
    return false;
}

static trail_kind_t last_kind(str_t trail) {
    trail_entry_t entry = {.kind = 0};
    size_t at = 0;
    while (trail_next(trail.ptr, trail.len, 0, &at, &entry))
        continue;
    return entry.kind;
}

static trail_entry_t entry_of(str_t trail, trail_kind_t kind) {
    trail_entry_t entry, found = {.kind = 0};
    size_t at = 0;
    while (trail_next(trail.ptr, trail.len, 0, &at, &entry))
        if (entry.kind == kind) found = entry;
    assert_int_equal(found.kind, kind);
    return found;
}

static str_t trail_of(bench_t *b, uint64_t number) {
    core_view_t view;
    core_look(b->core, b->now.ms, &view);
    const task_t *task = tasks_find(view.tasks, number);
    assert_non_null(task);
    return (str_t){(const char *)task->trail.bytes, task->trail.len};
}

static void test_not_done(void **state) {
    (void)state;
    static const uint16_t started[] = {RESULT_STARTED, 0};
    for (size_t i = 0; i < 2; i++) { /* a connection may be refused within the millisecond */
        bench_t b;
        uint64_t session;
        bench_begin(&b, REDELIVER_IDEMPOTENT);
        uint64_t number = bench_claimed(&b, &session, "GET", TASK_IDEMPOTENT);
        msg_t msg = {.type = MSG_RESULT,
                     .result = {.session = session,
                                .number = number,
                                .attempt = 1,
                                .flags = RESULT_AGENT | started[i],
                                .http_status = 500,
                                .connect_ms = -1,
                                .first_byte_ms = -1,
                                .reason = str_of("connecting: refused")}};
        bench_say(&b, 0, &msg);
        str_t trail = bench_record(&b, REC_TASK_DONE)->task.trail;
        assert_true(has_kind(trail, TRAIL_STARTED) == (started[i] != 0));
        assert_false(has_kind(trail, TRAIL_CONNECTED));
        trail_entry_t entry = entry_of(trail, TRAIL_NOT_DONE);
        assert_int_equal(entry.a, 500);
        assert_int_equal(entry.text.len, strlen("connecting: refused"));
        assert_memory_equal(entry.text.ptr, "connecting: refused", entry.text.len);
        bench_close(&b);
    }
}

static void test_who_had_it_last(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 0, NULL, 0);
    bench_beat(&b, EXECUTOR, session, NULL, 0);
    uint64_t number = bench_fetch(&b, "t", "GET", TASK_IDEMPOTENT);
    bench_tick(&b);
    assert_int_equal(bench_state(&b, number), TASK_PUSHED);
    for (int i = 0; i < 11; i++) { /* it lives, and does not claim; 5 s later it has another trial */
        bench_beat(&b, EXECUTOR, session, NULL, 0);
        bench_later(&b, 1000);
    }
    const char *why = "it was not claimed in time";
    trail_entry_t entry = entry_of(trail_of(&b, number), TRAIL_UNCLAIMED);
    assert_int_equal(entry.text.len, strlen(why));
    assert_memory_equal(entry.text.ptr, why, entry.text.len);
    assert_int_equal(bench_state(&b, number), TASK_PUSHED); /* once more */
    msg_t msg = {.type = MSG_RETURN, .give_back = {session, number, 2, 0}};
    bench_say(&b, EXECUTOR, &msg);
    assert_int_equal(last_kind(trail_of(&b, number)), TRAIL_GIVEN_BACK);
    bench_close(&b);
}

/* At its own end the broker writes what it has written with no step. */
static void test_end(void **state) {
    (void)state;
    bench_t b;
    uint64_t session;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t get = bench_claimed(&b, &session, "GET", TASK_IDEMPOTENT);
    bench_clear(&b);
    core_stop(b.core);
    bench_tick(&b);
    const record_t *record = bench_record(&b, REC_TASK_READY);
    assert_non_null(record);
    assert_int_equal(record->task.number, get);
    assert_int_equal(record->task.attempt, 1);
    assert_int_equal(last_kind(record->task.trail), TRAIL_CLAIMED);
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
    assert_int_equal(last_kind(record->task.trail), TRAIL_CLAIMED);
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
        cmocka_unit_test(test_not_done),
        cmocka_unit_test(test_who_had_it_last),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
