/* The page of `sluice status`: what it shows, and that nothing a broker sends can harm it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/status_page.h"
#include "cli/status_render.h"
#include "common/err.h"

static const char full[] =
    "{\"version\":\"2.0.0\",\"agent_id\":\"1_a\",\"pid\":7,\"started_ms\":1000,\"now_ms\":8001000,"
    "\"ac\":{\"state\":\"failing\",\"last_ok_ms\":7999000,\"last_error\":\"put-result: "
    "503\",\"last_error_ms\":1},"
    "\"gate\":{\"max\":2,\"waiting_for\":\"a result\",\"closed\":false,\"paused_until_ms\":8013000,"
    "\"rate_limit\":250,\"rate_used\":17,\"fetch_room\":4,\"credits\":[{\"id\":1,\"kind\":\"upload\","
    "\"holder\":\"uploader\",\"budget\":20,\"used\":3,\"age_ms\":1500,\"expires_in_ms\":3000}]},"
    "\"fetch\":{\"paused\":true,\"reason\":\"80 of 100 results\"},"
    "\"tasks\":{\"ready\":1,\"running\":2,\"limit\":100,\"lookahead\":10},"
    "\"results\":{\"waiting\":80,\"uploading\":1,\"given_up\":3,\"limit\":100,\"threshold\":80},\"buried\":2,"
    "\"spool\":{\"bytes\":3100000,\"limit\":10000000000,\"streams\":2,\"waiting\":1,\"first_waiting\":77,"
    "\"first_waiting_bytes\":4000000,\"waits_for\":\"the spool of large bodies is full\"},"
    "\"oldest\":{\"task\":\"t-1\",\"state\":\"DONE\",\"age_ms\":61000,\"tries\":1,\"reason\":\"AC: 503\"},"
    "\"workers\":[{\"name\":\"executor-1\",\"role\":\"executor\",\"pid\":9,\"slots\":10,\"tasks\":2,"
    "\"heard_ms\":300}],\"counters\":{\"fetched\":1234567,\"expired\":0},"
    "\"journal\":{\"path\":\"/s/journal\",\"bytes\":2500000,\"ok\":true,\"error\":\"\"},"
    "\"config\":{\"generation\":1,\"verify\":true}}";

/* The page as new memory, NULL when it is refused. */
static char *render(const char *json, unsigned width) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    int err = status_render(json, strlen(json), width, false, out);
    assert_int_equal(fclose(out), 0);
    if (err == 0) return text;
    assert_int_equal(err, ERR_MALFORMED);
    assert_int_equal(size, 0);
    free(text);
    return NULL;
}

static void test_shows_all(void **state) {
    (void)state;
    static const char *const parts[] = {"up 2 h 13 min",
                                        "failing, last good answer 2.0 s ago",
                                        "put-result: 503",
                                        "waits for a result",
                                        "another 12 s",
                                        "17 of 250 requests",
                                        "room to fetch 4",
                                        "1 of 2 held",
                                        "3 of 20",
                                        "ends in 3.0 s",
                                        "80 of 100 results",
                                        "ready 1   running 2",
                                        "waiting 80",
                                        "given up for now 3",
                                        "1 try: AC: 503",
                                        "t-1",
                                        "executor-1",
                                        "0.3 s ago",
                                        "fetched 1,234,567",
                                        "2.5 MB, /s/journal",
                                        "Buried     2",
                                        "verify yes",
                                        "Spool      3.1 MB of 10.0 GB, coming in 2",
                                        "           1 waiting for room, first number 77, 4.0 MB"};
    char *page = render(full, 80);
    assert_non_null(page);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(page, parts[i]) == NULL) fail_msg("\"%s\" is missing in:\n%s", parts[i], page);
    assert_null(strstr(page, "expired")); /* counters of zero are left out */
    free(page);
}

