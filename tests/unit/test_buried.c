/* Buried results: orders of a person, bounds, and what a restart keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/stage.h"
#include "tests/unit/core_bench.h"

#define TOOL 0x700u
#define DAY  ((int64_t)24 * 60 * 60 * 1000)
#define EACH ((uint64_t)1243) /* octets that one of buried() counts for */

/* `count` results that were buried a second after one another, 100 octets each, with ids "b1", "b2" ... */
static void buried(bench_t *b, core_settings_t *settings, uint64_t count) {
    bench_open_with(b, settings);
    for (uint64_t i = 1; i <= count; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "b%u", (unsigned)i);
        const task_image_t image = {.number = i,
                                    .task_id = str_of(id),
                                    .method = str_of("GET"),
                                    .host = str_of("tool"),
                                    .reason = str_of("refused"),
                                    .state = TASK_BURIED,
                                    .call = CALL_PUT_RESULT,
                                    .tries = 9,
                                    .buried_wall_ms = b->now.wall_ms + (int64_t)i * 1000,
                                    .doc_bytes = 100};
        assert_int_equal(core_restore_task(b->core, &image), 0);
    }
    bench_start(b);
}

static const msg_ordered_t *order(bench_t *b, order_t action, order_by_t by, const char *task,
                                  uint64_t after) {
    msg_t msg = {.type = MSG_ORDER, .order = {7, (uint8_t)action, (uint8_t)by, str_of(task), after}};
    bench_say(b, TOOL, &msg);
    const msg_t *answer = bench_heard(b, TOOL, MSG_ORDERED);
    assert_non_null(answer);
    assert_int_equal(answer->ordered.seq, 7);
    return &answer->ordered;
}

static void test_retry(void **state) {
    (void)state;
    bench_t b;
    core_settings_t settings = {0};
    buried(&b, &settings, 3);
    assert_int_equal(order(&b, ORDER_RETRY, ORDER_BY_EITHER, "b2", 0)->verdict, ORDERED_DONE);
    assert_int_equal(bench_state(&b, 2), TASK_DONE);
    const record_t *record = bench_record(&b, REC_TASK_REVIVED);
    assert_non_null(record);
    assert_int_equal(record->task.number, 2);
    assert_int_equal(record->task.tries, 0);
    assert_int_equal(order(&b, ORDER_RETRY, ORDER_BY_EITHER, "b2", 0)->verdict, ORDERED_NOT_BURIED);
    assert_null(bench_record(&b, REC_TASK_REVIVED));
    assert_int_equal(order(&b, ORDER_RETRY, ORDER_BY_NUMBER, "3", 0)->verdict, ORDERED_DONE);
    assert_int_equal(bench_state(&b, 3), TASK_DONE);
    static const char *const unknown[] = {"",   "b", "b22", "4", "-1", "0x1", "18446744073709551617",
                                          " 1", "1 "};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(order(&b, ORDER_RETRY, ORDER_BY_EITHER, unknown[i], 0)->verdict, ORDERED_UNKNOWN);
    assert_int_equal(order(&b, ORDER_DROP, ORDER_BY_NUMBER, "b1", 0)->verdict, ORDERED_UNKNOWN);
    uint64_t session = bench_join(&b, ROLE_UPLOADER, UPLOADER, 0, NULL, 0);
    bench_beat(&b, UPLOADER, session, NULL, 0);
    bench_tick(&b);
    assert_int_equal(bench_state(&b, 2), TASK_DONE_PUSHED); /* it is tried again at once */
    bench_close(&b);
}

