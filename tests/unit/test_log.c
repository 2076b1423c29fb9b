/* Each line is read back through a pipe in place of stderr. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yajl/yajl_tree.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/log.h"

typedef struct {
    int saved, end;
    char line[16384];
} capture_t;

static void begin(capture_t *self) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    self->saved = dup(STDERR_FILENO);
    (void)dup2(ends[1], STDERR_FILENO);
    (void)close(ends[1]);
    self->end = ends[0];
}

/* All that was written; the pipe's other end is closed first. */
static const char *finish(capture_t *self) {
    (void)dup2(self->saved, STDERR_FILENO);
    (void)close(self->saved);
    size_t len = 0;
    for (ssize_t got; (got = read(self->end, self->line + len, sizeof self->line - 1 - len)) > 0;)
        len += (size_t)got;
    (void)close(self->end);
    self->line[len] = '\0';
    return self->line;
}

static yajl_val json_of(const char *line) {
    char why[256];
    assert_int_equal(strcspn(line, "\n") + 1, strlen(line)); /* one line */
    yajl_val root = yajl_tree_parse(line, why, sizeof why);
    if (root == NULL) fail_msg("%s is no JSON: %s", line, why);
    return root;
}

static const char *text(yajl_val root, const char *name) {
    const char *path[] = {name, NULL};
    return YAJL_GET_STRING(yajl_tree_get(root, path, yajl_t_string));
}

static void test_text(void **state) {
    (void)state;
    capture_t c;
    char quoted[LOG_QUOTED_MAX];
    log_init("sluice-test", LOG_LEVEL_INFO, false);
    begin(&c);
    log_info("task_claimed", "task=%s attempt=%u", log_quote("a b\"c", quoted), 1u);
    const char *line = finish(&c);
    assert_string_equal(line + strlen("2026-01-02T03:04:05.678Z"),
                        " info sluice-test event=task_claimed task=\"a b\\\"c\" attempt=1\n");
    assert_true(line[10] == 'T' && line[19] == '.' && line[23] == 'Z');
}

static void test_level(void **state) {
    (void)state;
    capture_t c;
    log_init("sluice-test", LOG_LEVEL_WARN, false);
    begin(&c);
    log_info("a", NULL);
    log_debug("b", NULL);
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("c", NULL);
    assert_string_equal(finish(&c) + 24, " debug sluice-test event=c\n");
}

static void test_control_characters_never_break_a_line(void **state) {
    (void)state;
    capture_t c;
    log_init("sluice-test", LOG_LEVEL_INFO, false);
    begin(&c);
    log_info("x", "a=%s b=%s", "one\ntwo\r\x1b[31m\x7f",
             "\xc2\x9b"
             "5\xff");
    assert_string_equal(finish(&c) + 24, " info sluice-test event=x a=one?two??[31m? b=??5?\n");
}

static void test_json(void **state) {
    (void)state;
    capture_t c;
    char a[LOG_QUOTED_MAX], b[LOG_QUOTED_MAX], d[LOG_QUOTED_MAX];
    log_init("sluice-test", LOG_LEVEL_INFO, true);
    begin(&c);
    log_warn("x", "task=%s n=%d url=%s word=%s text=%s big=%s bare raw=%s", log_quote("42", a), -7,
             log_quote("http://h/p?a=b", b), "plain", log_quote("tab\t\"q\" \\ \x01 \xc3\xa9 \xff end", d),
             "18446744073709551615", "a\nb");
    yajl_val root = json_of(finish(&c));
    const char *n[] = {"n", NULL};
    assert_string_equal(text(root, "level"), "warn");
    assert_string_equal(text(root, "program"), "sluice-test");
    assert_string_equal(text(root, "event"), "x");
    assert_string_equal(text(root, "task"), "42"); /* a quoted number stays a text */
    assert_true(YAJL_GET_INTEGER(yajl_tree_get(root, n, yajl_t_number)) == -7);
    assert_string_equal(text(root, "url"), "http://h/p?a=b");
    assert_string_equal(text(root, "word"), "plain");
    assert_string_equal(text(root, "text"), "tab\t\"q\" \\ \x01 \xc3\xa9 \xef\xbf\xbd end");
    assert_string_equal(text(root, "big"), "18446744073709551615"); /* no reader would keep it as a number */
    assert_string_equal(text(root, "note"), "bare");
    assert_string_equal(text(root, "raw"), "a\nb");
    yajl_tree_free(root);
    begin(&c);
    log_info("x", "odd=\"%s\" open=\"%s", "\\u12 \\x \\", "no end\\");
    yajl_tree_free(json_of(finish(&c)));
}

