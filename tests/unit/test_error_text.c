/* The words in which RESULT tells why a request could not be done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "executor/error_text.h"

static void test_short(void **state) {
    static const struct {
        const char *text, *why;
    } table[] = {{"Agent Side Error: Error: out of memory", "out of memory"},
                 {"Agent Side Error: Network error: h:80: connecting: refused",
                  "Network error: h:80: connecting: refused"},
                 {"something else", "something else"},
                 {"Agent Side Error: Error: ", ""},
                 {"", ""}};
    char why[MSG_WHY_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        error_text_short(table[i].text, why);
        assert_string_equal(why, table[i].why);
    }
}

#define HOST57  "internal-jira-prod-0123456789.us-east-1.elb.amazonaws.com"
#define LABEL   "a.very.long.label.of.a.name." /* 28 octets */
#define HOST143 LABEL LABEL LABEL LABEL LABEL "com"

/* What happened stands in front and whole, however long the host is, and the host once. */
static void test_long_hosts(void **state) {
    static const struct {
        const char *text, *why;
    } table[] = {
        {"Agent Side Error: Network error: " HOST57
         ":8443: looking up the name: Could not resolve host: " HOST57,
         "Network error: looking up the name: Could not resolve host: " HOST57},
        {"Agent Side Error: Network error: " HOST143
         ":8443: looking up the name: Could not resolve host: " HOST143,
         "Network error: looking up the name: Could not resolve host: "
         "a.very.long.label.of.a.name.a.very.long.label.of....label.of.a.name.a.very.long.label.of.a.name."
         "com"},
        {"Agent Side Error: Network error: " HOST143 ":8443: TLS handshake: "
         "error:0A000086:SSL routines::certificate verify failed",
         "Network error: TLS handshake: error:0A000086:SSL routines::certificate verify failed "
         "(a.very.long.label.of.a.name.a.very.....very.long.label.of.a.name.com:8443)"},
        {"Agent Side Error: Error: " LABEL HOST143 ":80: the redirect leads nowhere",
         "the redirect leads nowhere (" LABEL LABEL "a.very.l...e." LABEL LABEL "com:80)"},
    };
    char why[MSG_WHY_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        error_text_short(table[i].text, why);
        assert_string_equal(why, table[i].why);
        assert_true(strlen(why) <= MSG_WHY_MAX);
    }
}

/* Of each length, with characters of two octets at all places: the bound holds, the ends are there, and no
 * character is cut. */
static void test_long(void **state) {
    char text[ERROR_TEXT_MAX], why[MSG_WHY_MAX + 1];

    (void)state;
    for (size_t shift = 0; shift < 2; shift++) {
        for (size_t len = 100; len < 500; len++) {
            size_t at = (size_t)snprintf(text, sizeof text, "%sbegin", shift ? "x" : "");
            while (at < len)
                at += (size_t)snprintf(text + at, sizeof text - at, "\xc3\xa9");
            (void)snprintf(text + at, sizeof text - at, "end");
            memset(why, 'X', sizeof why);
            error_text_short(text, why);
            assert_true(strlen(why) <= MSG_WHY_MAX);
            assert_true(strlen(text) > MSG_WHY_MAX || strcmp(why, text) == 0);
            assert_true(strlen(text) <= MSG_WHY_MAX || strlen(why) > MSG_WHY_MAX - 4);
            assert_memory_equal(why, text, 6);
            assert_string_equal(why + strlen(why) - 3, "end");
            for (const char *c = why; *c != '\0'; c++) {
                if (*c == '\xc3')
                    assert_int_equal(*++c, '\xa9');
                else
                    assert_true((unsigned char)*c < 0x80);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_long_hosts),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
