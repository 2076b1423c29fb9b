/* What a fetcher reads back at its start: nothing twice, nothing damaged without a word, and what there is no
 * memory for stays where it is. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/log.h"
#include "fetcher/to_broker.h"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static unsigned too_large; /* octets of a malloc that fails; 0: none does */

void *__wrap_malloc(size_t size) {
    return too_large > 0 && size == too_large ? NULL : __real_malloc(size);
}

#define INSTANCE 7
#define LARGE    4321 /* octets of the task that finds no memory */

typedef struct {
    char dir[64];
    inbox_t *inbox;
    window_t *window;
    to_broker_t *fetches;
} fixture_t;

static void begin(fixture_t *it, uint64_t instance) {
    assert_int_equal(inbox_open(it->dir, &it->inbox), 0);
    assert_int_equal(window_open(it->dir, &it->window), 0);
    it->fetches = to_broker_new(it->inbox, it->window, instance);
    assert_non_null(it->fetches);
}

static void end(fixture_t *it) {
    to_broker_destroy(&it->fetches);
    inbox_close(&it->inbox);
    window_close(&it->window);
}

static int setup(void **state) {
    fixture_t *it = calloc(1, sizeof *it);
    assert_non_null(it);
    (void)snprintf(it->dir, sizeof it->dir, "/tmp/test_to_broker-XXXXXX");
    assert_non_null(mkdtemp(it->dir));
    begin(it, INSTANCE);
    *state = it;
    return 0;
}

static int teardown(void **state) {
    fixture_t *it = *state;
    char command[128];
    end(it);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", it->dir);
    int rc = system(command); /* NOLINT(cert-env33-c): a test's own directory */
    free(it);
    return rc;
}

static void fetch(fixture_t *it, const char *task_id, size_t task_bytes) {
    char *task = calloc(1, task_bytes);
    assert_non_null(task);
    const msg_fetched_t fetched = {.task_id = str_of(task_id)};
    assert_int_equal(to_broker_add(it->fetches, &fetched, task, task_bytes, 1000), 0);
    free(task);
}

/* The next process reads; `log` (may be NULL) gets what it says. */
static int load(fixture_t *it, char *log, size_t size) {
    char path[128];
    end(it);
    begin(it, INSTANCE + 1);
    if (!log) return to_broker_load(it->fetches);
    (void)snprintf(path, sizeof path, "%s/log", it->dir);
    int saved = dup(STDERR_FILENO), fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(saved >= 0 && fd >= 0);
    (void)dup2(fd, STDERR_FILENO);
    int rc = to_broker_load(it->fetches);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    ssize_t n = pread(fd, log, size - 1, 0);
    (void)close(fd);
    log[n > 0 ? n : 0] = '\0';
    return rc;
}

/* A fetch that is in the inbox and in the window is one. */
static void test_once(void **state) {
    fixture_t *it = *state;
    char log[4096];
    fetch(it, "a", 10);
    fetch(it, "b", 10);
    const msg_t msg = {.type = MSG_FETCHED,
                       .fetched = {.instance = INSTANCE, .seq = 2, .task_id = str_of("b")}};
    char *header;
    size_t header_bytes;
    assert_int_equal(msg_encode(&msg, &header, &header_bytes), 0);
    assert_int_equal(inbox_write(it->inbox, INSTANCE, 2, header, header_bytes, "0123456789", 10), 0);
    free(header);
    assert_int_equal(load(it, log, sizeof log), 0);
    assert_int_equal(to_broker_count(it->fetches), 2);
    assert_null(strstr(log, "window_damaged"));
    const msg_accepted_t both[] = {{INSTANCE, 1, VERDICT_NEW, 1}, {INSTANCE, 2, VERDICT_NEW, 2}};
    to_broker_accepted(it->fetches, &both[0]);
    to_broker_accepted(it->fetches, &both[1]);
    assert_int_equal(load(it, NULL, 0), 0);
    assert_int_equal(to_broker_count(it->fetches), 0);
}

static void test_damage_is_told(void **state) {
    fixture_t *it = *state;
    char path[128], log[4096];
    fetch(it, "a", 10);
    fetch(it, "b", 10);
    (void)snprintf(path, sizeof path, "%s/fetcher.window", it->dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\xff", 1, 16), 1); /* of the first header */
    (void)close(fd);
    assert_int_equal(load(it, log, sizeof log), 0);
    assert_int_equal(to_broker_count(it->fetches), 1);
    assert_non_null(strstr(log, "window_damaged"));
    assert_non_null(strstr(log, "slots=1"));
    assert_int_equal(load(it, log, sizeof log), 0); /* once */
    assert_null(strstr(log, "window_damaged"));
}

static void test_no_memory(void **state) {
    fixture_t *it = *state;
    fetch(it, "in the window", LARGE);
    fetch(it, "too", 10);
    const msg_t msg = {.type = MSG_FETCHED,
                       .fetched = {.instance = INSTANCE, .seq = 9, .task_id = str_of("in the inbox")}};
    static const char task[LARGE];
    char *header;
    size_t header_bytes;
    assert_int_equal(msg_encode(&msg, &header, &header_bytes), 0);
    assert_int_equal(inbox_write(it->inbox, INSTANCE, 9, header, header_bytes, task, sizeof task), 0);
    free(header);
    too_large = LARGE;
    assert_int_equal(load(it, NULL, 0), ERR_NOMEM);
    too_large = 0;
    assert_int_equal(load(it, NULL, 0), 0);
    assert_int_equal(to_broker_count(it->fetches), 3);
}

int main(void) {
    log_init("test", LOG_LEVEL_INFO, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
