/* The request to a tool: URL quoting, headers, redirects (AC contract section 3). The expected octets are
 * those the old agent's library sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "executor/request.h"

static void quotes_urls(void **state) {
    static const char *const table[][2] = {
        {"http://h", "http://h/"},
        {"  HTTP://H:80/x", "http://h/x"},
        {"https://h:443?", "https://h/"},
        {"http://h:8080/a b", "http://h:8080/a%20b"},
        {"http://h:0/", "http://h/"},
        {"http://h/\xc3\xa9?\xc3\xa9=|[]#f", "http://h/%C3%A9?%C3%A9=%7C%5B%5D"},
        {"http://h/a[b]", "http://h/a%5Bb%5D"},
        {"http://h/%41%7e%2f%e9", "http://h/A~%2F%E9"},
        {"http://h/%41%zz?%41", "http://h/%2541%25zz?A"},
        {"http://h/a%?%", "http://h/a%25?%25"},
        {"http://h/?a?b/c:d@e", "http://h/?a?b/c:d@e"},
        {"http://h/a/../b/./c/..", "http://h/b/"},
        {"http://h/../../a", "http://h/a"},
        {"http://h//x//y", "http://h//x//y"},
        {"http://h/%2e%2e/x", "http://h/../x"},
        {"http://h/;a=1,2!$&'()*+", "http://h/;a=1,2!$&'()*+"},
        {"http://h/\"<>\\^`{|}", "http://h/%22%3C%3E%5C%5E%60%7B%7C%7D"},
        {"http://h/\t\x7f", "http://h/%09%7F"},
        {"http://h\\x", "http://h/%5Cx"},
        {"http://[::1]:81/", "http://[::1]:81/"},
        {"http://u:p@h/", "http://h/"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        url_t url;
        char why[URL_WHY_MAX], *text;
        assert_int_equal(url_read(table[i][0], false, &url, why), 0);
        text = url_text(&url);
        assert_string_equal(text, table[i][1]);
        free(text);
        url_clear(&url);
    }
}

static void writes_authorities(void **state) {
    static const char *const table[][2] = {
        {"http://u:p@H/x", "h"},          {"https://h:443/", "h"},
        {"https://h:80/", "h:80"},        {"http://127.1/", "127.1"},
        {"http://[::1]:81/", "[::1]:81"}, {"http://[fe80::1%25eth0]:81/", "[fe80::1]:81"}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        url_t url;
        char why[URL_WHY_MAX], *text;
        assert_int_equal(url_read(table[i][0], false, &url, why), 0);
        text = url_authority(&url);
        assert_string_equal(text, table[i][1]);
        free(text);
        url_clear(&url);
    }
}

static void refuses_urls(void **state) {
    static const char *const table[] = {"",
                                        "h/x",
                                        "ftp://h/",
                                        "httpx://h/",
                                        "http:/h",
                                        "http:h",
                                        "http://",
                                        "http:///x",
                                        "http://u@/",
                                        "http://h:99999/",
                                        "http://h:a",
                                        "http://*.h/",
                                        "http://.h/",
                                        "http://a b/",
                                        "http://[::1/",
                                        "http://]/",
                                        "http://[::1]a",
                                        "javascript:1",
                                        "http://169%2e254.1.1/",
                                        "http://a,b/",
                                        "http://a;b/",
                                        "http://a*b/",
                                        "http://b\xc3\xbc.example/"};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        url_t url;
        char why[URL_WHY_MAX];
        assert_int_equal(url_read(table[i], false, &url, why), ERR_INVALID);
        assert_true(why[0] != '\0');
    }
}

static void resolves_locations(void **state) {
    static const char *const table[][2] = {
        {"rel?a=b c", "http://h:81/a/rel?a=b%20c"},
        {"../up/../x", "http://h:81/x"},
        {"?q=1", "http://h:81/a/b?q=1"},
        {"#frag", "http://h:81/a/b?c"},
        {"//n/net", "http://n/net"},
        {"/\xc3\xa9?\xc3\xa9=|[]", "http://h:81/%C3%A9?%C3%A9=%7C%5B%5D"},
        {"HTTPS://O:443/UP", "https://o/UP"},
        {"/x#frag", "http://h:81/x"},
        {"http://o", "http://o/"},
        {"http://o/p/../q?a b#f", "http://o/p/../q?a%20b"},
    };
    url_t base;
    char why[URL_WHY_MAX];

    (void)state;
    assert_int_equal(url_read("http://u:p@h:81/a/b?c", false, &base, why), 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        url_t url;
        char *text;
        assert_int_equal(url_resolve(&base, table[i][0], &url, why), 0);
        text = url_text(&url);
        assert_string_equal(text, table[i][1]);
        free(text);
        url_clear(&url);
    }
    url_clear(&base);
}

static void keeps_authorization_on_the_same_host(void **state) {
    static const struct {
        const char *from, *to;
        bool keeps;
    } table[] = {{"http://h/a", "http://h/b", true},       {"http://h/", "https://h/", true},
                 {"http://h:80/", "https://h:443/", true}, {"https://h/", "http://h/", false},
                 {"http://h/", "https://h:8443/", false},  {"http://h/", "http://h:81/", false},
                 {"http://h/", "http://g/", false},        {"http://H/", "http://h:80/", true}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        url_t from, to;
        char why[URL_WHY_MAX];
        assert_int_equal(url_read(table[i].from, false, &from, why), 0);
        assert_int_equal(url_read(table[i].to, true, &to, why), 0);
        assert_int_equal(url_keeps_authorization(&from, &to), table[i].keeps);
        url_clear(&from);
        url_clear(&to);
    }
}

/* A task, with the members in `more` (begun by a comma) behind url and method. */
static int build(request_t *request, task_t_json *task, const char *method, const char *url, const char *more,
                 char why[REQUEST_WHY_MAX]) {
    static char json[4096]; /* a task's raw spans point into it */
    int err;

    (void)snprintf(json, sizeof json, "{\"taskId\":\"t\",\"method\":\"%s\",\"url\":\"%s\"%s}", method, url,
                   more);
    err = task_json_read(json, strlen(json), task, why);
    assert_int_equal(err, 0);
    return request_from_task(request, task, why);
}

