/* What is read from a task, and what is refused: AC contract sections 2, 3 (input) and 4 (logs task). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/json_walk.h"
#include "common/task_json.h"

#define HEAD "{\"taskId\":\"t\",\"url\":\"http://h/\",\"method\":\"GET\","

static int read_text(const char *json, task_t_json *task, char why[256]) {
    return task_json_read(json, strlen(json), task, why);
}

static void reads_all_members(void **state) {
    const char *json =
        " {\"taskId\":\"a\\u00e9\",\"url\":\"http:\\/\\/h\\/x\",\"method\":\"pOst\",\"x\":[1,{}],"
        "\"requestHeaders\":{\"A\":\"1\",\"B\":\"\"},\"input\":\"b\\u0000c\\ud83d\\ude00\","
        "\"expiryTsMs\":1700000000000,\"globalConfig\":{\"debugMode\":true}} \n";
    task_t_json task;
    char why[256];

    (void)state;
    assert_int_equal(read_text(json, &task, why), 0);
    assert_string_equal(task.task_id, "a\xc3\xa9");
    assert_string_equal(task.url, "http://h/x");
    assert_string_equal(task.method, "POST");
    assert_false(task.idempotent);
    assert_int_equal(task.header_count, 2);
    assert_string_equal(task.headers[0].name, "A");
    assert_string_equal(task.headers[1].value, "");
    assert_int_equal(task.input, INPUT_STRING);
    assert_int_equal(task.body_bytes, 7);
    assert_memory_equal(task.body, "b\0c\xf0\x9f\x98\x80", 7);
    assert_true(task.has_expiry);
    assert_int_equal(task.expiry_ms, 1700000000000);
    assert_memory_equal(task.global_config.ptr, "{\"debugMode\":true}", task.global_config.len);
    assert_ptr_equal(task.raw.ptr, json + 1);
    assert_int_equal(task.raw.len, strlen(json) - 3);
    task_json_clear(&task);
}

/* What a walk has found, as text. */
static int note_member(void *ctx, const json_member_t *member) {
    text_t *seen = ctx;
    char kind[8];
    (void)snprintf(kind, sizeof kind, "|%d|", (int)member->kind);
    text_add(seen, member->name, member->name_len);
    text_add_str(seen, kind);
    text_add(seen, member->key.ptr, (size_t)(member->value.ptr + member->value.len - member->key.ptr));
    text_add_str(seen, "\n");
    return 0;
}

static void finds_the_same_without_checking(void **state) {
    static const char *const texts[] = {
        "{}",
        " {\n} ",
        "{\"a\":1}",
        " { \"a\" : -1.5e3 , \"\" : null,\"b\":true , \"c\":false}\n",
        "{\"a\":\"\",\"a\":\"\\\"}\\\\\",\"b\":[],\"c\":{}, \"d\" : [1,{\"x\":\"]}\\\"\"},[[]]] }",
        "{\"\\u0061\\n\":{\"a\":{\"a\":[\"{\"]}},\"\xc3\xa9,:\":\",:\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        text_t walked = {0}, again = {0};
        span_t object;
        char why[JSON_WHY_MAX];
        text_add_str(&walked, "");
        text_add_str(&again, "");
        assert_int_equal(
            json_walk(texts[i], strlen(texts[i]), JSON_OBJECT, note_member, &walked, &object, why), 0);
        char *exact = malloc(object.len); /* so that a sanitizer sees a step beyond the end */
        memcpy(exact, object.ptr, object.len);
        assert_int_equal(json_members((span_t){exact, object.len}, note_member, &again), 0);
        assert_string_equal(walked.ptr ? walked.ptr : "", again.ptr ? again.ptr : "");
        for (size_t n = 0; n < object.len; n++) /* what was never accepted does no harm */
            (void)json_members((span_t){exact, n}, note_member, &again);
        assert_int_equal(json_members((span_t){"[]", 2}, note_member, &again), ERR_MALFORMED);
        free(exact);
        text_clear(&walked);
        text_clear(&again);
    }
}

