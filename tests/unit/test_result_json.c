/* The result JSON: the task's members byte for byte, then the added ones (AC contract section 2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/task_json.h"

#define BAD     "\xef\xbf\xbd" /* U+FFFD */
#define VERSION "\"version\":\"" SLUICE_VERSION "\""

static void check(const char *task, const result_parts_t *parts, const char *want) {
    text_t out = {0};

    assert_int_equal(result_json_write(task, strlen(task), parts, &out), 0);
    assert_string_equal(out.ptr, want);
    text_clear(&out);
}

static void echoes_members_byte_for_byte(void **state) {
    const result_parts_t parts = {.status_code = 204};

    (void)state;
    check("\t{ \"big\" : 9007199254740993,\"d\":2.50, \"e\":1e400 "
          ",\"s\":\"\\ud800\\u00e9\\/\",\"n\":{\"version\":[ ]}\n"
          ",\"big\":1, \"\\u0061\":\"\xc3\xa9\" } ",
          &parts,
          "{\"big\" : "
          "9007199254740993,\"d\":2.50,\"e\":1e400,\"s\":\"\\ud800\\u00e9\\/\",\"n\":{\"version\":[ ]},"
          "\"big\":1,\"\\u0061\":\"\xc3\xa9\"," VERSION ",\"statusCode\":204,\"responseHeaders\":{}}");
    check("{}", &parts, "{" VERSION ",\"statusCode\":204,\"responseHeaders\":{}}");
}

static void replaces_what_it_sets(void **state) {
    const char *task = "{\"output\":1,\"version\":2,\"x\":3,\"statusCode\":4,\"responseHeaders\":5,"
                       "\"responseBase64\":6,\"responseZipped\":7,\"s3Url\":8,\"outpu\\u0074\":9}";
    const result_parts_t empty = {.status_code = 200},
                         body = {.status_code = 200, .body = "ab", .body_bytes = 2},
                         failed = {.error = "Agent Side Error: x \"y\""},
                         zipped = {.status_code = 200, .zipped = true}, added = {.s3_url = "http://s/"};

    (void)state;
    check(task, &empty,
          "{\"output\":1,\"x\":3,\"responseBase64\":6,\"responseZipped\":7,\"s3Url\":8,\"outpu\\u0074\":"
          "9," VERSION ",\"statusCode\":200,\"responseHeaders\":{}}");
    check(task, &body,
          "{\"x\":3,\"responseZipped\":7,\"s3Url\":8," VERSION
          ",\"statusCode\":200,\"responseHeaders\":{},\"responseBase64\":true,\"output\":\"YWI=\"}");
    check(task, &failed,
          "{\"x\":3,\"responseHeaders\":5,\"responseBase64\":6,\"responseZipped\":7,\"s3Url\":8," VERSION
          ",\"statusCode\":500,\"output\":\"Agent Side Error: x \\\"y\\\"\"}");
    check(task, &zipped,
          "{\"output\":1,\"x\":3,\"responseBase64\":6,\"s3Url\":8,\"outpu\\u0074\":9," VERSION
          ",\"statusCode\":200,\"responseHeaders\":{},\"responseZipped\":true}");
    check(task, &added,
          "{\"output\":1,\"x\":3,\"statusCode\":4,\"responseHeaders\":5,\"responseBase64\":6,"
          "\"responseZipped\":7,"
          "\"outpu\\u0074\":9," VERSION ",\"s3Url\":\"http://s/\"}");
}

static pair_t pair(const char *name, const char *value) {
    pair_t result = {.name = strdup(name), .value = strdup(value)};

    result.name_len = strlen(name);
    result.value_len = strlen(value);
    return result;
}

static void joins_repeated_headers(void **state) {
    pair_t headers[] = {pair("Set-Cookie", "a=1"), pair("X", ""), pair("set-cookie", "b=2; x"),
                        pair("Y", "\xc3\xa9\t\"\x7f"), pair("SET-COOKIE", "c")};
    const result_parts_t parts = {.status_code = 200, .headers = headers, .header_count = 5};

    (void)state;
    check("{}", &parts,
          "{" VERSION ",\"statusCode\":200,\"responseHeaders\":{\"Set-Cookie\":\"a=1, b=2; x, c\",\"X\":\"\","
          "\"Y\":\"\xc3\xa9\\t\\\"\x7f\"}}");
    for (size_t i = 0; i < 5; i++) {
        free(headers[i].name);
        free(headers[i].value);
    }
}

static void refuses_what_is_no_object(void **state) {
    static const char *const bad[] = {"", "[]", "{", "{\"a\":1}x", "{\"a\" 1}", "null"};
    const result_parts_t parts = {.status_code = 200};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        text_t out = {0};
        text_add_str(&out, "before");
        assert_int_equal(result_json_write(bad[i], strlen(bad[i]), &parts, &out), ERR_MALFORMED);
        assert_string_equal(out.ptr, "before");
        text_clear(&out);
    }
}

static void keeps_a_megabyte_and_great_depth(void **state) {
    size_t size = 1 << 20, depth = 100000;
    char *task = malloc(size + 2 * depth + 64), *at = task;
    const result_parts_t parts = {.status_code = 200};
    text_t out = {0};

    (void)state;
    at = stpcpy(at, "{\"a\":\"");
    memset(at, 'x', size);
    at = stpcpy(at + size, "\",\"b\":");
    memset(at, '[', depth);
    memset(at + depth, ']', depth);
    at = stpcpy(at + 2 * depth, "}");
    assert_int_equal(result_json_write(task, (size_t)(at - task), &parts, &out), 0);
    assert_memory_equal(out.ptr, task, (size_t)(at - task) - 1);
    text_clear(&out);
    free(task);
}

static void writes_json_strings(void **state) {
    static const char octets[] =
        "a\"\\\b\f\n\r\t\x01\x00/\xc3\xa9\xff\xed\xa0\x80\xc0\x80\xf0\x9f\x98\x80\xe2\x82";
    text_t out = {0};

    (void)state;
    text_add_json(&out, octets, sizeof octets - 1);
    assert_string_equal(out.ptr, "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u0000/\xc3\xa9" BAD BAD BAD BAD BAD BAD
                                 "\xf0\x9f\x98\x80" BAD BAD "\"");
    text_clear(&out);
}

static void writes_base64(void **state) {
    static const char *const table[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xfe\xfd", "//79"}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        text_t out = {0};
        text_add_base64(&out, table[i][0], strlen(table[i][0]));
        assert_string_equal(out.ptr, table[i][1]);
        text_clear(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_members_byte_for_byte),
        cmocka_unit_test(replaces_what_it_sets),
        cmocka_unit_test(joins_repeated_headers),
        cmocka_unit_test(refuses_what_is_no_object),
        cmocka_unit_test(keeps_a_megabyte_and_great_depth),
        cmocka_unit_test(writes_json_strings),
        cmocka_unit_test(writes_base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
