/* What AC's answers mean, by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/ac_answer.h"

#define NOW_S 1700000000 /* Tue, 14 Nov 2023 22:13:20 GMT */

typedef struct {
    call_t call;
    long status;
    const char *rate, *after, *body;
    outcome_t outcome;
    int64_t retry_ms;
} case_t;

#define TOO_MANY "{\"error\": \"Too many concurrent requests\"}"

static const case_t cases[] = {
    {CALL_GET_TASK, 200, "", "", "{}", OUTCOME_DONE, -1},
    {CALL_GET_TASK, 204, "", "", "", OUTCOME_EMPTY, -1},
    {CALL_GET_TASK, 202, "", "", "", OUTCOME_MALFORMED, -1},
    {CALL_PUT_RESULT, 200, "", "", "", OUTCOME_DONE, -1},
    {CALL_PUT_RESULT, 201, "", "", "", OUTCOME_MALFORMED, -1},
    {CALL_PUT_RESULT, 204, "", "", "", OUTCOME_MALFORMED, -1},
    {CALL_UPLOAD_RESULT, 200, "", "", "", OUTCOME_DONE, -1},
    {CALL_UPLOAD_RESULT, 204, "", "", "", OUTCOME_DONE, -1},
    {CALL_UPLOAD_LOGS, 201, "", "", "", OUTCOME_DONE, -1},
    {CALL_UPLOAD_URL, 200, "", "", "", OUTCOME_DONE, -1},
    {CALL_UPLOAD_URL, 204, "", "", "", OUTCOME_MALFORMED, -1},
    {CALL_GET_TASK, 301, "", "", "", OUTCOME_REDIRECT, -1},
    {CALL_PUT_RESULT, 307, "", "5", "", OUTCOME_REDIRECT, -1},
    {CALL_PUT_RESULT, 400, "", "", "", OUTCOME_REFUSED, -1},
    {CALL_PUT_RESULT, 404, "", "", "", OUTCOME_REFUSED, -1},
    {CALL_PUT_RESULT, 413, "", "", "", OUTCOME_REFUSED, -1},
    {CALL_PUT_RESULT, 407, "", "", "", OUTCOME_DENIED, -1},
    {CALL_GET_TASK, 401, "", "", "", OUTCOME_DENIED, -1},
    {CALL_PUT_RESULT, 403, "", "", "", OUTCOME_DENIED, -1},
    {CALL_PUT_RESULT, 408, "", "", "", OUTCOME_SERVER, -1},
    {CALL_PUT_RESULT, 425, "", "", "", OUTCOME_SERVER, -1},
    {CALL_UPLOAD_URL, 408, "", "", "", OUTCOME_SERVER, -1},
    {CALL_GET_TASK, 404, "", "", "", OUTCOME_REFUSED, -1},
    {CALL_GET_TASK, 408, "", "9", "", OUTCOME_REFUSED, -1},
    {CALL_GET_TASK, 425, "", "", "", OUTCOME_REFUSED, -1},
    {CALL_GET_TASK, 500, "", "", "", OUTCOME_SERVER, -1},
    {CALL_PUT_RESULT, 504, "", "", "", OUTCOME_SERVER, -1},
    {CALL_PUT_RESULT, 503, "", "9", "", OUTCOME_SERVER, 9000},
    {CALL_PUT_RESULT, 503, "", "", "", OUTCOME_SERVER, -1},
    {CALL_PUT_RESULT, 600, "", "", "", OUTCOME_MALFORMED, -1},
    {CALL_PUT_RESULT, 101, "", "", "", OUTCOME_MALFORMED, -1},
    {CALL_GET_TASK, 429, "", "", TOO_MANY, OUTCOME_BUSY, -1},
    {CALL_PUT_RESULT, 429, "7", "8", TOO_MANY, OUTCOME_BUSY, -1},
    {CALL_PUT_RESULT, 429, "", "", "too many concurrent requests", OUTCOME_LIMITED, 2000},
    {CALL_PUT_RESULT, 429, "", "", "", OUTCOME_LIMITED, 2000},
    {CALL_PUT_RESULT, 429, "0", "", "", OUTCOME_LIMITED, 0},
    {CALL_PUT_RESULT, 429, "7", "", "", OUTCOME_LIMITED, 7000},
    {CALL_PUT_RESULT, 429, "7", "90", "", OUTCOME_LIMITED, 7000},
    {CALL_PUT_RESULT, 429, "-1", "90", "", OUTCOME_LIMITED, 2000},
    {CALL_PUT_RESULT, 429, "300", "", "", OUTCOME_LIMITED, 300000},
    {CALL_PUT_RESULT, 429, "301", "", "", OUTCOME_LIMITED, 300000},
    {CALL_PUT_RESULT, 429, "7.5", "11", "", OUTCOME_LIMITED, 11000},
    {CALL_PUT_RESULT, 429, "soon", "", "", OUTCOME_LIMITED, 2000},
    {CALL_PUT_RESULT, 429, "99999999999999999999", "11", "", OUTCOME_LIMITED, 300000},
    {CALL_PUT_RESULT, 429, "-99999999999999999999", "11", "", OUTCOME_LIMITED, 2000},
    {CALL_PUT_RESULT, 429, "", "99999999999999999999", "", OUTCOME_LIMITED, 3600000},
    {CALL_PUT_RESULT, 429, "", "-99999999999999999999", "", OUTCOME_LIMITED, 2000},
    {CALL_PUT_RESULT, 429, "", "11", "", OUTCOME_LIMITED, 11000},
    {CALL_PUT_RESULT, 429, "", "-5", "", OUTCOME_LIMITED, 2000},
    {CALL_PUT_RESULT, 429, "", "600", "", OUTCOME_LIMITED, 600000},
    {CALL_PUT_RESULT, 429, "", "99999", "", OUTCOME_LIMITED, 3600000},
    {CALL_PUT_RESULT, 429, "", "Tue, 14 Nov 2023 22:13:50 GMT", "", OUTCOME_LIMITED, 30000},
    {CALL_PUT_RESULT, 429, "", "Tue, 14 Nov 2023 22:13:00 GMT", "", OUTCOME_LIMITED, 1000},
    {CALL_PUT_RESULT, 429, "", "0", "", OUTCOME_LIMITED, 1000},
    {CALL_PUT_RESULT, 503, "", "0", "", OUTCOME_SERVER, 1000},
    {CALL_PUT_RESULT, 429, "", "whenever", "", OUTCOME_LIMITED, 2000},
};

