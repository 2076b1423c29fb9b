/* An answer of AC as the uploader and the fetcher read it: an octet for the call, two for the status, header
 * lines up to an empty one, and the body, which may be the pair of URLs of a store. */
#include <stdlib.h>
#include <string.h>

#include "common/ac_answer.h"
#include "common/err.h"
#include "fuzz.h"
#include "uploader/body_file.h"

static void must(bool holds) {
    if (!holds) abort();
}

static void read_urls(const char *body, size_t size) {
    char *put = NULL, *get = NULL;
    int err = presigned_read(body, size, &put, &get);

    must(err == 0 || err == ERR_MALFORMED);
    must(err ? !put && !get : put && get);
    free(put);
    free(get);
    free(result_header(body, size, "Content-Type"));
}

static void read_answer(const char *text, size_t size, call_t call, long status) {
    ac_headers_t headers = {0};
    int64_t retry_ms = -2;
    size_t at = 0;

    while (at < size) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t line = end ? (size_t)(end - text) + 1 - at : size - at;
        ac_headers_line(&headers, text + at, line);
        at += line;
        if (line <= 2) break;
    }
    outcome_t outcome =
        ac_answer_classify(call, status, &headers, text + at, size - at, 1700000000, &retry_ms);
    must(outcome >= OUTCOME_DONE && outcome <= OUTCOME_NOT_SENT);
    must(retry_ms >= -1 && retry_ms <= (int64_t)AC_RETRY_AFTER_MAX_S * 1000);
    must(strnlen(headers.rate_retry, sizeof headers.rate_retry) < sizeof headers.rate_retry);
    must(strnlen(headers.retry_after, sizeof headers.retry_after) < sizeof headers.retry_after);
    read_urls(text + at, size - at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    char *text = malloc(size); /* of its own size, so that an octet read too far is seen */
    must(text != NULL);
    memcpy(text, data + 3, size - 3);
    read_answer(text, size - 3, (call_t)(1 + data[0] % 6), (long)(data[1] << 8 | data[2]));
    free(text);
    return 0;
}
