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
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
