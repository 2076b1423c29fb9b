/* The fetcher's window: what is put there is there for the next process, whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/err.h"
#include "fetcher/window.h"

typedef struct {
    char dir[64], file[128];
    window_t *window;
    unsigned fetched;
    char seen[WINDOW_SLOTS][64]; /* header and task by slot */
    int refuse;
} fixture_t;

static int on_fetch(void *ctx, int slot, const char *header, size_t header_bytes, const char *task,
                    size_t task_bytes) {
    fixture_t *it = ctx;
    if (it->refuse) return it->refuse;
    it->fetched++;
    (void)snprintf(it->seen[slot], sizeof it->seen[slot], "%.*s|%.*s", (int)header_bytes, header,
                   task_bytes > 20 ? 20 : (int)task_bytes, task);
    return 0;
}

static int setup(void **state) {
    fixture_t *it = calloc(1, sizeof *it);
    assert_non_null(it);
    (void)snprintf(it->dir, sizeof it->dir, "/tmp/test_window-XXXXXX");
    assert_non_null(mkdtemp(it->dir));
    (void)snprintf(it->file, sizeof it->file, "%s/fetcher.window", it->dir);
    assert_int_equal(window_open(it->dir, &it->window), 0);
    *state = it;
    return 0;
}

static int teardown(void **state) {
    fixture_t *it = *state;
    char command[128];
    window_close(&it->window);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", it->dir);
    int rc = system(command); /* NOLINT(cert-env33-c): a test's own directory */
    free(it);
    return rc;
}

static unsigned reopen(fixture_t *it) {
    window_close(&it->window);
    assert_int_equal(window_open(it->dir, &it->window), 0);
    it->fetched = 0;
    return window_load(it->window, on_fetch, it);
}

static void test_put_load_drop(void **state) {
    fixture_t *it = *state;
    assert_int_equal(window_put(it->window, "head", 4, "task", 4), 0);
    assert_int_equal(window_put(it->window, "h", 1, "", 0), 1);
    assert_int_equal(window_put(it->window, "x", 1, "y", 1), 2);
    window_drop(it->window, 1);
    window_drop(it->window, -1);
    assert_int_equal(reopen(it), 0);
    assert_int_equal(it->fetched, 2);
    assert_string_equal(it->seen[0], "head|task");
    assert_string_equal(it->seen[2], "x|y");
    assert_int_equal(window_put(it->window, "z", 1, "", 0), 1); /* what was loaded keeps its slot */
    window_drop(it->window, 0);
    window_drop(it->window, 2);
    assert_int_equal(reopen(it), 0);
    assert_int_equal(it->fetched, 1);
    assert_string_equal(it->seen[1], "z|");
}

static void test_survives_a_killed_process(void **state) {
    fixture_t *it = *state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        (void)window_put(it->window, "of the child", 12, "its task", 8);
        (void)raise(SIGKILL);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    assert_int_equal(reopen(it), 0);
    assert_int_equal(it->fetched, 1);
    assert_string_equal(it->seen[0], "of the child|its task");
}

static void test_limits(void **state) {
    fixture_t *it = *state;
    char *large = calloc(1, WINDOW_SLOT_BYTES);
    assert_non_null(large);
    assert_int_equal(window_put(NULL, "h", 1, "t", 1), -1);
    assert_int_equal(window_put(it->window, "h", 1, large, WINDOW_SLOT_BYTES), -1);
    assert_int_equal(window_put(it->window, "h", 1, large, WINDOW_SLOT_BYTES - 16), -1);
    assert_int_equal(window_put(it->window, large, WINDOW_SLOT_BYTES, "t", 1), -1);
    for (int i = 0; i < WINDOW_SLOTS; i++)
        assert_int_equal(window_put(it->window, "h", 1, large, WINDOW_SLOT_BYTES - 17), i);
    assert_int_equal(window_put(it->window, "h", 1, "t", 1), -1);
    window_drop(it->window, 3);
    assert_int_equal(window_put(it->window, "h", 1, "t", 1), 3);
    free(large);
}

/* One octet of a task changed in the file, as after a crash of the machine. */
static void spoil(const fixture_t *it, off_t at) {
    int fd = open(it->file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\xff", 1, at), 1);
    (void)close(fd);
}

static void test_damage(void **state) {
    fixture_t *it = *state;
    assert_int_equal(window_put(it->window, "head", 4, "first", 5), 0);
    assert_int_equal(window_put(it->window, "head", 4, "other", 5), 1);
    assert_int_equal(window_put(it->window, "head", 4, "third", 5), 2);
    spoil(it, 16 + 5);                        /* a task */
    spoil(it, (off_t)WINDOW_SLOT_BYTES + 11); /* a length: beyond the slot */
    assert_int_equal(reopen(it), 2);
    assert_int_equal(it->fetched, 1);
    assert_string_equal(it->seen[2], "head|third");
    it->refuse = ERR_MALFORMED;
    assert_int_equal(reopen(it), 1);
    it->refuse = 0;
    assert_int_equal(reopen(it), 0);
    assert_int_equal(it->fetched, 0);
}

static void test_no_directory(void **state) {
    (void)state;
    window_t *window = NULL;
    assert_int_equal(window_open("/nonexistent", &window), ERR_IO);
    assert_int_equal(errno, ENOENT);
    assert_null(window);
    assert_int_equal(window_load(NULL, on_fetch, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_load_drop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_survives_a_killed_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test(test_no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
