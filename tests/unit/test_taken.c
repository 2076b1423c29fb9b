/* What uploaders note of results that AC has: kept over the end of the process, shared, bounded. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/err.h"
#include "uploader/taken.h"

typedef struct {
    char dir[64], path[128];
    taken_t *taken;
} fixture_t;

static int setup(void **state) {
    fixture_t *it = calloc(1, sizeof *it);
    assert_non_null(it);
    snprintf(it->dir, sizeof it->dir, "/tmp/test_taken-XXXXXX");
    assert_non_null(mkdtemp(it->dir));
    snprintf(it->path, sizeof it->path, "%s/uploader.taken", it->dir);
    assert_int_equal(taken_open(it->dir, 0, &it->taken), 0);
    *state = it;
    return 0;
}

static int teardown(void **state) {
    fixture_t *it = *state;
    taken_close(&it->taken);
    assert_null(it->taken);
    taken_close(&it->taken);
    (void)unlink(it->path);
    assert_int_equal(rmdir(it->dir), 0);
    free(it);
    return 0;
}

static void noted_until_dropped(void **state) {
    fixture_t *it = *state;
    assert_false(taken_has(it->taken, 1, "a"));
    taken_note(it->taken, 1, "a");
    taken_note(it->taken, 2, "b");
    taken_note(it->taken, 1, "a");
    assert_true(taken_has(it->taken, 1, "a"));
    assert_true(taken_has(it->taken, 2, "b"));
    assert_false(taken_has(it->taken, 1, "b")); /* another journal's number 1 */
    taken_drop(it->taken, 1, "b");
    assert_true(taken_has(it->taken, 1, "a"));
    taken_drop(it->taken, 1, "a");
    assert_false(taken_has(it->taken, 1, "a"));
    assert_true(taken_has(it->taken, 2, "b"));
}

static void no_number_is_no_note(void **state) {
    fixture_t *it = *state;
    assert_false(taken_has(it->taken, 0, ""));
    taken_drop(it->taken, 0, "");
    assert_false(taken_has(NULL, 1, "a"));
    taken_note(NULL, 1, "a");
    taken_drop(NULL, 1, "a");
}

static void a_killed_process_leaves_its_notes_to_all(void **state) {
    fixture_t *it = *state;
    taken_t *other = NULL;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        taken_t *mine = NULL;
        if (taken_open(it->dir, TAKEN_PARTS - 1, &mine) != 0) _exit(1);
        taken_note(mine, 7, "seven");
        (void)raise(SIGKILL);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(taken_has(it->taken, 7, "seven"));
    assert_int_equal(taken_open(it->dir, TAKEN_PARTS - 1, &other), 0);
    assert_true(taken_has(other, 7, "seven"));
    taken_drop(it->taken, 7, "seven");
    assert_false(taken_has(other, 7, "seven"));
    taken_close(&other);
}

static void a_full_part_forgets_its_oldest_alone(void **state) {
    fixture_t *it = *state;
    taken_t *other = NULL;
    char id[16];
    assert_int_equal(taken_open(it->dir, 1, &other), 0);
    taken_note(other, 1000, "others");
    for (unsigned i = 1; i <= TAKEN_SLOTS + 3; i++) {
        snprintf(id, sizeof id, "t%u", i);
        taken_note(it->taken, i, id);
    }
    assert_false(taken_has(it->taken, 3, "t3"));
    assert_true(taken_has(it->taken, 4, "t4"));
    assert_true(taken_has(it->taken, TAKEN_SLOTS + 3, id));
    assert_true(taken_has(it->taken, 1000, "others"));
    taken_drop(it->taken, 10, "t10");
    taken_note(it->taken, 2000, "new");
    assert_true(taken_has(it->taken, 4, "t4")); /* an empty slot goes first */
    taken_close(&other);
}

static void what_cannot_be_opened_says_why(void **state) {
    fixture_t *it = *state;
    taken_t *other = NULL;
    assert_int_equal(taken_open("/nowhere", 0, &other), ERR_IO);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(unlink(it->path), 0);
    assert_int_equal(symlink("/dev/null", it->path), 0);
    assert_int_equal(taken_open(it->dir, 0, &other), ERR_IO);
    assert_int_equal(errno, ELOOP);
    assert_null(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(noted_until_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(no_number_is_no_note, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_process_leaves_its_notes_to_all, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_part_forgets_its_oldest_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_opened_says_why, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
