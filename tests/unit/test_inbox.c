/* The inbox: written, read back, removed, and what is done with damaged files. */
#include <errno.h>
#include <fcntl.h>
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

#include "common/err.h"
#include "fetcher/inbox.h"

int __real_fsync(int fd);
int __wrap_fsync(int fd);

static int sync_fails;                            /* errno; 0: none does */
static unsigned files_synced, directories_synced; /* the latter since the latest of the former */

int __wrap_fsync(int fd) {
    struct stat info;
    if (sync_fails) {
        errno = sync_fails;
        return -1;
    }
    assert_int_equal(fstat(fd, &info), 0);
    files_synced += S_ISREG(info.st_mode);
    directories_synced = S_ISREG(info.st_mode) ? 0 : directories_synced + 1;
    return __real_fsync(fd);
}

#define INSTANCE 0xabcdef0123456789u
#define NAME     "abcdef0123456789-4"

typedef struct {
    char dir[64];
    inbox_t *inbox;
    unsigned fetched, bad;
    char header[64], task[64], bad_name[64], why[64];
    int refuse;
} fixture_t;

static int on_fetch(void *ctx, const char *header, size_t header_bytes, const char *task, size_t task_bytes) {
    fixture_t *it = ctx;
    if (it->refuse) return it->refuse;
    it->fetched++;
    snprintf(it->header, sizeof it->header, "%.*s", (int)header_bytes, header);
    snprintf(it->task, sizeof it->task, "%.*s", (int)task_bytes, task);
    return 0;
}

static void on_bad(void *ctx, const char *name, const char *why) {
    fixture_t *it = ctx;
    it->bad++;
    snprintf(it->bad_name, sizeof it->bad_name, "%s", name);
    snprintf(it->why, sizeof it->why, "%s", why);
}

static int setup(void **state) {
    fixture_t *it = calloc(1, sizeof *it);
    assert_non_null(it);
    snprintf(it->dir, sizeof it->dir, "/tmp/test_inbox-XXXXXX");
    assert_non_null(mkdtemp(it->dir));
    assert_int_equal(inbox_open(it->dir, &it->inbox), 0);
    *state = it;
    return 0;
}

static int teardown(void **state) {
    fixture_t *it = *state;
    char command[128];
    sync_fails = 0;
    inbox_close(&it->inbox);
    snprintf(command, sizeof command, "rm -rf '%s'", it->dir);
    int rc = system(command);
    free(it);
    return rc;
}

static void path_of(const fixture_t *it, const char *name, char path[192]) {
    snprintf(path, 192, "%s/inbox/%s", it->dir, name);
}

static bool exists(const fixture_t *it, const char *name) {
    char path[192];
    path_of(it, name, path);
    return access(path, F_OK) == 0;
}

static void write_one(fixture_t *it) {
    assert_int_equal(inbox_write(it->inbox, INSTANCE, 4, "header", 6, "the task", 8), 0);
    assert_true(exists(it, NAME));
}

static int try_to_load(fixture_t *it) {
    inbox_reader_t reader = {it, on_fetch, on_bad};
    it->fetched = it->bad = 0;
    files_synced = directories_synced = 0;
    return inbox_load(it->inbox, &reader);
}

static void load(fixture_t *it) {
    assert_int_equal(try_to_load(it), 0);
}

static void written_and_read_back(void **state) {
    fixture_t *it = *state;
    load(it);
    assert_int_equal(it->fetched + it->bad, 0);
    write_one(it);
    assert_false(exists(it, NAME ".tmp"));
    inbox_close(&it->inbox);
    assert_int_equal(inbox_open(it->dir, &it->inbox), 0);
    load(it);
    assert_int_equal(it->fetched, 1);
    assert_int_equal(it->bad, 0);
    assert_string_equal(it->header, "header");
    assert_string_equal(it->task, "the task");
    inbox_remove(it->inbox, INSTANCE, 5);
    assert_true(exists(it, NAME));
    inbox_remove(it->inbox, INSTANCE, 4);
    assert_false(exists(it, NAME));
    load(it);
    assert_int_equal(it->fetched, 0);
}

