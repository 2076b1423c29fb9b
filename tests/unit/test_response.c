/* The answer of a tool in turns of the loop: none takes and unpacks more than its share, and all of it
 * arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "../fuzz/exchange.h"
#include "common/err.h"
#include "executor/response.h"

#define EXTRA                                                                                                \
    ((size_t)48 * 1024) /* a turn exceeds its share by a piece of curl's and one step of unpacking */

typedef struct {
    response_t *response;
    size_t left, every, paused;
    bool large; /* it was, before this turn */
    uint64_t before;
} turns_t;

static CURLcode next_turn(void *ctx, CURL *easy) {
    turns_t *turns = ctx;
    uint64_t decoded = body_decoded(response_body(turns->response)), came = decoded - turns->before;
    size_t share = turns->every < RESPONSE_TURN_BYTES ? turns->every : RESPONSE_TURN_BYTES;

    assert_true(came <= share + EXTRA);
    assert_true(turns->every - turns->left >= (came < share ? came : share));
    if (!turns->large && body_is_large(response_body(turns->response))) {
        turns->large = true; /* its file was begun with all that was in memory */
        size_t moved = turns->every < SLUICE_INLINE_BODY_MAX ? turns->every : SLUICE_INLINE_BODY_MAX;
        assert_true(turns->every - turns->left >= moved);
    }
    turns->before = decoded;
    turns->left = turns->every;
    if (!response_is_paused(turns->response)) return CURLE_OK;
    turns->paused++;
    response_resume(turns->response);
    return curl_easy_pause(easy, CURLPAUSE_CONT);
}

/* Takes the answer in turns of `every` octets; curl's code. */
static CURLcode take(turns_t *turns, size_t every, const char *answer, size_t size) {
    CURL *easy = curl_easy_init();

    *turns = (turns_t){.left = every, .every = every};
    turns->response = response_new(BODY_RAW, "", &turns->left);
    assert_non_null(easy);
    assert_non_null(turns->response);
    (void)curl_easy_setopt(easy, CURLOPT_URL, "http://tool.example/");
    assert_int_equal(response_bind(turns->response, easy, false, false), 0);
    CURLcode code = exchange(easy, answer, size, next_turn, turns);
    curl_easy_cleanup(easy);
    return code;
}