static void test_long_lines_stay_whole(void **state) {
    (void)state;
    char *long_text = malloc(10001);
    capture_t c;
    assert_non_null(long_text);
    memset(long_text, 'x', 10000);
    long_text[10000] = '\0';
    for (int json = 0; json < 2; json++) {
        for (size_t len = 3900; len < 4100; len++) {
            log_init("sluice-test", LOG_LEVEL_INFO, json == 1);
            begin(&c);
            log_info("x", "a=1 long=%.*s b=2", (int)len, long_text);
            const char *line = finish(&c);
            assert_true(strlen(line) <= 4096); /* what a pipe takes undivided */
            assert_int_equal(strcspn(line, "\n") + 1, strlen(line));
            if (json == 1) yajl_tree_free(json_of(line));
        }
    }
    free(long_text);
}

static void test_quote(void **state) {
    (void)state;
    char buf[LOG_QUOTED_MAX], text_in[2000];
    assert_string_equal(log_quote("plain-text/1", buf), "plain-text/1");
    assert_string_equal(log_quote("", buf), "\"\"");
    assert_string_equal(log_quote(NULL, buf), "\"\"");
    assert_string_equal(log_quote("a=b", buf), "\"a=b\"");
    assert_string_equal(log_quote("a\nb", buf), "\"a\\nb\"");
    for (size_t len = 600; len < 700; len++) {
        for (size_t i = 0; i < len; i++)
            text_in[i] = i % 2 == 0 ? '\xc3' : '\xa9';
        text_in[len] = '\0';
        (void)log_quote(text_in, buf);
        assert_true(strlen(buf) < LOG_QUOTED_MAX);
        assert_true(buf[strlen(buf) - 1] == '"');
    }
}

/* Whether the file has one line, and it ends so. */
static void assert_file(const char *path, const char *end) {
    char text[512];
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t len = read(fd, text, sizeof text - 1);
    (void)close(fd);
    assert_true(len > 24);
    text[len] = '\0';
    assert_string_equal(text + 24, end);
}

static void test_file(void **state) {
    (void)state;
    char dir[] = "/tmp/sluice-log.XXXXXX", path[64];
    capture_t c;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/a.log", dir);
    log_init("sluice-test", LOG_LEVEL_INFO, false);
    begin(&c);
    assert_int_equal(log_open(path, 7, false), 0);
    log_info("a", NULL);
    assert_string_equal(finish(&c), "");
    assert_file(path, " info sluice-test event=a\n");
    assert_int_equal(unlink(path), 0);

    begin(&c);
    assert_int_equal(log_open(path, 7, true), 0);
    log_info("b", NULL);
    assert_string_equal(finish(&c) + 24, " info sluice-test event=b\n");
    assert_file(path, " info sluice-test event=b\n");
    assert_int_equal(unlink(path), 0);
    log_close();
    assert_int_equal(rmdir(dir), 0);
}

static void test_without_a_file_lines_go_to_stderr(void **state) {
    (void)state;
    char dir[] = "/tmp/sluice-log.XXXXXX", path[64];
    capture_t c;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/a.log", dir);
    begin(&c);
    assert_int_equal(log_open("/nowhere/a.log", 7, false), ERR_IO);
    log_info("a", NULL);
    assert_string_equal(finish(&c) + 24, " info sluice-test event=a\n");

    /* and when it goes away under us */
    assert_int_equal(log_open(path, 7, false), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    begin(&c);
    log_info("b", NULL);
    assert_string_equal(finish(&c) + 24, " info sluice-test event=b\n");
    log_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_level),
        cmocka_unit_test(test_control_characters_never_break_a_line),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_long_lines_stay_whole),
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_without_a_file_lines_go_to_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