static void every_answer(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const case_t *it = &cases[i];
        ac_headers_t headers = {"", "", ""};
        int64_t retry_ms = 12345;
        snprintf(headers.rate_retry, sizeof headers.rate_retry, "%s", it->rate);
        snprintf(headers.retry_after, sizeof headers.retry_after, "%s", it->after);
        outcome_t outcome =
            ac_answer_classify(it->call, it->status, &headers, it->body, strlen(it->body), NOW_S, &retry_ms);
        if (outcome != it->outcome || retry_ms != it->retry_ms)
            fail_msg("case %zu (status %ld): outcome %d, retry %lld ms", i, it->status, (int)outcome,
                     (long long)retry_ms);
    }
}

static void take(ac_headers_t *headers, const char *line) {
    ac_headers_line(headers, line, strlen(line));
}

static void header_lines(void **state) {
    (void)state;
    ac_headers_t headers = {"", "", ""};
    take(&headers, "HTTP/1.1 429 Too Many\r\n");
    take(&headers, "x-rate-limit-retry-after-seconds:  12 \r\n");
    take(&headers, "RETRY-AFTER:7\r\n");
    take(&headers, "Retry-After-More: 9\r\n");
    take(&headers, "\r\n");
    assert_string_equal(headers.rate_retry, "12");
    assert_string_equal(headers.retry_after, "7");
    take(&headers, "HTTP/1.1 200 OK\r\n");
    assert_string_equal(headers.rate_retry, "");
    assert_string_equal(headers.retry_after, "");
    take(&headers,
         "Retry-After: 00000000000000000000000000000000000000000000000000000000000000000000000000001\r\n");
    assert_string_equal(headers.retry_after, "");
    take(&headers, "X-Rate-Limit-Retry-After-Seconds: 1234567890123456789012345678901234567890\r\n");
    assert_string_equal(headers.rate_retry, "1234567890123456789012345678901");
    take(&headers, "X-Rate-Limit-Retry-After-Seconds: 12345678901234567890123456789012345678.0\r\n");
    assert_string_equal(headers.rate_retry, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_answer), cmocka_unit_test(header_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