/* A head, and behind it `size` octets of a body. */
static char *make_answer(const char *headers, const void *body, size_t size, size_t *len) {
    char *answer = malloc(size + 300);
    int head;

    assert_non_null(answer);
    head = snprintf(answer, 300, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n", size, headers);
    memcpy(answer + head, body, size);
    *len = (size_t)head + size;
    return answer;
}

/* Checks that the body is `want`, and lets go of the response. */
static void check(turns_t *turns, const unsigned char *want, size_t size) {
    body_t *body = response_body(turns->response);
    unsigned char *octets = malloc(size);
    size_t len;
    uint64_t length = 0;

    assert_int_equal(response_finish(turns->response), 0);
    assert_int_equal(body_decoded(body), size);
    if (body_is_large(body)) {
        int fd = body_take_file(body, &length);
        assert_int_equal(pread(fd, octets, size, 0), size);
        (void)close(fd);
    } else {
        const void *bytes = body_inline(body, &len);
        assert_int_equal(len, size);
        memcpy(octets, bytes, len);
    }
    assert_memory_equal(octets, want, size);
    free(octets);
    response_destroy(&turns->response);
}

static size_t pack(const void *bytes, size_t size, unsigned char *out, size_t room) {
    z_stream zlib = {.next_in = (unsigned char *)(uintptr_t)bytes, .avail_in = (uInt)size};

    assert_int_equal(deflateInit2(&zlib, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    zlib.next_out = out;
    zlib.avail_out = (uInt)room;
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    size = zlib.total_out;
    assert_int_equal(deflateEnd(&zlib), Z_OK);
    return size;
}

static void turns_are_bounded(void **state) {
    static const struct {
        const char *headers;
        size_t every;
    } table[] = {
        {"", RESPONSE_ALL_TURN_BYTES},
        {"", 20000},
        {"Content-Encoding: gzip\r\n", RESPONSE_ALL_TURN_BYTES},
        {"Content-Encoding: gzip\r\n", 20000},
        {"Content-Encoding: gzip, gzip\r\n", RESPONSE_ALL_TURN_BYTES},
        {"Content-Encoding: gzip, gzip\r\n", 1},
    };
    size_t size = 3 << 19, room = 1 << 20, len;
    unsigned char *plain = calloc(1, size), *one = malloc(room), *two = malloc(room);
    turns_t turns;

    (void)state;
    for (size_t i = 0; i < size; i += 1000)
        plain[i] = (unsigned char)(i / 1000);
    size_t once = pack(plain, size, one, room), twice = pack(one, once, two, room);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const unsigned char *body = i < 2 ? plain : i < 4 ? one : two;
        size_t share = table[i].every < RESPONSE_TURN_BYTES ? table[i].every : RESPONSE_TURN_BYTES;
        char *answer = make_answer(table[i].headers, body, i < 2 ? size : i < 4 ? once : twice, &len);
        assert_int_equal(take(&turns, table[i].every, answer, len), CURLE_OK);
        assert_true(turns.paused >= size / (share + EXTRA));
        check(&turns, plain, size);
        free(answer);
    }
    free(plain);
    free(one);
    free(two);
}

/* Pieces of an octet each take their time too. */
static void pieces_count(void **state) {
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    size_t count = 10000, len = sizeof head - 1;
    char *answer = malloc(len + 6 * count + 5);
    turns_t turns;

    (void)state;
    memcpy(answer, head, len);
    for (size_t i = 0; i < count; i++, len += 6)
        memcpy(answer + len, "1\r\nx\r\n", 6);
    memcpy(answer + len, "0\r\n\r\n", 5);
    assert_int_equal(take(&turns, 10000, answer, len + 5), CURLE_OK);
    assert_int_equal(body_decoded(response_body(turns.response)), count);
    assert_true(turns.paused > 1);
    response_destroy(&turns.response);
    free(answer);
}

/* An answer of `count` lines between what comes before and behind them; response_error(). */
static int error_of(const char *before, const char *line, size_t count, const char *behind) {
    size_t len = strlen(before), one = strlen(line);
    char *answer = malloc(len + one * count + strlen(behind) + 1);
    turns_t turns;

    memcpy(answer, before, len);
    for (size_t i = 0; i < count; i++, len += one)
        memcpy(answer + len, line, one);
    memcpy(answer + len, behind, strlen(behind) + 1);
    CURLcode code = take(&turns, RESPONSE_ALL_TURN_BYTES, answer, len + strlen(behind));
    int err = response_error(turns.response);
    assert_int_equal(code, err ? CURLE_WRITE_ERROR : CURLE_OK);
    response_destroy(&turns.response);
    free(answer);
    return err;
}

static void headers_without_end_are_refused(void **state) {
    static const char interim[] = "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", line[] = "Name: value\r\n";
    static const char last[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";

    (void)state;
    assert_int_equal(error_of("", interim, 100, last), 0);
    assert_int_equal(error_of("", interim, 10000, last), ERR_FULL);
    assert_int_equal(error_of(chunked, line, 100, "\r\n"), 0);
    assert_int_equal(error_of(chunked, line, 30000, "\r\n"), ERR_FULL);
    assert_int_equal(error_of("HTTP/1.1 200 OK\r\n", line, 30000, "\r\n"), ERR_FULL);
}

/* What curl does not count ends with its last octet, also when that one comes as a pause ends. */
static void what_curl_does_not_count_ends(void **state) {
    static const char headers[] = "Transfer-Encoding: identity\r\n";
    static const char packed[] = "Transfer-Encoding: identity\r\nContent-Encoding: gzip\r\n";
    size_t size = 170000, len, room = 100000;
    unsigned char *plain = calloc(1, size), *one = malloc(room);
    turns_t turns;

    (void)state;
    for (size_t i = 0; i < size; i += 700)
        plain[i] = (unsigned char)(i / 700);
    for (size_t part = 1000; part <= size; part += 9000) {
        char *answer = make_answer(headers, plain, part, &len);
        assert_int_equal(take(&turns, 50000, answer, len), CURLE_WRITE_ERROR);
        assert_int_equal(response_error(turns.response), 0);
        assert_true(response_is_cut(turns.response));
        check(&turns, plain, part);
        free(answer);
    }
    char *answer = make_answer(packed, one, pack(plain, size, one, room), &len);
    assert_int_equal(take(&turns, 50000, answer, len), CURLE_WRITE_ERROR);
    assert_true(response_is_cut(turns.response) && turns.paused >= 2);
    check(&turns, plain, size);
    free(answer);
    free(plain);
    free(one);
}

static int set_up(void **state) {
    (void)state;
    return curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    curl_global_cleanup();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_bounded),
        cmocka_unit_test(pieces_count),
        cmocka_unit_test(headers_without_end_are_refused),
        cmocka_unit_test(what_curl_does_not_count_ends),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
