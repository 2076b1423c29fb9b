/* The answer of a tool, through curl, the decoding, redirects and the result. The first octet says how it is
 * asked for; the rest is what comes over the connection. It is taken twice, in turns as large as they may be
 * and in the least ones, and both have to come to the same. */
#include <curl/curl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "common/json_walk.h"
#include "exchange.h"
#include "executor/request.h"
#include "executor/response.h"
#include "fuzz.h"

#define INPUT_MAX 65536

static const char *const tasks[] = {
    "{\"taskId\":\"t\",\"url\":\"http://tool.example/a?b\",\"method\":\"GET\"}",
    "{\"taskId\":\"t\",\"url\":\"http://tool.example/\",\"method\":\"HEAD\"}",
    "{\"taskId\":\"t\",\"url\":\"http://tool.example/\",\"method\":\"POST\",\"input\":\"x\"}",
    "{\"taskId\":\"t\",\"url\":\"http://tool.example/\",\"method\":\"HEAD\",\"input\":\"x\"}",
};

static void must(bool holds) {
    if (!holds) abort();
}

/* What a gzip file holds, in octets; it has to be a whole one. */
static uint64_t unpacked(int fd) {
    static char octets[65536];
    gzFile file = gzdopen(dup(fd), "rb");
    uint64_t sum = 0;
    int n;

    must(file && lseek(fd, 0, SEEK_SET) == 0);
    while ((n = gzread(file, octets, sizeof octets)) > 0)
        sum += (uint64_t)n;
    must(n == 0 && !gzdirect(file) && gzclose(file) == Z_OK);
    return sum;
}

/* A body that is too large for the result is in a file, as a whole. */
static void check_file(const response_t *response, body_kind_t kind) {
    body_t *body = response_body(response);
    uint64_t length;
    int fd = body_take_file(body, &length);

    must(fd >= 0 && body_decoded(body) > SLUICE_INLINE_BODY_MAX);
    must(lseek(fd, 0, SEEK_END) == (off_t)length);
    must((kind == BODY_GZIP ? unpacked(fd) : length) == body_decoded(body));
    (void)close(fd);
}

/* Whatever came, the result is a JSON object. */
static void write_result(const char *task, const response_t *response, body_kind_t kind) {
    result_parts_t parts = {.status_code = response_status(response)};
    text_t result = {0};
    char why[JSON_WHY_MAX];

    parts.headers = response_headers(response, &parts.header_count);
    parts.body = body_inline(response_body(response), &parts.body_bytes);
    parts.zipped = body_is_large(response_body(response));
    must(parts.body_bytes <= SLUICE_INLINE_BODY_MAX);
    must(result_json_write(task, strlen(task), &parts, &result) == 0);
    must(json_walk(result.ptr, result.len, JSON_OBJECT, NULL, NULL, NULL, why) == 0);
    text_clear(&result);
    if (parts.zipped) check_file(response, kind);
}

/* What an answer came to. */
typedef struct {
    CURLcode code;
    int error, finished, status;
    uint64_t octets;
    uLong sum; /* of a body in memory */
} end_t;

typedef struct {
    response_t *response;
    size_t left, every;
} turns_t;

static CURLcode next_turn(void *ctx, CURL *easy) {
    turns_t *turns = ctx;

    turns->left = turns->every;
    if (!response_is_paused(turns->response)) return CURLE_OK;
    response_resume(turns->response);
    return curl_easy_pause(easy, CURLPAUSE_CONT);
}

static end_t end_of(const response_t *response, CURLcode code) {
    end_t end = {.code = code, .error = response_error(response), .status = response_status(response)};
    size_t size;
    const void *body = body_inline(response_body(response), &size);

    if (response_is_cut(response)) end.code = CURLE_OK;
    if (end.code != CURLE_OK || end.error != 0) return end;
    end.octets = body_decoded(response_body(response));
    end.sum = body ? adler32(1, body, (uInt)size) : 0;
    return end;
}

static end_t run(const char *json, body_kind_t kind, size_t every, const uint8_t *data, size_t size) {
    settings_t settings = {.connect_timeout_ms = 1000};
    struct curl_slist *headers = NULL;
    char why[256];
    task_t_json task;
    request_t request;
    const char *reason;
    CURL *easy = curl_easy_init();
    turns_t turns = {.left = every, .every = every};
    response_t *response = turns.response = response_new(kind, "", &turns.left);

    must(easy && response && trust_choose(&settings.trust, "") == 0 &&
         proxy_choose(&settings.http, "", false, &reason) == 0 &&
         proxy_choose(&settings.https, "", true, &reason) == 0);
    settings.client_cert = settings.client_key = (char *)(uintptr_t) "";
    must(task_json_read(json, strlen(json), &task, why) == 0 && request_from_task(&request, &task, why) == 0);
    must(request_apply(&request, &settings, easy, &headers) == 0);
    must(response_bind(response, easy, request_is_head(&request),
                       request_is_head(&request) && request.body) == 0);
    end_t end = end_of(response, exchange(easy, data, size, next_turn, &turns));
    if (response_redirects(response))
        (void)request_redirect(&request, response_status(response), response_location(response), why);
    if (end.code == CURLE_OK && end.error == 0) {
        end.finished = response_finish(response);
        if (end.finished == 0) write_result(json, response, kind);
    }
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    response_destroy(&response);
    request_clear(&request);
    task_json_clear(&task);
    trust_clear(&settings.trust);
    proxy_clear(&settings.http);
    proxy_clear(&settings.https);
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool begun;

    if (!begun) {
        must(curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK);
        (void)signal(SIGPIPE, SIG_IGN);
    }
    begun = true;
    if (size < 1 || size > INPUT_MAX) return 0;
    const char *task = tasks[data[0] % (sizeof tasks / sizeof *tasks)];
    body_kind_t kind = data[0] & 0x80 ? BODY_RAW : BODY_GZIP;
    end_t large = run(task, kind, RESPONSE_ALL_TURN_BYTES, data + 1, size - 1);
    end_t least = run(task, kind, 1, data + 1, size - 1);
    must(large.code == least.code && large.error == least.error && large.finished == least.finished);
    must(large.status == least.status && large.octets == least.octets && large.sum == least.sum);
    return 0;
}