static void test_drop(void **state) {
    (void)state;
    bench_t b;
    core_view_t view;
    core_settings_t settings = {0};
    buried(&b, &settings, 2);
    assert_int_equal(order(&b, ORDER_DROP, ORDER_BY_EITHER, "b1", 0)->number, 1);
    assert_int_equal(bench_state(&b, 1), TASK_STATES);
    const record_t *record = bench_record(&b, REC_TASK_GONE);
    assert_non_null(record);
    assert_int_equal(record->task.state, TASK_BURIED);
    assert_int_equal(record->task.task_id.len, 2);
    assert_true(record->task.trail.len > 0);
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(view.tasks->buried_bytes, EACH);
    assert_int_equal(view.counters.dropped, 1);
    assert_int_equal(order(&b, ORDER_DROP, ORDER_BY_EITHER, "b1", 0)->verdict, ORDERED_UNKNOWN);
    bench_close(&b);
}

/* "2" is the taskId of the first and the number of the second. */
static void test_ambiguous(void **state) {
    (void)state;
    bench_t b;
    core_settings_t settings = {0};
    bench_open_with(&b, &settings);
    for (uint64_t i = 1; i <= 2; i++) {
        const task_image_t image = {.number = i, .task_id = str_of(i == 1 ? "2" : "x"), .state = TASK_BURIED};
        assert_int_equal(core_restore_task(b.core, &image), 0);
    }
    bench_start(&b);
    const msg_ordered_t *answer = order(&b, ORDER_DROP, ORDER_BY_EITHER, "2", 0);
    assert_int_equal(answer->verdict, ORDERED_AMBIGUOUS);
    assert_int_equal(answer->number, 1);
    assert_int_equal(order(&b, ORDER_DROP, ORDER_BY_NUMBER, "2", 0)->verdict, ORDERED_DONE);
    assert_int_equal(bench_state(&b, 1), TASK_BURIED);
    assert_int_equal(order(&b, ORDER_DROP, ORDER_BY_EITHER, "2", 0)->number, 1);
    bench_close(&b);
}

/* All of them in portions, and pages in the order of numbers. */
static void test_all(void **state) {
    (void)state;
    bench_t b;
    core_settings_t settings = {0};
    buried(&b, &settings, 1203);
    task_t *tasks[MSG_LIST_MAX];
    bool more;
    assert_int_equal(core_buried(b.core, 1000, 200, tasks, &more), 200);
    assert_true(more);
    assert_int_equal(tasks[0]->number, 1001);
    assert_int_equal(core_buried(b.core, tasks[199]->number, 200, tasks, &more), 3);
    assert_false(more);
    uint64_t after = 0;
    uint32_t count = 0;
    int portions = 0;
    do {
        const msg_ordered_t *answer = order(&b, ORDER_RETRY, ORDER_BY_ALL, "", after);
        assert_int_equal(answer->verdict, ORDERED_DONE);
        count += answer->count;
        assert_true(answer->number == 0 || answer->number > after);
        after = answer->number;
        portions++;
    } while (after != 0);
    assert_int_equal(count, 1203);
    assert_int_equal(portions, 3);
    assert_int_equal(order(&b, ORDER_RETRY, ORDER_BY_ALL, "", 0)->count, 0);
    bench_close(&b);
}

static void test_age(void **state) {
    (void)state;
    bench_t b;
    core_settings_t settings = {.dead_letter_days = 2};
    buried(&b, &settings, 3);
    bench_tick(&b);
    assert_null(bench_record(&b, REC_TASK_GONE));
    b.now.wall_ms += 2 * DAY;
    bench_tick(&b);
    assert_null(bench_record(&b, REC_TASK_GONE));
    b.now.wall_ms += 1000;
    bench_tick(&b);
    assert_int_equal(bench_record(&b, REC_TASK_GONE)->task.number, 1);
    assert_int_equal(bench_state(&b, 1), TASK_STATES);
    assert_int_equal(bench_state(&b, 2), TASK_BURIED);
    bench_close(&b);
}

