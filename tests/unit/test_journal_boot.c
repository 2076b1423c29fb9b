/* What a journal that an earlier boot has written is to a broker of this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/journal.h"
#include "core_bench.h"

#define LEFT_MS 40000

/* Until when the next broker keeps to a pause, in ms from now; 0: not at all. */
static int64_t pause_left(const char *dir, const char *boot_id, int64_t says_until_ms) {
    bench_t b;
    core_view_t view;
    journal_t *journal;
    uint32_t tasks;
    char why[JOURNAL_WHY_MAX];
    assert_int_equal(journal_open(dir, &journal, why), 0);
    bench_open(&b, REDELIVER_IDEMPOTENT);
    assert_int_equal(journal_restore(journal, b.core, boot_id, b.now, &tasks, why), 0);
    bench_start(&b);
    core_look(b.core, b.now.ms, &view);
    int64_t until_ms = view.gate->pause_ms, left_ms = until_ms ? until_ms - b.now.ms : 0;
    if (says_until_ms) {
        record_t record = {.type = REC_PAUSE, .at = b.now.ms + says_until_ms};
        assert_int_equal(journal_commit(journal, &record, 1, why), 0);
    }
    bench_close(&b);
    journal_close(&journal);
    return left_ms;
}

/* A pause is of the boot in which AC asked for it: with another the clock it was measured by has begun anew.
 */
static void test_a_pause_is_of_its_boot(void **state) {
    (void)state;
    static const char *const names[] = {"journal.db", "journal.db-wal", "journal.db-shm"};
    char dir[] = "/tmp/test_journal_boot-XXXXXX", path[128];
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pause_left(dir, "first", LEFT_MS), 0);
    assert_int_equal(pause_left(dir, "first", 0), LEFT_MS);
    assert_int_equal(pause_left(dir, "first", 0), LEFT_MS);
    assert_int_equal(pause_left(dir, "second", 0), 0);
    assert_int_equal(pause_left(dir, "second", 0), 0); /* nor is it taken for one of this boot then */
    assert_int_equal(pause_left(dir, "second", LEFT_MS), 0);
    assert_int_equal(pause_left(dir, "second", 0), LEFT_MS);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pause_is_of_its_boot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