static void last_of_duplicates_wins(void **state) {
    task_t_json task;
    char why[256];

    (void)state;
    assert_int_equal(read_text(HEAD
                               "\"method\":\"put\",\"input\":{},\"\\u0075rl\":\"http://z/\",\"input\":null}",
                               &task, why),
                     0);
    assert_string_equal(task.method, "PUT");
    assert_true(task.idempotent);
    assert_string_equal(task.url, "http://z/");
    assert_int_equal(task.input, INPUT_NONE);
    task_json_clear(&task);
}

static void knows_idempotent_methods(void **state) {
    static const struct {
        const char *method;
        bool idempotent;
    } table[] = {{"get", true},    {"Head", true},  {"OPTIONS", true}, {"put", true},
                 {"delete", true}, {"trace", true}, {"POST", false},   {"patch", false},
                 {"foo", false},   {"GETX", false}, {"CONNECT", false}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char json[200], why[256];
        task_t_json task;
        (void)snprintf(json, sizeof json, HEAD "\"method\":\"%s\"}", table[i].method);
        assert_int_equal(read_text(json, &task, why), 0);
        assert_int_equal(task.idempotent, table[i].idempotent);
        task_json_clear(&task);
    }
}

static void reads_expiry(void **state) {
    static const struct {
        const char *text;
        int err;
        bool has;
        int64_t ms;
    } table[] = {{"5", 0, true, 5},
                 {"-5", 0, true, -5},
                 {"1.7e12", 0, true, 1700000000000},
                 {"1700000000000.9", 0, true, 1700000000000},
                 {"9223372036854775807", 0, true, INT64_MAX},
                 {"9223372036854775808", 0, true, INT64_MAX},
                 {"-99999999999999999999999", 0, true, INT64_MIN},
                 {"1e400", 0, true, INT64_MAX},
                 {"-1e400", 0, true, INT64_MIN},
                 {"null", 0, false, 0},
                 {"\"5\"", ERR_MALFORMED, false, 0},
                 {"true", ERR_MALFORMED, false, 0},
                 {"[1]", ERR_MALFORMED, false, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char json[200], why[256];
        task_t_json task;
        (void)snprintf(json, sizeof json, HEAD "\"expiryTsMs\":%s}", table[i].text);
        assert_int_equal(read_text(json, &task, why), table[i].err);
        assert_int_equal(task.has_expiry, table[i].has);
        if (table[i].has) assert_true(task.expiry_ms == table[i].ms);
        task_json_clear(&task);
    }
}

/* The octets of Python's requests for the same object, taken from it. */
static void encodes_forms(void **state) {
    static const struct {
        const char *input, *form;
    } table[] = {
        {"{\"a\":\"1 2\",\"b\":\"x&y\"}", "a=1+2&b=x%26y"},
        {"{\"a\":[1,\"two\",null,true,2.50,[1,\"x\",null,1e3]]}",
         "a=1&a=two&a=True&a=2.5&a=1&a=x&a=None&a=1000.0"},
        {"{\"n\":1.0,\"big\":9007199254740993,\"e\":1e22,\"f\":1e-5,\"g\":0.0001,\"t\":true,\"f2\":false}",
         "n=1.0&big=9007199254740993&e=1e%2B22&f=1e-05&g=0.0001&t=True&f2=False"},
        {"{\"o\":{\"k\":1,\"k 2\":2,\"k\":3}}", "o=k&o=k+2"},
        {"{\"\\u00e9\":\"\\u00fc+ /?%~-_.\"}", "%C3%A9=%C3%BC%2B+%2F%3F%25~-_."},
        {"{\"em\":\"\",\"l\":[],\"lo\":[{\"z\":1}],\"nul\":\"a\\u0000\"}", "em=&lo=z&nul=a%00"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "a=3&b=2"},
        {"{\"z\":-0,\"y\":-0.0,\"x\":1e400,\"w\":5e-324,\"v\":1e16,\"u\":123456789012345680.0}",
         "z=0&y=-0.0&x=inf&w=5e-324&v=1e%2B16&u=1.2345678901234568e%2B17"},
        {"{\"a\":null}", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char json[400], why[256];
        task_t_json task;
        (void)snprintf(json, sizeof json, HEAD "\"input\":%s}", table[i].input);
        assert_int_equal(read_text(json, &task, why), 0);
        assert_int_equal(task.input, INPUT_FORM);
        assert_int_equal(task.body_bytes, strlen(table[i].form));
        if (task.body_bytes > 0) assert_string_equal(task.body, table[i].form);
        task_json_clear(&task);
    }
}

static void knows_other_inputs(void **state) {
    static const struct {
        const char *input;
        int err;
        input_kind_t kind;
    } table[] = {{"\"\"", 0, INPUT_NONE},
                 {"null", 0, INPUT_NONE},
                 {"{}", 0, INPUT_NONE},
                 {"5", 0, INPUT_OTHER},
                 {"[]", 0, INPUT_OTHER},
                 {"true", 0, INPUT_OTHER},
                 {"\"\\ud800\"", ERR_MALFORMED, INPUT_NONE},
                 {"\"\\udc00\\ud800\"", ERR_MALFORMED, INPUT_NONE},
                 {"{\"a\":\"\\ud800\"}", ERR_MALFORMED, INPUT_NONE},
                 {"{\"\\ud800\":1}", ERR_MALFORMED, INPUT_NONE},
                 {"{\"a\":[[[1]]]}", ERR_MALFORMED, INPUT_NONE}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char json[200], why[256];
        task_t_json task;
        (void)snprintf(json, sizeof json, HEAD "\"input\":%s}", table[i].input);
        assert_int_equal(read_text(json, &task, why), table[i].err);
        assert_int_equal(task.input, table[i].kind);
        assert_int_equal(table[i].err != 0, why[0] != '\0');
        task_json_clear(&task);
    }
}

static void says_what_is_wrong(void **state) {
    static const struct {
        const char *json, *task_id, *word;
    } table[] = {{"{\"taskId\":\"t\",\"method\":\"GET\"}", "t", "url"},
                 {"{\"url\":\"u\",\"method\":\"GET\"}", NULL, "taskId"},
                 {"{\"taskId\":true,\"url\":\"u\",\"method\":\"GET\"}", NULL, "taskId"},
                 {"{\"taskId\":2.50,\"url\":\"u\"}", "2.50", "method"},
                 {"{\"taskId\":\"\",\"url\":\"u\",\"method\":\"GET\"}", NULL, "taskId"},
                 {"{\"taskId\":\"t\",\"url\":\"u\\u0000\",\"method\":\"GET\"}", "t", "url"},
                 {"{\"taskId\":\"t\",\"url\":\"u\",\"method\":null}", "t", "method"},
                 {HEAD "\"requestHeaders\":[]}", "t", "requestHeaders"},
                 {HEAD "\"requestHeaders\":{\"a\":1}}", "t", "requestHeaders"},
                 {HEAD "\"x\":1", "t", "early"},
                 {HEAD "\"x\":1} x", "t", "octet"},
                 {HEAD "\"x\":\"\xff\"}", "t", "octet"},
                 {"[]", NULL, "object"},
                 {"", NULL, "object"}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char why[256];
        task_t_json task;
        assert_int_equal(read_text(table[i].json, &task, why), ERR_MALFORMED);
        assert_non_null(strstr(why, table[i].word));
        if (table[i].task_id)
            assert_string_equal(task.task_id, table[i].task_id);
        else
            assert_null(task.task_id);
        task_json_clear(&task);
    }
}

static void odd_members_are_no_error(void **state) {
    task_t_json task;
    char why[256];

    (void)state;
    assert_int_equal(read_text(HEAD "\"requestHeaders\":null,\"globalConfig\":[1]}", &task, why), 0);
    assert_int_equal(task.header_count, 0);
    assert_null(task.global_config.ptr);
    task_json_clear(&task);
}

static void depth_is_no_error(void **state) {
    size_t depth = 100000, head = strlen(HEAD "\"x\":");
    char *json = malloc(head + 2 * depth + 2), why[256];
    task_t_json task;

    (void)state;
    memcpy(json, HEAD "\"x\":", head);
    memset(json + head, '[', depth);
    memset(json + head + depth, ']', depth);
    memcpy(json + head + 2 * depth, "}", 2);
    assert_int_equal(read_text(json, &task, why), 0);
    task_json_clear(&task);
    free(json);
}

static void finds_the_logs_task(void **state) {
    static const struct {
        const char *id, *url;
        bool logs;
    } table[] = {{"fetchLogs1", "http://x/agent/fetch-logs?a", true},
                 {"afetchLogs", "agent/fetch-logs", true},
                 {"fetchlogs", "http://x/agent/fetch-logs", false},
                 {"fetchLogs", "http://x/agent/fetchlogs", false}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char json[200], why[256];
        task_t_json task;
        (void)snprintf(json, sizeof json, "{\"taskId\":\"%s\",\"url\":\"%s\",\"method\":\"GET\"}",
                       table[i].id, table[i].url);
        assert_int_equal(read_text(json, &task, why), 0);
        assert_int_equal(task.logs, table[i].logs);
        task_json_clear(&task);
    }
}

/* It goes to no tool, so that what only a request needs may be anything. */
static void a_logs_task_needs_no_more(void **state) {
    static const struct {
        const char *members;
        int err; /* of the logs task; of any other it is ERR_MALFORMED */
    } table[] = {{"\"requestHeaders\":{\"X\":5}", 0}, {"\"requestHeaders\":[]", 0},
                 {"\"expiryTsMs\":\"x\"", 0},         {"\"input\":{\"a\":\"\\ud800\"}", 0},
                 {"\"input\":\"\\ud800\"", 0},        {"\"method\":5", ERR_MALFORMED},
                 {"\"method\":null", ERR_MALFORMED},  {"\"requestHeaders\":[],\"url\":7", ERR_MALFORMED}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (int logs = 0; logs < 2; logs++) {
            char json[300], why[256];
            task_t_json task;
            (void)snprintf(json, sizeof json,
                           "{\"taskId\":\"%s\",\"url\":\"http://x/agent/fetch-logs\",\"method\":\"GET\",%s}",
                           logs ? "fetchLogs1" : "other", table[i].members);
            if (read_text(json, &task, why) != (logs ? table[i].err : ERR_MALFORMED)) fail_msg("%s", json);
            assert_int_equal(why[0] != '\0', !logs || table[i].err);
            task_json_clear(&task);
        }
    }
}

static void reads_answers(void **state) {
    static const struct {
        const char *body;
        int err;
        const char *data; /* NULL: no task */
    } table[] = {{"{\"data\":{\"a\":[1, 2]} , \"status\":1}", 0, "{\"a\":[1, 2]}"},
                 {"\xef\xbb\xbf {\"x\":{\"data\":{}},\"data\":null}\r\n", 0, NULL},
                 {"{}", 0, NULL},
                 {"{\"data\":1,\"data\":{}}", 0, "{}"},
                 {"{\"data\":[]}", ERR_MALFORMED, NULL},
                 {"{\"data\":\"\"}", ERR_MALFORMED, NULL},
                 {"{\"data\":null}x", ERR_MALFORMED, NULL},
                 {"{\"data\":{}", ERR_MALFORMED, NULL},
                 {"{\"data\":\f{}}", ERR_MALFORMED, NULL},
                 {"{\"data\"\v:{}}", ERR_MALFORMED, NULL},
                 {"<html>", ERR_MALFORMED, NULL},
                 {"", ERR_MALFORMED, NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        span_t task = {.ptr = "unchanged", .len = 9};
        char why[256];
        int err = task_json_answer(table[i].body, strlen(table[i].body), &task, why);
        assert_int_equal(err, table[i].err);
        if (err) {
            assert_int_equal(task.len, 9);
            assert_true(why[0] != '\0');
        } else if (table[i].data) {
            assert_int_equal(task.len, strlen(table[i].data));
            assert_memory_equal(task.ptr, table[i].data, task.len);
        } else {
            assert_null(task.ptr);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_members),
        cmocka_unit_test(finds_the_same_without_checking),
        cmocka_unit_test(last_of_duplicates_wins),
        cmocka_unit_test(knows_idempotent_methods),
        cmocka_unit_test(reads_expiry),
        cmocka_unit_test(encodes_forms),
        cmocka_unit_test(knows_other_inputs),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(odd_members_are_no_error),
        cmocka_unit_test(depth_is_no_error),
        cmocka_unit_test(finds_the_logs_task),
        cmocka_unit_test(a_logs_task_needs_no_more),
        cmocka_unit_test(reads_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
