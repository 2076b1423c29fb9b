/* Which proxy is chosen, and which requests go by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/proxy.h"

static const char *const variables[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                        "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};

static void clear_environment(void) {
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        (void)unsetenv(variables[i]);
}

static void test_given(void **state) {
    (void)state;
    static const struct {
        const char *given, *url, *where;
    } table[] = {
        {"http://proxy.example:3128", "http://proxy.example:3128/", "proxy.example:3128"},
        {"http://proxy.example", "http://proxy.example:80/", "proxy.example:80"},
        {"https://proxy.example", "https://proxy.example:443/", "proxy.example:443"},
        {"proxy.example:3128", "http://proxy.example:3128/", "proxy.example:3128"},
        {"proxy.example", "http://proxy.example:80/", "proxy.example:80"},
        {"http://user:p%40ss@proxy.example:1/", "http://user:p%40ss@proxy.example:1/", "proxy.example:1"},
        {"socks5h://proxy.example", "socks5h://proxy.example:1080/", "proxy.example:1080"},
        {"http://[::1]:3128", "http://[::1]:3128/", "[::1]:3128"},
    };
    clear_environment();
    (void)setenv("no_proxy", "*", 1);
    (void)setenv("http_proxy", "http://other.example", 1);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        proxy_t proxy;
        const char *why;
        assert_int_equal(proxy_choose(&proxy, table[i].given, false, &why), 0);
        assert_string_equal(proxy.url, table[i].url);
        assert_string_equal(proxy.where, table[i].where);
        assert_true(proxy_used(&proxy, "tool.example", 80)); /* whatever no_proxy says */
        proxy_clear(&proxy);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const char *const table[] = {"ftp://user:secret@proxy.example", "http://user:secret@",
                                        "http://a:99999", "http://a b", "foo://x"};
    clear_environment();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        proxy_t proxy;
        const char *why;
        assert_int_equal(proxy_choose(&proxy, table[i], false, &why), ERR_INVALID);
        assert_null(strstr(why, "secret"));
        proxy_clear(&proxy);
        (void)setenv("https_proxy", table[i], 1);
        assert_int_equal(proxy_choose(&proxy, "", true, &why), ERR_INVALID);
        assert_non_null(strstr(why, "https_proxy in the environment"));
        proxy_clear(&proxy);
    }
}

/* The variables that are set, and what is then chosen for either scheme. */
static void test_environment(void **state) {
    (void)state;
    static const struct {
        const char *name[2], *value[2], *http, *https;
    } table[] = {
        {{NULL, NULL}, {NULL, NULL}, "", ""},
        {{"http_proxy", NULL}, {"a:1", NULL}, "a:1", ""},
        {{"HTTP_PROXY", NULL}, {"a:1", NULL}, "a:1", ""},
        {{"https_proxy", NULL}, {"a:1", NULL}, "", "a:1"},
        {{"HTTPS_PROXY", NULL}, {"a:1", NULL}, "", "a:1"},
        {{"https_proxy", "HTTPS_PROXY"}, {"a:1", "b:2"}, "", "a:1"},
        {{"all_proxy", NULL}, {"a:1", NULL}, "a:1", "a:1"},
        {{"ALL_PROXY", "http_proxy"}, {"a:1", "b:2"}, "b:2", "a:1"},
        {{"http_proxy", "HTTP_PROXY"}, {"", "b:2"}, "", ""}, /* empty, and there: none */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        proxy_t proxy;
        const char *why;
        clear_environment();
        for (int k = 0; k < 2 && table[i].name[k]; k++)
            (void)setenv(table[i].name[k], table[i].value[k], 1);
        assert_int_equal(proxy_choose(&proxy, "", false, &why), 0);
        assert_string_equal(proxy.where, table[i].http);
        proxy_clear(&proxy);
        assert_int_equal(proxy_choose(&proxy, "", true, &why), 0);
        assert_string_equal(proxy.where, table[i].https);
        proxy_clear(&proxy);
    }
}

static void test_no_proxy(void **state) {
    (void)state;
    static const struct {
        const char *no_proxy, *host;
        unsigned port;
        bool used;
    } table[] = {
        {"", "tool.example", 80, true},
        {"*", "tool.example", 80, false},
        {"other.example, tool.example", "tool.example", 80, false},
        {"other.example tool.example", "tool.example", 80, false},
        {",,tool.example,", "tool.example", 80, false},
        {"TOOL.example", "tool.EXAMPLE", 80, false},
        {"example", "tool.example", 80, false},
        {".example", "tool.example", 80, false},
        {".tool.example", "tool.example", 80, false},
        {"ample", "tool.example", 80, true},
        {"tool.example", "example", 80, true},
        {"a.tool.example", "tool.example", 80, true},
        {"tool.example:8080", "tool.example", 8080, false},
        {"tool.example:8080", "tool.example", 80, true},
        {"example:8080", "tool.example", 8080, false},
        {"10.1.2.3", "10.1.2.3", 80, false},
        {"10.1.2.3", "110.1.2.3", 80, true},
        {"2.3", "10.1.2.3", 80, true},
        {"10.0.0.0/8", "10.1.2.3", 80, false},
        {"10.0.0.0/8", "11.1.2.3", 80, true},
        {"10.1.2.0/25", "10.1.2.127", 80, false},
        {"10.1.2.0/25", "10.1.2.128", 80, true},
        {"0.0.0.0/0", "10.1.2.128", 80, false},
        {"10.1.2.0/33", "10.1.2.0", 80, true},
        {"10.1.2.0/", "10.1.2.0", 80, true},
        {"10.0.0.0/8", "tool.example", 80, true},
        {"::1", "[::1]", 80, false},
        {"::1", "::1", 80, false},
        {"[::1]:8080", "[::1]", 8080, false},
        {"::2", "[::1]", 80, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        proxy_t proxy;
        const char *why;
        clear_environment();
        (void)setenv("HTTP_PROXY", "http://proxy.example:3128", 1);
        (void)setenv(i % 2 ? "no_proxy" : "NO_PROXY", table[i].no_proxy, 1);
        assert_int_equal(proxy_choose(&proxy, "", false, &why), 0);
        if (proxy_used(&proxy, table[i].host, table[i].port) != table[i].used)
            fail_msg("\"%s\" for %s:%u", table[i].no_proxy, table[i].host, table[i].port);
        proxy_clear(&proxy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_given), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_environment), cmocka_unit_test(test_no_proxy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
