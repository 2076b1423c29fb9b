/* What the journal keeps of tasks that are gone: the last HISTORY_TASKS, for HISTORY_DAYS. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/journal.h"

#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)
#define NOW_MS ((int64_t)1700000000000)
#define SLACK  256 /* it is cut now and then */

typedef struct {
    char dir[64];
    journal_t *journal;
} fixture_t;

static int setup(void **state) {
    fixture_t *it = calloc(1, sizeof *it);
    char why[JOURNAL_WHY_MAX];
    assert_non_null(it);
    (void)snprintf(it->dir, sizeof it->dir, "/tmp/test_history-XXXXXX");
    assert_non_null(mkdtemp(it->dir));
    assert_int_equal(journal_open(it->dir, &it->journal, why), 0);
    *state = it;
    return 0;
}

static int teardown(void **state) {
    fixture_t *it = *state;
    static const char *const names[] = {"journal.db", "journal.db-wal", "journal.db-shm"};
    char path[128];
    journal_close(&it->journal);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", it->dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(it->dir), 0);
    free(it);
    return 0;
}

/* Tasks of these numbers end, a millisecond apart, under one taskId each. */
static void end_tasks(journal_t *journal, uint64_t first, unsigned count, int64_t at_ms) {
    record_t *records = calloc(count, sizeof *records);
    char(*ids)[24] = calloc(count, sizeof *ids), why[JOURNAL_WHY_MAX];
    assert_non_null(records);
    assert_non_null(ids);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "id-%" PRIu64, first + i);
        records[i] = (record_t){.type = REC_TASK_GONE, .at = at_ms + i};
        records[i].task.number = first + i;
        records[i].task.accepted_wall_ms = at_ms - 1000;
        records[i].task.state = TASK_UPLOADING;
        records[i].task.task_id = str_of(ids[i]);
        records[i].task.method = str_of("GET");
        records[i].task.host = str_of("tool.example");
        records[i].task.trail = str_of("trail");
    }
    assert_int_equal(journal_commit(journal, records, count, why), 0);
    free(records);
    free(ids);
}

static void count_one(void *ctx, const history_t *row) {
    unsigned *count = ctx;
    assert_int_equal(row->state, TASK_UPLOADING);
    assert_string_equal(row->host, "tool.example");
    assert_int_equal(row->trail_bytes, 5);
    (*count)++;
}

static unsigned found(journal_t *journal, const char *task_id, uint64_t number, int64_t now_ms) {
    unsigned count = 0;
    assert_int_equal(journal_history_find(journal, task_id, number, 20, now_ms, count_one, &count), 0);
    return count;
}

static uint32_t covered(journal_t *journal, int64_t now_ms, int64_t *since_ms) {
    uint32_t tasks = UINT32_MAX;
    assert_int_equal(journal_history_cover(journal, now_ms, &tasks, since_ms), 0);
    return tasks;
}

static void test_by_id_and_number(void **state) {
    fixture_t *it = *state;
    int64_t since_ms = -1;
    assert_int_equal(covered(it->journal, NOW_MS, &since_ms), 0);
    assert_int_equal(since_ms, 0);
    end_tasks(it->journal, 1, 3, NOW_MS);
    assert_int_equal(found(it->journal, "id-2", 0, NOW_MS), 1);
    assert_int_equal(found(it->journal, NULL, 2, NOW_MS), 1);
    assert_int_equal(found(it->journal, "id-4", 4, NOW_MS), 0);
    end_tasks(it->journal, 2, 1, NOW_MS + 10); /* AC gave the taskId out again */
    assert_int_equal(found(it->journal, "id-2", 0, NOW_MS), 2);
}

static void test_the_last_ones(void **state) {
    fixture_t *it = *state;
    const unsigned all = HISTORY_TASKS + 2 * SLACK;
    int64_t since_ms = 0;
    for (unsigned i = 0; i < all; i += SLACK)
        end_tasks(it->journal, 1 + i, i + SLACK <= all ? SLACK : all - i, NOW_MS + i);
    uint32_t tasks = covered(it->journal, NOW_MS + all, &since_ms);
    assert_in_range(tasks, HISTORY_TASKS, HISTORY_TASKS + SLACK);
    assert_int_equal(since_ms, NOW_MS + all - tasks);
    assert_int_equal(found(it->journal, NULL, 1, NOW_MS + all), 0);
    assert_int_equal(found(it->journal, NULL, all - HISTORY_TASKS + 1, NOW_MS + all), 1);
    assert_int_equal(found(it->journal, NULL, all, NOW_MS + all), 1);
}

/* What is older is not shown from that moment on, and is taken out when others end. */
static void test_seven_days(void **state) {
    fixture_t *it = *state;
    int64_t since_ms = 0, later_ms = NOW_MS + HISTORY_DAYS * DAY_MS;
    end_tasks(it->journal, 1, 10, NOW_MS);
    assert_int_equal(found(it->journal, NULL, 1, later_ms), 1);
    assert_int_equal(found(it->journal, NULL, 1, later_ms + 1), 0);
    assert_int_equal(found(it->journal, NULL, 2, later_ms + 1), 1);
    assert_int_equal(covered(it->journal, later_ms + 5, &since_ms), 5);
    assert_int_equal(since_ms, NOW_MS + 5);
    end_tasks(it->journal, 11, SLACK + 1, later_ms + DAY_MS);
    assert_int_equal(found(it->journal, NULL, 10, NOW_MS), 0); /* to which it would not be too old */
    assert_int_equal(covered(it->journal, NOW_MS, &since_ms), SLACK + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_id_and_number, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seven_days, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
