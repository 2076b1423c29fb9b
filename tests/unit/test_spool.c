/* The link by which uploaders find the spool: once it is there it is never missing, whatever a start of the
 * broker does and wherever it ends, and one that somebody removed is made anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/spool.h"
#include "common/err.h"

int __real_symlink(const char *target, const char *path);
int __wrap_symlink(const char *target, const char *path);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

typedef struct {
    char dir[64], link[96];
    spool_t *spool;
    char why[SPOOL_WHY_MAX];
} fixture_t;

static const char *watched; /* it must lead to the spool after each call; NULL: not yet */
static unsigned calls;

static int after(int result) {
    calls++;
    if (watched && access(watched, X_OK) != 0) fail_msg("call %u leaves no link to the spool", calls);
    return result;
}

int __wrap_symlink(const char *target, const char *path) {
    return after(__real_symlink(target, path));
}

int __wrap_unlink(const char *path) {
    return after(__real_unlink(path));
}

int __wrap_rename(const char *from, const char *to) {
    return after(__real_rename(from, to));
}

static bool nobodys(void *ctx, uint64_t number, uint64_t bytes) {
    (void)ctx, (void)number, (void)bytes;
    return false;
}

static int open_it(fixture_t *it) {
    return spool_open(it->dir, it->link, 1000, nobodys, NULL, &it->spool, it->why);
}

static int setup(void **state) {
    fixture_t *it = calloc(1, sizeof *it);
    assert_non_null(it);
    (void)snprintf(it->dir, sizeof it->dir, "/tmp/test_spool-XXXXXX");
    assert_non_null(mkdtemp(it->dir));
    (void)snprintf(it->link, sizeof it->link, "%s/link", it->dir);
    watched = NULL;
    calls = 0;
    *state = it;
    return 0;
}

static int teardown(void **state) {
    fixture_t *it = *state;
    char command[128];
    watched = NULL;
    spool_close(&it->spool);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", it->dir);
    int rc = system(command); /* NOLINT(cert-env33-c): a test's own directory */
    free(it);
    return rc;
}

/* Whether what is in the spool is found by the link. */
static void leads_to_the_spool(const fixture_t *it) {
    struct stat spool, led;
    char path[96];
    (void)snprintf(path, sizeof path, "%s/spool", it->dir);
    assert_int_equal(stat(path, &spool), 0);
    assert_int_equal(stat(it->link, &led), 0);
    assert_int_equal(spool.st_ino, led.st_ino);
}

static void it_is_never_missing_at_a_start(void **state) {
    fixture_t *it = *state;
    assert_int_equal(open_it(it), 0);
    leads_to_the_spool(it);
    spool_close(&it->spool);
    watched = it->link;
    calls = 0;
    assert_int_equal(open_it(it), 0);
    assert_true(calls > 0);
    leads_to_the_spool(it);
}

static void what_a_start_left_is_made_anew(void **state) {
    fixture_t *it = *state;
    char fresh[128];
    (void)snprintf(fresh, sizeof fresh, "%s.new", it->link);
    assert_int_equal(__real_symlink("/proc/nowhere", it->link), 0);
    assert_int_equal(__real_symlink("/proc/nowhere", fresh), 0);
    assert_int_equal(open_it(it), 0);
    leads_to_the_spool(it);
    assert_int_not_equal(access(fresh, F_OK), 0);
}

/* A cleaner of /tmp may take it while the broker goes on. */
static void one_that_was_removed_is_there_with_the_next_body(void **state) {
    fixture_t *it = *state;
    assert_int_equal(open_it(it), 0);
    assert_int_equal(__real_unlink(it->link), 0);
    int fd = spool_create(it->spool, 5, 1);
    assert_true(fd >= 0);
    assert_int_equal(spool_write(fd, "body", 4, 0), 0);
    assert_int_equal(spool_keep(it->spool, fd, 5, 1), 0);
    leads_to_the_spool(it);
}

/* Nor need another body come, for which a spool that is full has no room. */
static void one_that_was_removed_is_there_within_a_second(void **state) {
    fixture_t *it = *state;
    assert_int_equal(open_it(it), 0);
    for (int64_t now_ms = 5000; now_ms < 8000; now_ms += 1000) {
        spool_turn(it->spool, now_ms);
        assert_int_equal(__real_unlink(it->link), 0);
        spool_turn(it->spool, now_ms + 999); /* it is not looked at in each turn */
        assert_int_not_equal(access(it->link, F_OK), 0);
        spool_turn(it->spool, now_ms + 1000);
        leads_to_the_spool(it);
    }
}

static void a_place_that_is_taken_stops_the_start(void **state) {
    fixture_t *it = *state;
    assert_int_equal(mkdir(it->link, 0700), 0);
    assert_int_equal(open_it(it), ERR_IO);
    assert_null(it->spool);
    assert_non_null(strstr(it->why, "cannot use the spool directory"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_never_missing_at_a_start, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_start_left_is_made_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_was_removed_is_there_with_the_next_body, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_was_removed_is_there_within_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(a_place_that_is_taken_stops_the_start, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