/* Fetching that is on brings nothing without a fetcher. */
static void test_fetching_on(void **state) {
    (void)state;
#define ON(workers)  "{\"fetch\":{\"paused\":false},\"workers\":[" workers "]}"
#define WORKER(role) "{\"role\":\"" role "\",\"heard_ms\":9}"
    static const struct {
        const char *json, *line;
    } table[] = {
        {ON(WORKER("fetcher")), "Fetching   on\n"},
        {"{\"fetch\":{\"paused\":false}}", "Fetching   on\n"},
        {ON(""), "Fetching   on, but no fetcher is connected\n"},
        {ON(WORKER("executor") "," WORKER("uploader")), "on, but no fetcher is connected\n"},
        {ON("{\"role\":\"fetcher\",\"heard_ms\":4000}"), "on, but nothing is heard from the fetcher\n"},
        {"{\"fetch\":{\"paused\":true,\"reason\":\"the broker is ending\"},\"workers\":[]}",
         "Fetching   paused: the broker is ending"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *page = render(table[i].json, 80);
        assert_non_null(page);
        if (strstr(page, table[i].line) == NULL) fail_msg("\"%s\" is missing in:\n%s", table[i].line, page);
        free(page);
    }
}

static void test_fits_the_window(void **state) {
    (void)state;
    char *page = render(full, 80);
    assert_non_null(page);
    for (const char *line = page; *line != '\0'; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 80) fail_msg("too wide: %.*s", (int)strcspn(line, "\n"), line);
    free(page);
}

/* The largest figures that there can be are cut nowhere, and make no line too wide. */
static void test_wide_figures(void **state) {
    (void)state;
    static const char json[] =
        "{\"gate\":{\"max\":2,\"credits\":[{\"kind\":\"upload\",\"holder\":\"uploader-12\",\"budget\":65535,"
        "\"used\":65534,\"age_ms\":86399000,\"expires_in_ms\":3900},{\"kind\":\"fetch\",\"holder\":"
        "\"fetcher\","
        "\"budget\":120,\"used\":111,\"age_ms\":1500,\"expires_in_ms\":3000}]},"
        "\"oldest\":{\"task\":\"0f8fad5b-d9cb-469f-a165-70867728950e\",\"state\":\"uploading\",\"age_ms\":"
        "86399000},"
        "\"workers\":[{\"name\":\"executor-12@some-host-1\",\"role\":\"executor\",\"pid\":4194304,\"slots\":"
        "1000,"
        "\"tasks\":1000,\"heard_ms\":119000}]}";
    static const char *const parts[] = {
        "upload  uploader-12   65534 of 65535  held 23 h 59 min, ends in 3.9 s\n",
        "fetch   fetcher       111 of 120      held 1.5 s, ends in 3.0 s\n",
        "0f8fad5b-d9cb-469f-a165-70867728950e  uploading  taken 23 h 59 min"};
    char *page = render(json, 80);
    assert_non_null(page);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(page, parts[i]) == NULL) fail_msg("\"%s\" is missing in:\n%s", parts[i], page);
    for (const char *line = page; *line != '\0'; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 80) fail_msg("too wide: %.*s", (int)strcspn(line, "\n"), line);
    free(page);
}

/* Every cut and every changed byte of a good answer, and some that are odd on purpose. */
static void test_nothing_harms_it(void **state) {
    (void)state;
    size_t len = strlen(full);
    char *text = malloc(len + 1);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        memcpy(text, full, len + 1);
        text[i] = '\0';
        free(render(text, 80));
        static const char bytes[] = {'0', '"', '[', '}', ',', '\x1b', '\xff'};
        for (size_t j = 0; j < sizeof bytes; j++) {
            memcpy(text, full, len + 1);
            text[i] = bytes[j];
            char *page = render(text, 80);
            if (page != NULL) assert_null(strchr(page, '\x1b'));
            free(page);
        }
    }
    free(text);
    static const char *const odd[] = {
        "{}",
        "{\"now_ms\":-9223372036854775808,\"started_ms\":9223372036854775807}",
        "{\"ac\":[],\"gate\":7,\"fetch\":\"\",\"tasks\":null,\"workers\":[1,null,{\"name\":3}],\"counters\":["
        "]}",
        "{\"gate\":{\"credits\":[{},[],0]},\"oldest\":{\"age_ms\":9223372036854775807,\"tries\":1e400}}",
        "{\"counters\":{\"\":\"\",\"x\":123456789012345678901234567890}}",
        "{\"ac\":{\"state\":\"\\u001b[2J\\u009b\",\"last_error\":\"a\\nb\"}}"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char *page = render(odd[i], 40);
        assert_non_null(page);
        assert_null(strchr(page, '\x1b'));
        assert_null(strstr(page, "\xc2\x9b"));
        free(page);
    }
}

static void test_refuses_what_is_no_object(void **state) {
    (void)state;
    static const char *const bad[] = {"", "[]", "7", "null", "{", "nonsense", "\"text\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(render(bad[i], 80));
    size_t depth = 2000000; /* freeing such a tree would use up the stack */
    char *deep = calloc(1, 2 * depth + 1);
    assert_non_null(deep);
    memset(deep, '[', depth);
    memset(deep + depth, ']', depth);
    assert_null(render(deep, 80));
    free(deep);
}

static void test_figures(void **state) {
    (void)state;
    char buf[PAGE_SHORT_MAX];
    assert_string_equal(page_number(0, buf), "0");
    assert_string_equal(page_number(999, buf), "999");
    assert_string_equal(page_number(-1234567, buf), "-1,234,567");
    assert_string_equal(page_number(INT64_MIN, buf), "-9,223,372,036,854,775,808");
    assert_string_equal(page_duration(0, buf), "0.0 s");
    assert_string_equal(page_duration(-5, buf), "0 s");
    assert_string_equal(page_duration(9999, buf), "9.9 s");
    assert_string_equal(page_duration(119999, buf), "119 s");
    assert_string_equal(page_duration(120000, buf), "2 min");
    assert_string_equal(page_duration(90061000, buf), "1 d 1 h");
    assert_string_equal(page_bytes(999, buf), "999 B");
    assert_string_equal(page_bytes(1000, buf), "1.0 kB");
    assert_string_equal(page_bytes(999999, buf), "1.0 MB");
    assert_string_equal(page_bytes(INT64_MAX, buf), "9.2 EB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shows_all),        cmocka_unit_test(test_fetching_on),
        cmocka_unit_test(test_fits_the_window),  cmocka_unit_test(test_wide_figures),
        cmocka_unit_test(test_nothing_harms_it), cmocka_unit_test(test_refuses_what_is_no_object),
        cmocka_unit_test(test_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
