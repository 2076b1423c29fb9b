/* Cookies over redirects (AC contract section 3): which are kept, where they go, and in what order. The
 * expected texts are those the old agent's library sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "executor/cookies.h"

#define NOW 1700000000

typedef struct {
    const char *from, *path; /* who sets it */
    const char *value;
    const char *to, *target; /* who gets it */
    const char *sent;
} row_t;

static void take(cookies_t *cookies, const char *host, const char *target, const char *value) {
    cookie_place_t place = {host, target, false};

    assert_int_equal(cookies_take(cookies, &place, value, NOW), 0);
}

static void sends_at(const cookies_t *cookies, const char *host, const char *target, bool https,
                     int64_t now_s, const char *sent) {
    cookie_place_t place = {host, target, https};
    text_t text = {0};

    assert_int_equal(cookies_write(cookies, &place, now_s, &text), 0);
    assert_string_equal(text.ptr ? text.ptr : "", sent);
    text_clear(&text);
}

static void sends(const cookies_t *cookies, const char *host, const char *target, const char *sent) {
    sends_at(cookies, host, target, false, NOW, sent);
}

static void goes_where_it_is_for(void **state) {
    static const row_t table[] = {
        {"h", "/a/b?c", "n=v", "h", "/a/x", "n=v"},
        {"h", "/a/b", "n=v", "h", "/a", "n=v"},
        {"h", "/a/b", "n=v", "h", "/ab", ""},
        {"h", "/a/b", "n=v", "h", "/", ""},
        {"h", "/a", "n=v", "h", "/x?y", "n=v"},
        {"h", "/a", "n=v; Path=/x/", "h", "/x/y", "n=v"},
        {"h", "/a", "n=v; Path=/x/", "h", "/x", ""},
        {"h", "/a", "n=v; Path=", "h", "/", "n=v"},
        {"h", "/a", "n=v; Path=/\xc3\xa9 x", "h", "/%C3%A9%20x", "n=v"},
        {"h", "/a", "n=v; Path=x", "h", "/x", ""},
        {"h", "/a", "n=v; Path=/x; PATH=/y", "h", "/x", "n=v"},
        {"h:81", "/", "n=v", "H:82", "/", "n=v"},
        {"h", "/", "n=v", "g", "/", ""},
        {"h", "/", "n=v", "x.h", "/", ""},
        {"h.example", "/", "n=v", "x.h.example", "/", "n=v"},
        {"x.h.example", "/", "n=v; Domain=h.example", "y.h.example", "/", "n=v"},
        {"x.h.example", "/", "n=v; Domain=.H.example", "h.example", "/", "n=v"},
        {"x.h.example", "/", "n=v; Domain=h.example", "yh.example", "/", ""},
        {"x.h.example", "/", "n=v; Domain=example", "x.h.example", "/", ""},
        {"x.h.example", "/", "n=v; Domain=y.h.example", "y.h.example", "/", ""},
        {"x.h.example", "/", "n=v; Domain", "x.h.example", "/", ""},
        {"x.h.example", "/", "n=v; Domain=", "x.h.example", "/", ""},
        {"127.0.0.1", "/", "n=v; Domain=127.0.0.1", "127.0.0.1", "/", "n=v"},
        {"[::1]:80", "/", "n=v", "[::1]", "/", "n=v"},
        {"h", "/", "n=v; Secure", "h", "/", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        cookies_t cookies = {0};
        take(&cookies, table[i].from, table[i].path, table[i].value);
        sends(&cookies, table[i].to, table[i].target, table[i].sent);
        cookies_clear(&cookies);
    }
}

static void reads_values(void **state) {
    static const char *const table[][2] = {
        {"n=v", "n=v"},
        {" n = v w ; x", "n=v w"},
        {"n=", "n="},
        {"n", "n"},
        {"n=a=b", "n=a=b"},
        {"n=\"a;b\"", "n=\"a"},
        {"n=\"a\\\"b\"", "n=\"ab\""},
        {"n=a,b", "n=a,b"},
        {"=v", ""},
        {"", ""},
        {";n=v", ""},
        {"n=a\rX: y", ""},
        {"n=v; Max-Age=10", "n=v"},
        {"n=v; Max-Age=0", ""},
        {"n=v; Max-Age=-5", ""},
        {"n=v; Max-Age=soon", ""},
        {"n=v; Max-Age", ""},
        {"n=v; Max-Age=99999999999999999999999", "n=v"},
        {"n=v; Max-Age=9223372036854775807", "n=v"},
        {"n=v; Expires=Wed, 09 Jun 2021 10:18:14 GMT", ""},
        {"n=v; Expires=Wed, 09 Jun 2021 10:18:14 GMT; Max-Age=5", "n=v"},
        {"n=v; Max-Age=0; Expires=Wed, 09 Jun 2101 10:18:14 GMT", ""},
        {"n=v; Expires=\"Wed, 09 Jun 2101 10:18:14 GMT\"", "n=v"},
        {"n=v; Expires=some day", "n=v"},
        {"n=v; Expires", "n=v"},
        {"n=v; HttpOnly; SameSite=Strict;;=x", "n=v"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        cookies_t cookies = {0};
        take(&cookies, "h", "/", table[i][0]);
        sends(&cookies, "h", "/", table[i][1]);
        cookies_clear(&cookies);
    }
}

static void keeps_the_order(void **state) {
    cookies_t cookies = {0};

    (void)state;
    take(&cookies, "h", "/", "a=1");
    take(&cookies, "h", "/", "deep=1; Path=/x");
    take(&cookies, "h", "/", "other=1; Path=/");
    take(&cookies, "h", "/", "deepest=1; Path=/x/y");
    take(&cookies, "h", "/", "a=2");
    take(&cookies, "h", "/", "a=3; Path=/x");
    sends(&cookies, "h", "/x/y/z", "deepest=1; deep=1; a=3; a=2; other=1");
    take(&cookies, "h", "/", "deep=; Path=/x; Max-Age=0");
    sends(&cookies, "h", "/x/y/z", "deepest=1; a=3; a=2; other=1");
    cookies_clear(&cookies);
}

static void sends_secure_ones_by_https_and_none_too_late(void **state) {
    cookies_t cookies = {0};

    (void)state;
    take(&cookies, "h", "/", "a=1; Secure");
    take(&cookies, "h", "/", "b=2; Max-Age=10");
    sends_at(&cookies, "h", "/", true, NOW, "a=1; b=2");
    sends_at(&cookies, "h", "/", true, NOW + 9, "a=1; b=2");
    sends_at(&cookies, "h", "/", true, NOW + 10, "a=1");
    sends_at(&cookies, "h", "/", false, NOW + 10, "");
    cookies_clear(&cookies);
}

static void has_a_bound(void **state) {
    cookies_t cookies = {0};
    char value[32];

    (void)state;
    for (int i = 0; i < COOKIES_MAX + 10; i++) {
        (void)snprintf(value, sizeof value, "n%d=v", i);
        take(&cookies, "h", "/", value);
    }
    assert_int_equal(cookies.count, COOKIES_MAX);
    take(&cookies, "h", "/", "n0=new");
    assert_int_equal(cookies.count, COOKIES_MAX);
    cookies_clear(&cookies);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_where_it_is_for),
        cmocka_unit_test(reads_values),
        cmocka_unit_test(keeps_the_order),
        cmocka_unit_test(sends_secure_ones_by_https_and_none_too_late),
        cmocka_unit_test(has_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