/* The oldest go first, their bodies count, and the latest stays. */
static void test_size(void **state) {
    (void)state;
    bench_t b;
    core_settings_t settings = {.dead_letter_bytes = 4 * EACH};
    buried(&b, &settings, 4);
    bench_tick(&b);
    assert_null(bench_record(&b, REC_TASK_GONE));
    core_body_found(b.core, 4, EACH + 1);
    bench_tick(&b);
    assert_int_equal(bench_state(&b, 2), TASK_STATES);
    assert_int_equal(bench_state(&b, 3), TASK_BURIED);
    core_body_found(b.core, 4, 100000);
    bench_tick(&b);
    assert_int_equal(bench_state(&b, 3), TASK_STATES);
    assert_int_equal(bench_state(&b, 4), TASK_BURIED);
    core_view_t view;
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(view.tasks->buried_bytes, EACH + 100000);
    assert_int_equal(order(&b, ORDER_DROP, ORDER_BY_EITHER, "b4", 0)->verdict, ORDERED_DONE);
    assert_int_equal(view.tasks->buried_bytes, 0);
    bench_close(&b);
}

/* What one counts for, beside the thousand octets of memory: its texts there, and with its row of the journal
 * the pages that this fills. */
static void test_what_one_counts_for(void **state) {
    (void)state;
    static const char trail[] = {TRAIL_ACCEPTED, 0, TRAIL_CLAIMED, 2, TRAIL_REVIVED, 4};
    static const struct {
        const char *reason;
        uint32_t trail;
        uint64_t doc, body, counts;
    } table[] = {
        {"", 0, 0, 0, 1000 + 1 + 4096 / 40},      /* a row of 101 octets: 40 share a page */
        {"", 0, 600, 0, 1000 + 1 + 4096 / 5},     /* 701 */
        {"why", 6, 591, 0, 1000 + 10 + 4096 / 5}, /* 701 as well */
        {"", 0, 2000, 0, 1000 + 1 + 4096},        /* two do not fit */
        {"", 0, 4000, 0, 1000 + 1 + 2 * 4096},    {"", 0, 12000, 5000000, 1000 + 1 + 3 * 4096 + 5000000},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bench_t b;
        core_view_t view;
        core_settings_t settings = {0};
        const task_image_t image = {.number = 1,
                                    .task_id = str_of("i"),
                                    .reason = str_of(table[i].reason),
                                    .state = TASK_BURIED,
                                    .call = CALL_PUT_RESULT,
                                    .doc_bytes = table[i].doc,
                                    .trail = {trail, table[i].trail}};
        bench_open_with(&b, &settings);
        assert_int_equal(core_restore_task(b.core, &image), 0);
        core_body_found(b.core, 1, table[i].body);
        bench_start(&b);
        core_look(b.core, b.now.ms, &view);
        assert_int_equal(view.tasks->buried_bytes, table[i].counts);
        bench_close(&b);
    }
}

/* Fetching stays paused by hand, since the first time it was said. */
static void test_paused_by_hand(void **state) {
    (void)state;
    bench_t b;
    core_view_t view;
    core_settings_t settings = {0};
    buried(&b, &settings, 0);
    msg_t pause = {.type = MSG_DRAIN, .drain = {0, 1}};
    int64_t since_ms = b.now.wall_ms;
    bench_say(&b, TOOL, &pause);
    assert_int_equal(bench_record(&b, REC_DRAIN)->at, since_ms);
    bench_later(&b, 3000);
    bench_say(&b, TOOL, &pause);
    assert_null(bench_record(&b, REC_DRAIN));
    assert_int_equal(bench_heard(&b, TOOL, MSG_DRAIN)->drain.mode, 1);
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(view.drained_wall_ms, since_ms);
    assert_string_equal(view.fetch_paused, "paused by hand");
    pause.drain.mode = 0;
    bench_say(&b, TOOL, &pause);
    assert_int_equal(bench_record(&b, REC_DRAIN)->at, 0);
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_ambiguous),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_what_one_counts_for),
        cmocka_unit_test(test_paused_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