/* Changes the file in every place, one at a time, and cuts it at every length: it is never taken. */
static void damage_is_found(void **state) {
    fixture_t *it = *state;
    char path[192], bytes[128], changed[128];
    path_of(it, NAME, path);
    write_one(it);
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, bytes, sizeof bytes);
    close(fd);
    assert_int_equal(size, 28 + 6 + 8);
    for (ssize_t i = 0; i < 2 * size; i++) {
        memcpy(changed, bytes, (size_t)size);
        if (i < size) changed[i] ^= 0x20;
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ssize_t length = i < size ? size : i - size;
        assert_int_equal(write(fd, changed, (size_t)length), length);
        close(fd);
        load(it);
        if (it->fetched != 0 || it->bad != 1) fail_msg("change %zd was not found", i);
        assert_string_equal(it->bad_name, NAME);
        assert_false(exists(it, NAME));
        assert_true(exists(it, NAME ".bad"));
    }
    load(it); /* what was set aside is not looked at again */
    assert_int_equal(it->fetched + it->bad, 0);
}

static void a_header_that_is_none_is_set_aside(void **state) {
    fixture_t *it = *state;
    write_one(it);
    it->refuse = ERR_MALFORMED;
    load(it);
    assert_int_equal(it->bad, 1);
    assert_string_equal(it->why, "its header is no fetch");
    assert_true(exists(it, NAME ".bad"));
}

static void a_whole_write_without_its_name_is_taken(void **state) {
    fixture_t *it = *state;
    char from[192], to[192];
    write_one(it);
    path_of(it, NAME, from);
    path_of(it, NAME ".tmp", to);
    assert_int_equal(rename(from, to), 0);
    load(it);
    assert_int_equal(it->fetched, 1);
    assert_true(exists(it, NAME));
    assert_false(exists(it, NAME ".tmp"));
    assert_int_equal(files_synced, 1); /* its writer may have died before it did that */
    assert_int_equal(directories_synced, 1);
}

/* What is taken counts as saved: its other copy, in the window, is dropped. */
static void what_is_read_back_is_durable(void **state) {
    fixture_t *it = *state;
    char from[192], to[192];
    load(it);
    assert_int_equal(files_synced + directories_synced, 0);
    write_one(it);
    load(it);
    assert_int_equal(directories_synced, 1); /* its name may not be */
    sync_fails = EIO;
    assert_int_equal(try_to_load(it), ERR_IO);
    assert_int_equal(errno, EIO);
    path_of(it, NAME, from);
    path_of(it, NAME ".tmp", to);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(try_to_load(it), ERR_IO);
    assert_int_equal(errno, EIO);
    assert_true(exists(it, NAME ".tmp"));
    sync_fails = 0;
    load(it);
    assert_int_equal(it->fetched, 1);
    assert_true(exists(it, NAME));
}

static void a_write_that_was_cut_short_is_removed(void **state) {
    fixture_t *it = *state;
    char from[192], to[192];
    path_of(it, NAME, from);
    path_of(it, NAME ".tmp", to);
    write_one(it);
    struct stat info;
    assert_int_equal(stat(from, &info), 0);
    for (off_t size = 0; size < info.st_size; size++) {
        write_one(it);
        assert_int_equal(rename(from, to), 0);
        assert_int_equal(truncate(to, size), 0);
        load(it);
        assert_int_equal(it->fetched, 0);
        assert_int_equal(it->bad, 0);
        assert_false(exists(it, NAME ".tmp"));
        assert_false(exists(it, NAME ".tmp.bad"));
    }
}

static void one_that_is_whole_and_no_fetch_is_set_aside(void **state) {
    fixture_t *it = *state;
    char from[192], to[192];
    write_one(it);
    path_of(it, NAME, from);
    path_of(it, NAME ".tmp", to);
    assert_int_equal(rename(from, to), 0);
    it->refuse = ERR_STATE;
    load(it);
    assert_int_equal(it->bad, 1);
    assert_true(exists(it, NAME ".tmp.bad"));
}

static void a_write_that_fails_leaves_nothing(void **state) {
    fixture_t *it = *state;
    char path[192];
    path_of(it, NAME ".tmp", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(inbox_write(it->inbox, INSTANCE, 4, "header", 6, "the task", 8), ERR_IO);
    assert_false(exists(it, NAME));
}

static void a_directory_that_cannot_be_made(void **state) {
    inbox_t *inbox = NULL;
    (void)state;
    assert_int_equal(inbox_open("/proc/none", &inbox), ERR_IO);
    assert_null(inbox);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_and_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_header_that_is_none_is_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(a_whole_write_without_its_name_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_read_back_is_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_that_was_cut_short_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_is_whole_and_no_fetch_is_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_that_fails_leaves_nothing, setup, teardown),
        cmocka_unit_test(a_directory_that_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