static void check_headers(const request_t *request, const char *want) {
    text_t text = {0};

    for (size_t i = 0; i < request->headers.count; i++) {
        text_add_str(&text, request->headers.items[i].name);
        text_add_str(&text, "=");
        text_add_str(&text, request->headers.items[i].value);
        text_add_str(&text, "|");
    }
    assert_string_equal(text.ptr, want);
    text_clear(&text);
}

#define DEFAULTS                                                                                             \
    "User-Agent=sluice/" SLUICE_VERSION "|Accept-Encoding=gzip, deflate|Accept=*/*|Connection=keep-alive|"

static void builds_headers(void **state) {
    static const struct {
        const char *url, *more, *headers;
    } table[] = {
        {"http://h/", "", DEFAULTS},
        {"http://h/", ",\"requestHeaders\":{\"accept\":\"q\",\"X\":\"\",\"x\":\"caf\\u00e9 \"}",
         "User-Agent=sluice/" SLUICE_VERSION
         "|Accept-Encoding=gzip, deflate|accept=q|Connection=keep-alive|x=caf\xe9 |"},
        {"http://h/", ",\"input\":{\"a\":1}", DEFAULTS "Content-Type=application/x-www-form-urlencoded|"},
        {"http://h/", ",\"input\":{\"a\":1},\"requestHeaders\":{\"content-type\":\"x/y\"}",
         DEFAULTS "content-type=x/y|"},
        {"http://h/cxrestapi/auth/identity/connect/token",
         ",\"input\":\"a\",\"requestHeaders\":{\"content-type\":\"x/y\"}",
         DEFAULTS "Content-Type=application/x-www-form-urlencoded|"},
        {"http://us%C3%A9r:p%20w@h/", ",\"requestHeaders\":{\"authorization\":\"B\"}",
         DEFAULTS "Authorization=Basic dXPpcjpwIHc=|"},
        {"http://user@h/", ",\"requestHeaders\":{\"authorization\":\"B\"}", DEFAULTS "authorization=B|"},
        {"http://h/",
         ",\"requestHeaders\":{\"Content-Length\":\"9\",\"Expect\":\"100-continue\",\"transfer-encoding\":"
         "\"chunked\"}",
         DEFAULTS},
        {"http://h/",
         ",\"requestHeaders\":{\"accept\":null,\"\":null,\"a b:\":null,\"accept-encoding\":null,\"x\":null,"
         "\"user-agent\":null}",
         "User-Agent=sluice/" SLUICE_VERSION "|Accept-Encoding=identity|Connection=keep-alive|"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        request_t request;
        task_t_json task;
        char why[REQUEST_WHY_MAX];
        assert_int_equal(build(&request, &task, "post", table[i].url, table[i].more, why), 0);
        check_headers(&request, table[i].headers);
        request_clear(&request);
        task_json_clear(&task);
    }
}

static void refuses_requests(void **state) {
    static const struct {
        const char *method, *url, *more;
    } table[] = {
        {"G T", "http://h/", ""},
        {"G\\u00e9", "http://h/", ""},
        {"GET", "ftp://h/", ""},
        {"GET", "http://h/", ",\"input\":5"},
        {"GET", "http://h/", ",\"requestHeaders\":{\"a\":\"b\\nc\"}"},
        {"GET", "http://h/", ",\"requestHeaders\":{\"a\":\"b\\r\\nc: d\"}"},
        {"GET", "http://h/", ",\"requestHeaders\":{\"a\":\" b\"}"},
        {"GET", "http://h/", ",\"requestHeaders\":{\"a\":\"\\u0000\"}"},
        {"GET", "http://h/", ",\"requestHeaders\":{\"a\":\"\\u65e5\"}"},
        {"GET", "http://h/", ",\"requestHeaders\":{\"\\u00e9\":\"b\"}"},
        {"GET", "http://h/", ",\"requestHeaders\":{\"a:\":\"b\"}"},
        {"GET", "http://h/", ",\"requestHeaders\":{\"a\\n\":\"b\"}"},
        {"GET", "http://h/", ",\"requestHeaders\":{\"\":\"b\"}"},
        {"GET", "http://\\u65e5:x@h/", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        request_t request;
        task_t_json task;
        char why[REQUEST_WHY_MAX];
        assert_int_equal(build(&request, &task, table[i].method, table[i].url, table[i].more, why),
                         ERR_INVALID);
        assert_true(why[0] != '\0');
        request_clear(&request);
        task_json_clear(&task);
    }
}

/* What is longer than libcurl takes. */
static void refuses_what_is_too_long(void **state) {
    static const char *const table[][3] = {
        {"{\"taskId\":\"t\",\"method\":\"GET\",\"url\":\"http://h/", "\"}", "the URL is too long"},
        {"{\"taskId\":\"t\",\"method\":\"GET\",\"url\":\"http://h/\",\"requestHeaders\":{\"a\":\"", "\"}}",
         "a header of the task is too long"},
    };
    static char filler[REQUEST_TEXT_MAX + 1];

    (void)state;
    memset(filler, 'x', REQUEST_TEXT_MAX);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        request_t request;
        task_t_json task;
        text_t json = {0};
        char why[REQUEST_WHY_MAX];
        text_add_str(&json, table[i][0]);
        text_add_str(&json, filler);
        text_add_str(&json, table[i][1]);
        assert_int_equal(task_json_read(json.ptr, json.len, &task, why), 0);
        assert_int_equal(request_from_task(&request, &task, why), ERR_INVALID);
        assert_int_equal(strncmp(why, table[i][2], strlen(table[i][2])), 0);
        request_clear(&request);
        task_json_clear(&task);
        text_clear(&json);
    }
}

static void redirects_change_the_request(void **state) {
    static const struct {
        const char *method;
        int status;
        const char *location, *new_method;
        bool body, send_length, authorization;
    } table[] = {
        {"POST", 301, "/n", "GET", false, false, true},
        {"PUT", 301, "/n", "PUT", false, true, true},
        {"DELETE", 301, "/n", "DELETE", false, false, true},
        {"HEAD", 302, "/n", "HEAD", false, false, true},
        {"PUT", 302, "/n", "GET", false, false, true},
        {"POST", 303, "//o/", "GET", false, false, false},
        {"PATCH", 303, "/n", "GET", false, false, true},
        {"POST", 307, "/n", "POST", true, true, true},
        {"PUT", 308, "http://h:82/", "PUT", true, true, false},
        {"GET", 302, "/n", "GET", false, false, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        request_t request;
        task_t_json task;
        char why[REQUEST_WHY_MAX];
        assert_int_equal(
            build(&request, &task, table[i].method, "http://h:81/a",
                  ",\"input\":\"b\",\"requestHeaders\":{\"Authorization\":\"A\",\"Content-Type\":\"x\","
                  "\"Cookie\":\"c\",\"X\":\"y\"}",
                  why),
            0);
        assert_int_equal(request_redirect(&request, table[i].status, table[i].location, why), 0);
        assert_string_equal(request.method, table[i].new_method);
        assert_int_equal(request.body != NULL, table[i].body);
        assert_int_equal(request.send_length, table[i].send_length);
        assert_int_equal(header_list_get(&request.headers, "authorization") != NULL, table[i].authorization);
        assert_int_equal(header_list_get(&request.headers, "content-type") != NULL, table[i].body);
        assert_null(header_list_get(&request.headers, "cookie"));
        assert_string_equal(header_list_get(&request.headers, "x"), "y");
        request_clear(&request);
        task_json_clear(&task);
    }
}

static void redirects_end(void **state) {
    request_t request;
    task_t_json task;
    char why[REQUEST_WHY_MAX];

    (void)state;
    assert_int_equal(build(&request, &task, "GET", "http://h/", "", why), 0);
    assert_int_equal(request_redirect(&request, 302, "ftp://h/", why), ERR_INVALID);
    assert_int_equal(request_redirect(&request, 302, "mailto:x", why), ERR_INVALID);
    for (int i = 0; i < REQUEST_REDIRECTS_MAX; i++)
        assert_int_equal(request_redirect(&request, 302, "/n", why), 0);
    assert_int_equal(request_redirect(&request, 302, "/n", why), ERR_TOO_LARGE);
    request_clear(&request);
    task_json_clear(&task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_urls),
        cmocka_unit_test(writes_authorities),
        cmocka_unit_test(refuses_urls),
        cmocka_unit_test(resolves_locations),
        cmocka_unit_test(keeps_authorization_on_the_same_host),
        cmocka_unit_test(builds_headers),
        cmocka_unit_test(refuses_requests),
        cmocka_unit_test(refuses_what_is_too_long),
        cmocka_unit_test(redirects_change_the_request),
        cmocka_unit_test(redirects_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
