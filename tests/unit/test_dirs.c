#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/dirs.h"
#include "common/err.h"

typedef struct {
    char root[64], path[96], why[512];
} place_t;

static int setup(void **state) {
    place_t *place = calloc(1, sizeof *place);
    if (place == NULL) return -1;
    (void)snprintf(place->root, sizeof place->root, "/tmp/sluice-test-XXXXXX");
    if (mkdtemp(place->root) == NULL) return -1;
    (void)snprintf(place->path, sizeof place->path, "%s/x.lock", place->root);
    *state = place;
    return 0;
}

static int teardown(void **state) {
    place_t *place = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", place->root);
    int rc = system(command);
    free(place);
    return rc;
}

static void test_made_with_parents(void **state) {
    place_t *place = *state;
    char path[128];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/a/b/c", place->root);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(dirs_make(path, "--stateDir", place->why), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
    }
}

static void test_shared(void **state) {
    place_t *place = *state;
    static const struct {
        mode_t mode;
        bool shared;
    } cases[] = {{0700, false}, {0750, true}, {0770, true}, {0710, true}, {0755, false}, {01777, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(chmod(place->root, cases[i].mode), 0);
        assert_int_equal(dirs_shared(place->path), cases[i].shared);
    }
    assert_false(dirs_shared("no-slash"));
    assert_false(dirs_shared("/no/such/directory"));
}

static void test_reasons(void **state) {
    place_t *place = *state;
    char path[128];
    FILE *file = fopen(place->path, "w");
    assert_non_null(file);
    (void)fclose(file);
    assert_int_equal(dirs_make(place->path, "--stateDir", place->why), ERR_IO);
    assert_non_null(strstr(place->why, "no directory"));
    assert_non_null(strstr(place->why, "--stateDir"));
    assert_non_null(strstr(place->why, place->path));
    (void)snprintf(path, sizeof path, "%s/below", place->path);
    assert_int_equal(dirs_make(path, "--stateDir", place->why), ERR_IO);
    assert_non_null(strstr(place->why, "Not a directory"));
    assert_int_equal(dirs_make("/proc/sluice", "--runtimeDir", place->why), ERR_IO);
    assert_non_null(strstr(place->why, "--runtimeDir"));
}

/* Runs as an ordinary user in a child, since root may write anywhere. */
static void test_not_of_this_user(void **state) {
    place_t *place = *state;
    if (geteuid() != 0) skip();
    pid_t pid = fork();
    if (pid == 0) {
        if (chmod(place->root, 0755) != 0 || setuid(65534) != 0) _exit(2);
        int err = dirs_make(place->root, "--stateDir", place->why); /* of root, not writable */
        _exit(err == ERR_IO && strstr(place->why, "Permission denied") != NULL ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(chown(place->root, 65534, 65534), 0);
    pid = fork();
    if (pid == 0) {
        if (chmod(place->root, 0777) != 0 || setuid(65533) != 0) _exit(2);
        int err = dirs_make(place->root, "--stateDir", place->why);
        _exit(err == ERR_IO && strstr(place->why, "another user") != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_a_lock_excludes(void **state) {
    place_t *place = *state;
    lock_t lock = {.fd = -1}, second = {.fd = -1};
    pid_t holder = -1;
    assert_int_equal(lock_probe(place->path, &holder), 0); /* no such file */
    assert_int_equal(lock_take(place->path, &lock, &holder, place->why), 0);
    assert_true(lock.place != 0);
    assert_int_equal(lock_probe(place->path, &holder), ERR_BUSY);
    assert_int_equal(holder, getpid());
    holder = -1;
    assert_int_equal(lock_take(place->path, &second, &holder, place->why), ERR_BUSY);
    assert_int_equal(holder, getpid());
    assert_int_equal(second.fd, -1);
    uint64_t where = lock.place;
    lock_release(&lock);
    lock_release(&lock);
    assert_int_equal(lock_probe(place->path, &holder), 0);
    assert_int_equal(lock_take(place->path, &second, NULL, place->why), 0);
    assert_true(second.place == where); /* the place stays, whoever holds it */
    lock_release(&second);
}

static void test_a_lock_ends_with_its_process(void **state) {
    place_t *place = *state;
    int ready[2], status;
    char byte;
    pid_t holder = 0;
    lock_t lock = {.fd = -1};
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)lock_take(place->path, &lock, NULL, place->why);
        (void)!write(ready[1], "x", 1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(lock_take(place->path, &lock, &holder, place->why), ERR_BUSY);
    assert_int_equal(holder, pid);
    assert_non_null(strstr(place->why, place->path));
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(lock_take(place->path, &lock, &holder, place->why), 0);
    lock_release(&lock);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void test_numbered(void **state) {
    place_t *place = *state;
    lock_t locks[3] = {{.fd = -1}, {.fd = -1}, {.fd = -1}}, more = {.fd = -1};
    unsigned number = 0;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(lock_take_numbered(place->root, "executor", 3, &locks[i], &number, place->why), 0);
        assert_int_equal(number, i + 1);
    }
    assert_true(locks[0].place != locks[1].place);
    assert_int_equal(lock_take_numbered(place->root, "executor", 3, &more, &number, place->why), ERR_BUSY);
    lock_release(&locks[1]);
    assert_int_equal(lock_take_numbered(place->root, "executor", 3, &more, &number, place->why), 0);
    assert_int_equal(number, 2);
    lock_release(&more);
    lock_release(&locks[0]);
    lock_release(&locks[2]);
    assert_int_equal(lock_take_numbered("/nowhere", "executor", 3, &more, &number, place->why), ERR_IO);
}

static void test_clock(void **state) {
    (void)state;
    char id[BOOT_ID_SIZE];
    clock_boot_id(id);
    assert_int_equal(strlen(id), 36);
    int64_t first = clock_boot_ms();
    assert_true(clock_boot_ms() >= first);
    assert_true(clock_wall_ms() > 1700000000000);
    assert_true(random_u64() != random_u64());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_with_parents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reasons, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_of_this_user, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lock_excludes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lock_ends_with_its_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbered, setup, teardown),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
