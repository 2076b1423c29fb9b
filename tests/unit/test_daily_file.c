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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/daily_file.h"
#include "common/err.h"

#define NOON     1767268800 /* 2026-01-01T12:00:00Z, 13:00 in the tests' zone */
#define MIDNIGHT 1767308400 /* the midnight after it in the tests' zone: 23:00 UTC */

typedef struct {
    char dir[64], path[96];
} place_t;

static int set_up(void **state) {
    place_t *place = calloc(1, sizeof *place);
    if (!place) return -1;
    (void)snprintf(place->dir, sizeof place->dir, "/tmp/sluice-daily.XXXXXX");
    if (!mkdtemp(place->dir)) return -1;
    (void)snprintf(place->path, sizeof place->path, "%s/a.log", place->dir);
    *state = place;
    return 0;
}

static int tear_down(void **state) {
    place_t *place = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", place->dir);
    int status = system(command);
    free(place);
    return status;
}

/* The contents of the file PATH SUFFIX, "-" when there is none. */
static const char *contents(const place_t *place, const char *suffix) {
    static char text[4096];
    char path[128];
    (void)snprintf(path, sizeof path, "%s%s", place->path, suffix);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return "-";
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static void date_file(const place_t *place, const char *suffix, int64_t at_s) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s%s", place->path, suffix);
    struct timespec times[2] = {{.tv_sec = (time_t)at_s}, {.tv_sec = (time_t)at_s}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_file(const place_t *place, const char *suffix, const char *text) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s%s", place->path, suffix);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static void put(daily_file_t *file, const char *line, int64_t now_s) {
    assert_int_equal(daily_file_write(file, line, strlen(line), now_s), 0);
}

static void test_local_midnight(void **state) {
    const place_t *place = *state;
    daily_file_t file;
    assert_int_equal(daily_file_open(&file, place->path, 7, NOON), 0);
    put(&file, "one\n", NOON);
    put(&file, "two\n", MIDNIGHT - 1);
    assert_string_equal(contents(place, ".2026-01-01"), "-");
    put(&file, "three\n", MIDNIGHT);
    assert_string_equal(contents(place, ".2026-01-01"), "one\ntwo\n");
    assert_string_equal(contents(place, ""), "three\n");
    struct stat st;
    assert_int_equal(stat(place->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    daily_file_close(&file);
}

static void test_shared_with_the_group(void **state) {
    const place_t *place = *state;
    daily_file_t file;
    struct stat st;
    mode_t before = umask(077);
    assert_int_equal(chmod(place->dir, 0750), 0);
    assert_int_equal(daily_file_open(&file, place->path, 7, NOON), 0);
    assert_int_equal(stat(place->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    daily_file_close(&file);
    (void)umask(before);
}

static void test_a_day_without_lines_leaves_no_file(void **state) {
    const place_t *place = *state;
    daily_file_t file;
    assert_int_equal(daily_file_open(&file, place->path, 7, NOON), 0);
    put(&file, "one\n", MIDNIGHT + 5);
    assert_string_equal(contents(place, ".2026-01-01"), "-");
    assert_string_equal(contents(place, ""), "one\n");
    daily_file_close(&file);
}

static void test_yesterdays_file_is_renamed_at_the_start(void **state) {
    const place_t *place = *state;
    daily_file_t file;
    make_file(place, "", "old\n");
    date_file(place, "", NOON);
    assert_int_equal(daily_file_open(&file, place->path, 7, MIDNIGHT + 2 * 86400), 0);
    assert_string_equal(contents(place, ".2026-01-01"), "old\n");
    assert_string_equal(contents(place, ""), "");
    daily_file_close(&file);
}

/* Whoever comes first renames; nobody writes into, or over, yesterday's file. */
static void test_two_writers(void **state) {
    const place_t *place = *state;
    daily_file_t a, b;
    assert_int_equal(daily_file_open(&a, place->path, 7, NOON), 0);
    assert_int_equal(daily_file_open(&b, place->path, 7, NOON), 0);
    put(&a, "a1\n", NOON);
    put(&b, "b1\n", NOON);
    put(&a, "a2\n", MIDNIGHT);
    put(&b, "b2\n", MIDNIGHT);
    put(&a, "a3\n", MIDNIGHT + 1);
    assert_string_equal(contents(place, ".2026-01-01"), "a1\nb1\n");
    assert_string_equal(contents(place, ""), "a2\nb2\na3\n");
    daily_file_close(&a);
    daily_file_close(&b);
}

enum { WRITERS = 6, DAYS = 40, LINES = 25 };

/* One of several processes that all live through the same midnights: as many lines each day. */
static void write_days(const char *path, int writer) {
    daily_file_t file;
    char line[64];
    bool ok = daily_file_open(&file, path, 0, NOON) == 0;
    for (int day = 0; ok && day < DAYS; day++)
        for (int i = 0; ok && i < LINES; i++) {
            int len = snprintf(line, sizeof line, "writer %d day %d line %d\n", writer, day, i);
            ok = daily_file_write(&file, line, (size_t)len, NOON + (int64_t)day * 86400) == 0;
        }
    _exit(ok ? 0 : 1);
}

/* The writers' clocks differ wildly, so days mix; but no line is lost or broken. */
static void test_many_processes(void **state) {
    const place_t *place = *state;
    pid_t pids[WRITERS];
    int status, lines = 0;
    char command[256], text[64];
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) write_days(place->path, i);
        assert_true(pids[i] > 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    (void)snprintf(command, sizeof command, "cat %s* | grep -cxE 'writer [0-9]+ day [0-9]+ line [0-9]+'",
                   place->path);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_non_null(fgets(text, sizeof text, out));
    lines = atoi(text);
    assert_int_equal(pclose(out), 0);
    assert_int_equal(lines, WRITERS * DAYS * LINES);
}

static void test_the_newest_are_kept(void **state) {
    const place_t *place = *state;
    daily_file_t file;
    make_file(place, ".2025-12-01", "a");
    make_file(place, ".2025-12-02", "b");
    make_file(place, ".2025-12-03", "c");
    make_file(place, ".2025-12-03.gz", "somebody's own");
    make_file(place, "-else.2025-01-01", "not ours");
    assert_int_equal(daily_file_open(&file, place->path, 2, NOON), 0);
    assert_string_equal(contents(place, ".2025-12-01"), "-");
    put(&file, "one\n", NOON);
    put(&file, "two\n", MIDNIGHT);
    assert_string_equal(contents(place, ".2025-12-02"), "-");
    assert_string_equal(contents(place, ".2025-12-03"), "c");
    assert_string_equal(contents(place, ".2026-01-01"), "one\n");
    assert_string_equal(contents(place, ".2025-12-03.gz"), "somebody's own");
    assert_string_equal(contents(place, "-else.2025-01-01"), "not ours");
    daily_file_close(&file);
}

static void test_a_clock_that_went_back_costs_nothing(void **state) {
    const place_t *place = *state;
    daily_file_t file;
    make_file(place, ".2026-01-01", "before\n");
    assert_int_equal(daily_file_open(&file, place->path, 7, NOON), 0);
    put(&file, "again\n", NOON);
    put(&file, "after\n", MIDNIGHT);
    assert_string_equal(contents(place, ".2026-01-01"), "before\n");
    assert_string_equal(contents(place, ""), "again\nafter\n");
    daily_file_close(&file);
}

static void test_a_removed_file_is_made_anew(void **state) {
    const place_t *place = *state;
    daily_file_t file;
    assert_int_equal(daily_file_open(&file, place->path, 7, NOON), 0);
    put(&file, "one\n", NOON);
    assert_int_equal(unlink(place->path), 0);
    put(&file, "two\n", NOON);
    assert_string_equal(contents(place, ""), "two\n");
    daily_file_close(&file);
}

/* A write that is cut short leaves a piece of a line; the next line begins on a line of its own. */
static void test_full_disk(void **state) {
    const place_t *place = *state;
    daily_file_t file;
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){6, before.rlim_max};
    assert_int_equal(daily_file_open(&file, place->path, 7, NOON), 0);
    put(&file, "one\n", NOON);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(daily_file_write(&file, "two two\n", 8, NOON), ERR_IO);
    assert_int_equal(daily_file_write(&file, "no\n", 3, NOON), ERR_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    put(&file, "three\n", NOON);
    put(&file, "four\n", NOON);
    assert_string_equal(contents(place, ""), "one\ntw\nthree\nfour\n");
    daily_file_close(&file);
}

static void test_what_cannot_be_opened(void **state) {
    const place_t *place = *state;
    daily_file_t file;
    char path[128], longest[PATH_MAX + 10];
    (void)snprintf(path, sizeof path, "%s/nowhere/a.log", place->dir);
    assert_int_equal(daily_file_open(&file, path, 7, NOON), ERR_IO);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(daily_file_write(&file, "one\n", 4, NOON), ERR_IO);
    assert_int_equal(daily_file_open(&file, place->dir, 7, NOON), ERR_IO);
    assert_int_equal(mkfifo(place->path, 0600), 0);
    assert_int_equal(daily_file_open(&file, place->path, 7, NOON),
                     ERR_IO); /* and does not wait for a reader */
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(daily_file_open(&file, longest, 7, NOON), ERR_IO);
    assert_int_equal(errno, ENAMETOOLONG);
    daily_file_close(&file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_shared_with_the_group),
        TEST(test_local_midnight),
        TEST(test_a_day_without_lines_leaves_no_file),
        TEST(test_yesterdays_file_is_renamed_at_the_start),
        TEST(test_two_writers),
        TEST(test_many_processes),
        TEST(test_the_newest_are_kept),
        TEST(test_a_clock_that_went_back_costs_nothing),
        TEST(test_a_removed_file_is_made_anew),
        TEST(test_full_disk),
        TEST(test_what_cannot_be_opened),
    };
    if (setenv("TZ", "UTC-1", 1) != 0) return 1; /* an hour east of Greenwich */
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
