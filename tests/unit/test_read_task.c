/* Reading an answer of get-task, by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fetcher/read_task.h"

#define NOW_MS 1700000000000

static bool same(str_t text, const char *expected) {
    return text.len == strlen(expected) && memcmp(text.ptr, expected, text.len) == 0;
}

static void outcomes(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        outcome_t outcome;
        unsigned flags;
        const char *error;
    } table[] = {
        {"{\"data\": null}", OUTCOME_EMPTY, 0, ""},
        {"{}", OUTCOME_EMPTY, 0, ""},
        {"", OUTCOME_MALFORMED, 0, ""},
        {"[]", OUTCOME_MALFORMED, 0, ""},
        {"{\"data\": 5}", OUTCOME_MALFORMED, 0, ""},
        {"{\"data\": {}}", OUTCOME_MALFORMED, 0, ""},
        {"{\"data\": {\"taskId\": \"\", \"url\": \"http://h\", \"method\": \"GET\"}}", OUTCOME_MALFORMED, 0,
         ""},
        {"{\"data\": {\"taskId\": null, \"url\": \"http://h\", \"method\": \"GET\"}}", OUTCOME_MALFORMED, 0,
         ""},
        {"{\"data\": {\"taskId\": 7, \"url\": \"http://h\", \"method\": \"GET\"}}", OUTCOME_DONE,
         TASK_IDEMPOTENT, ""},
        {"{\"data\": {\"taskId\": \"a\\u0000b\", \"url\": \"http://h\", \"method\": \"POST\"}}", OUTCOME_DONE,
         TASK_INVALID, "Agent Side Error: Error: the task's taskId is empty or holds a NUL character"},
        {"{\"data\": {\"taskId\": [], \"url\": \"http://h\", \"method\": \"POST\"}}", OUTCOME_DONE,
         TASK_INVALID, "Agent Side Error: Error: the task has no taskId, or it is no string"},
        {"{\"data\": {\"taskId\": \"a\", \"url\": \"http://h\", \"method\": \"GET\"}}", OUTCOME_DONE,
         TASK_IDEMPOTENT, ""},
        {"{\"data\": {\"taskId\": \"a\", \"url\": \"http://h\", \"method\": \"post\"}}", OUTCOME_DONE, 0, ""},
        {"{\"data\": {\"taskId\": \"xfetchLogs\", \"url\": \"http://h/agent/fetch-logs\", \"method\": "
         "\"GET\"}}",
         OUTCOME_DONE, TASK_IDEMPOTENT | TASK_LOGS, ""},
        {"{\"data\": {\"taskId\": \"a\", \"method\": \"POST\"}}", OUTCOME_DONE, TASK_INVALID,
         "Agent Side Error: Error: the task has no url"},
        {"{\"data\": {\"taskId\": \"a\", \"url\": \"http://h\"}}", OUTCOME_DONE, TASK_INVALID,
         "Agent Side Error: Error: the task has no method"},
        {"{\"data\": {\"taskId\": \"a\", \"url\": 5, \"method\": \"POST\"}}", OUTCOME_DONE, TASK_INVALID,
         "Agent Side Error: Error: "},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        read_task_t task;
        char why[256];
        outcome_t outcome = read_task(table[i].answer, strlen(table[i].answer), NOW_MS, &task, why);
        if (outcome != table[i].outcome) fail_msg("answer %s: outcome %d", table[i].answer, (int)outcome);
        if (outcome == OUTCOME_MALFORMED) assert_true(why[0] != '\0');
        read_task_clear(&task);
        if (outcome != OUTCOME_DONE) continue;
        if (task.fetched.flags != table[i].flags)
            fail_msg("answer %s: flags %u", table[i].answer, task.fetched.flags);
        assert_memory_equal(task.error, table[i].error, strlen(table[i].error));
        assert_int_equal(task.error[0] != '\0', (task.fetched.flags & TASK_INVALID) != 0);
    }
}

static void hosts(void **state) {
    (void)state;
    static const struct {
        const char *url, *host;
    } table[] = {
        {"http://Tool.Example/x", "tool.example"},
        {"https://user:p@ss@tool:8443/x", "tool"},
        {"http://[::1]:80/x", "[::1]"},
        {"http://h?user@other", "h"},
        {"http://h#a@b", "h"},
        {"nonsense", ""},
        {"http://", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char answer[256], why[256];
        read_task_t task;
        snprintf(answer, sizeof answer,
                 "{\"data\": {\"taskId\": \"a\", \"url\": \"%s\", \"method\": \"GET\"}}", table[i].url);
        assert_int_equal(read_task(answer, strlen(answer), NOW_MS, &task, why), OUTCOME_DONE);
        if (!same(task.fetched.host, table[i].host)) fail_msg("url %s", table[i].url);
    }
}

static void expiry_config_and_raw_task(void **state) {
    static const char answer[] =
        "{\"data\": {\"taskId\":\"a\", \"url\":\"http://h\",\"method\":\"GET\", \"n\": 2.50,"
        "\"expiryTsMs\": 1700000005000, \"globalConfig\": {\"poolSize\": 3}} }";
    static const char plain[] = "{\"data\": {\"taskId\":\"a\",\"url\":\"http://h\",\"method\":\"GET\"}}";
    read_task_t task;
    char why[256];
    (void)state;
    assert_int_equal(read_task(answer, sizeof answer - 1, NOW_MS, &task, why), OUTCOME_DONE);
    assert_true(task.fetched.expiry_ms == 1700000005000 && task.fetched.fetched_ms == NOW_MS);
    assert_true(same(task.fetched.config, "{\"poolSize\":3}"));
    assert_true(task.fetched.flags & TASK_CONFIG);
    assert_ptr_equal(task.task, strstr(answer, "{\"taskId\""));
    assert_int_equal(task.task_bytes, sizeof answer - 1 - 9 - 2);
    assert_int_equal(read_task(plain, sizeof plain - 1, NOW_MS, &task, why), OUTCOME_DONE);
    assert_true(task.fetched.expiry_ms == NOW_MS + EXPIRY_DEFAULT_MS);
}

static void what_is_too_long(void **state) {
    char *answer = malloc(8192), why[256], id[1026], method[101];
    read_task_t task;
    (void)state;
    assert_non_null(answer);
    memset(id, 'i', sizeof id);
    memset(method, 'M', 100);
    method[100] = '\0';
    for (size_t len = 1023; len <= 1025; len++) {
        snprintf(
            answer, 8192,
            "{\"data\": {\"taskId\": \"%.*s\", \"url\": \"http://h\", \"method\": \"%s\", \"globalConfig\": "
            "{\"x\": \"%.*s\"}}}",
            (int)len, id, method, 1100, "");
        assert_int_equal(read_task(answer, strlen(answer), NOW_MS, &task, why), OUTCOME_DONE);
        assert_int_equal(task.fetched.task_id.len, len <= 1024 ? len : 7 + 64);
        assert_int_equal(task.fetched.method.len, 32);
        if (len > 1024) assert_memory_equal(task.fetched.task_id.ptr, "sha256:", 7);
    }
    free(answer);
}

/* What is no JSON is answered for when there is a taskId in it, with what else of it can be read. */
static void no_json(void **state) {
    static const struct {
        const char *answer;
        const char *left; /* of the task; NULL: there is nothing to answer for */
        const char *why;
    } table[] = {
        {"{\"data\":{\"taskId\":\"a\",\"x\":NaN,\"url\":\"http://h\",\"n\":2.50}}",
         "{\"taskId\":\"a\",\"url\":\"http://h\",\"n\":2.50}", "invalid"},
        {"{\"x\":-Infinity,\"data\":{\"taskId\":7}}", "{\"taskId\":7}", "malformed"},
        {" {\"data\":{\"x\":[1,{\"y\":Infinity}],\"o\":{\"}\":\"]\"},\"taskId\":\"a\"}} ",
         "{\"o\":{\"}\":\"]\"},\"taskId\":\"a\"}", "invalid"},
        {"{\"data\":{\"taskId\":\"a\",\"x\":\"\xff\"}}", "{\"taskId\":\"a\",\"x\":\"\xef\xbf\xbd\"}",
         "invalid UTF-8 at octet 27"},
        {"\xef\xbb\xbf{\"data\":{\"taskId\":\"a\",\"x\":\"\xc0\xaf\"}}",
         "{\"taskId\":\"a\",\"x\":\"\xef\xbf\xbd\xef\xbf\xbd\"}", "invalid UTF-8 at octet 27"},
        {"{\"data\":{\"taskId\":\"a\xed\xa0\x80\"}}",
         "{\"taskId\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}", "invalid UTF-8 at octet 20"},
        {"{\"data\":{\"taskId\":\"a\",\"x\":\"\xf4\x90\x80\x80\"}}",
         "{\"taskId\":\"a\",\"x\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}",
         "invalid UTF-8 at octet 27"},
        {"{\"data\":{\"taskId\":\"a\",\"url\":\"htt", "{\"taskId\":\"a\"}", "too early"},
        {"{\"data\":{\"taskId\":\"a\",\"n\":12}", "{\"taskId\":\"a\",\"n\":12}", "too early"},
        {"{\"data\":{\"taskId\":\"a\"}} x", "{\"taskId\":\"a\"}", "garbage"},
        {"{\"data\":{\"taskId\":\"a\",\"x\":01,\"y\":\"\t\",\"z\":1}}", "{\"taskId\":\"a\",\"z\":1}", ""},
        {"{\"data\":{\"taskId\":\"a\",'x':1,\"y\":2}}", "{\"taskId\":\"a\"}", "invalid"},
        {"{\"data\":{\"x\":,\"taskId\":\"b\"}}", NULL, "unallowed"},
        {"{\"data\":{\"taskId\":,\"url\":\"http://h\"}}", NULL, "unallowed"},
        {"{\"data\":{\"o\":{\"taskId\":\"b\"},\"x\":NaN}}", NULL, "invalid"},
        {"{\"data\":{\"taskId\":NaN}}", NULL, "invalid"},
        {"{\"other\":{\"taskId\":\"b\",\"x\":NaN}}", NULL, "invalid"},
        {"{\"data\":[{\"taskId\":\"b\"}", NULL, "too early"},
        {"<html>\"data\":{\"taskId\":\"b\"}</html>", NULL, "invalid"},
        {"{\"data\":", NULL, "too early"},
        {"{", NULL, "too early"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        read_task_t task;
        char why[256], *exact = strdup(table[i].answer);
        assert_non_null(exact);
        outcome_t outcome = read_task(exact, strlen(exact), NOW_MS, &task, why);
        free(exact); /* what is left is no part of it */
        if (outcome != (table[i].left ? OUTCOME_DONE : OUTCOME_MALFORMED)) fail_msg("%s", table[i].answer);
        if (!strstr(table[i].left ? task.error : why, table[i].why))
            fail_msg("%s: %s, %s", table[i].answer, task.error, why);
        if (table[i].left) {
            const char *begin = "Agent Side Error: Error: the task is no JSON (";
            assert_memory_equal(task.error, begin, strlen(begin));
            assert_true(task.fetched.flags & TASK_INVALID);
            assert_int_equal(task.task_bytes, strlen(table[i].left));
            assert_memory_equal(task.task, table[i].left, task.task_bytes);
        }
        read_task_clear(&task);
    }
}

/* Of any size: what is known of it goes on, and nothing else. */
static void config_of_any_size(void **state) {
    static const struct {
        const char *before, *after, *config;
    } table[] = {
        {"\"uploadToAC\": false, \"note\": \"", "\"", "{\"uploadToAC\":false}"},
        {"\"note\": \"", "\", \"rateLimitPerMin\":9, \"debugMode\": true",
         "{\"debugMode\":true,\"rateLimitPerMin\":9}"},
        {"\"poolSize\": \"", "\", \"debugMode\": true", "{\"debugMode\":true,\"poolSize\":null}"},
        {"\"note\": \"", "\"", ""},
    };
    char *answer = malloc(4096), why[256], filling[2000];
    read_task_t task;
    (void)state;
    assert_non_null(answer);
    memset(filling, 'x', sizeof filling);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (int size = 10; size <= 2000; size += 1990) {
            snprintf(answer, 4096,
                     "{\"data\": {\"taskId\": \"a\", \"url\": \"http://h\", \"method\": \"GET\", "
                     "\"globalConfig\": "
                     "{%s%.*s%s}}}",
                     table[i].before, size, filling, table[i].after);
            assert_int_equal(read_task(answer, strlen(answer), NOW_MS, &task, why), OUTCOME_DONE);
            if (i == 2 && size == 10) continue; /* a wrong value that is short goes as it is */
            if (!same(task.fetched.config, table[i].config)) fail_msg("%zu of %d octets", i, size);
            assert_int_equal((task.fetched.flags & TASK_CONFIG) != 0, table[i].config[0] != '\0');
            assert_string_equal(task.note, "");
        }
    }
    free(answer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes),
        cmocka_unit_test(hosts),
        cmocka_unit_test(expiry_config_and_raw_task),
        cmocka_unit_test(what_is_too_long),
        cmocka_unit_test(config_of_any_size),
        cmocka_unit_test(no_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
