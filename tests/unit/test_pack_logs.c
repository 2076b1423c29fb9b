/* The zip is read back by libarchive. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/err.h"
#include "uploader/pack_logs.h"

static int set_up(void **state) {
    char dir[] = "/tmp/sluice-pack.XXXXXX";
    *state = mkdtemp(dir) ? strdup(dir) : NULL;
    return *state ? 0 : -1;
}

static int tear_down(void **state) {
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", (char *)*state);
    free(*state);
    return system(command);
}

static void put(const char *dir, const char *name, const char *text, size_t times) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < times; i++)
        assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Packs to the end; returns the turns it took. */
static int pack_all(pack_logs_t *pack) {
    char why[PACK_WHY_MAX];
    int turns = 1;
    for (int rc; (rc = pack_logs_turn(pack, why)) != 0; turns++)
        if (rc < 0) fail_msg("%s", why);
    return turns;
}

/* "NAME SIZE FIRST-OCTET;" of each entry. */
static const char *listing(int fd, int64_t bytes) {
    static char text[1024];
    struct archive *zip = archive_read_new();
    struct archive_entry *entry;
    char start[4];
    int rc;
    text[0] = '\0';
    assert_int_equal(lseek(fd, 0, SEEK_END), bytes);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(archive_read_support_format_zip(zip), ARCHIVE_OK);
    assert_int_equal(archive_read_open_fd(zip, fd, 10240), ARCHIVE_OK);
    while ((rc = archive_read_next_header(zip, &entry)) == ARCHIVE_OK) {
        size_t used = strlen(text);
        long long size = 0;
        char first = '-', piece[4096];
        for (ssize_t n; (n = archive_read_data(zip, piece, sizeof piece)) != 0; size += n) {
            assert_true(n > 0);
            if (size == 0) first = piece[0];
        }
        (void)snprintf(text + used, sizeof text - used, "%s %lld %c;", archive_entry_pathname(entry), size,
                       first);
    }
    assert_int_equal(rc, ARCHIVE_EOF);
    assert_int_equal(archive_read_free(zip), ARCHIVE_OK);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(read(fd, start, 4), 4);
    assert_memory_equal(start, "PK\3\4", 4);
    return text;
}

static void test_what_is_packed(void **state) {
    const char *dir = *state;
    char path[256], why[PACK_WHY_MAX];
    int64_t bytes;
    put(dir, "sluice-broker_prod.log", "one\n", 1);
    put(dir, "sluice-broker_prod.log.2026-01-01", "old\n", 2);
    put(dir, "sluice-fetcher_prod.log", "", 0);
    put(dir, "auth.log", "not ours\n", 1);
    (void)snprintf(path, sizeof path, "%s/metrics", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    put(dir, "metrics/metrics_prod.json", "{}\n", 1);
    put(dir, "metrics/else.json", "not ours\n", 1);
    (void)snprintf(path, sizeof path, "%s/executors", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    put(dir, "executors/sluice-executor_prod.log", "exec\n", 1);
    put(dir, "executors/auth.log", "not ours\n", 1);
    (void)snprintf(path, sizeof path, "%s/sluice-link.log", dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    (void)snprintf(path, sizeof path, "%s/sluice-fifo.log", dir);
    assert_int_equal(mkfifo(path, 0600), 0);

    pack_logs_t *pack = pack_logs_new(dir, why);
    if (!pack) fail_msg("%s", why);
    (void)pack_all(pack);
    int fd = pack_logs_take(pack, &bytes);
    pack_logs_destroy(&pack);
    assert_string_equal(
        listing(fd, bytes),
        "executors/sluice-executor_prod.log 5 e;metrics/metrics_prod.json 3 {;sluice-broker_prod.log 4 o;"
        "sluice-broker_prod.log.2026-01-01 8 o;sluice-fetcher_prod.log 0 -;");
    (void)close(fd);
    (void)snprintf(path, sizeof path, "test \"$(ls -A %s | grep -c pack)\" = 0", dir);
    assert_int_equal(system(path), 0); /* the zip has no name */
}

static void test_in_slices_while_files_change(void **state) {
    const char *dir = *state;
    char path[256], why[PACK_WHY_MAX];
    int64_t bytes;
    put(dir, "sluice-a.log", "0123456789abcde\n", 65536); /* four slices */
    put(dir, "sluice-b.log", "bbb\n", 1);
    put(dir, "sluice-c.log", "ccc\n", 1);
    pack_logs_t *pack = pack_logs_new(dir, why);
    assert_non_null(pack);
    assert_int_equal(pack_logs_turn(pack, why), 1);
    (void)snprintf(path, sizeof path, "%s/sluice-a.log", dir);
    assert_int_equal(truncate(path, 600000), 0); /* one shrinks, one goes, one grows */
    (void)snprintf(path, sizeof path, "%s/sluice-b.log", dir);
    assert_int_equal(unlink(path), 0);
    put(dir, "sluice-c.log", "ccc\n", 2);
    assert_true(pack_all(pack) >= 2);
    int fd = pack_logs_take(pack, &bytes);
    pack_logs_destroy(&pack);
    assert_true(bytes < 100000);
    assert_string_equal(listing(fd, bytes), "sluice-a.log 600000 0;sluice-c.log 8 c;");
    (void)close(fd);
}

static void test_an_empty_folder(void **state) {
    char why[PACK_WHY_MAX];
    int64_t bytes;
    pack_logs_t *pack = pack_logs_new(*state, why);
    assert_non_null(pack);
    (void)pack_all(pack);
    int fd = pack_logs_take(pack, &bytes);
    assert_int_equal(bytes, 22); /* a zip without entries */
    (void)close(fd);
    pack_logs_destroy(&pack);
}

static void test_no_folder(void **state) {
    char why[PACK_WHY_MAX];
    (void)state;
    assert_null(pack_logs_new("/nowhere/logs", why));
    assert_string_equal(why, "packing the logs: /nowhere/logs: No such file or directory");
}

static void test_a_full_disk(void **state) {
    const char *dir = *state;
    char why[PACK_WHY_MAX] = "";
    struct rlimit before, small;
    int rc;
    put(dir, "sluice-a.log", "0123456789abcde\n", 65536);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){100, before.rlim_max};
    pack_logs_t *pack = pack_logs_new(dir, why);
    assert_non_null(pack);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    while ((rc = pack_logs_turn(pack, why)) == 1)
        ;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, ERR_IO);
    assert_non_null(strstr(why, "packing the logs: the zip: "));
    pack_logs_destroy(&pack);
}

static void test_half_way(void **state) {
    char why[PACK_WHY_MAX];
    put(*state, "sluice-a.log", "0123456789abcde\n", 65536);
    pack_logs_t *pack = pack_logs_new(*state, why);
    assert_non_null(pack);
    assert_int_equal(pack_logs_turn(pack, why), 1);
    pack_logs_destroy(&pack);
    assert_null(pack);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_packed),  TEST(test_in_slices_while_files_change),
        TEST(test_an_empty_folder), TEST(test_no_folder),
        TEST(test_a_full_disk),     TEST(test_half_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
