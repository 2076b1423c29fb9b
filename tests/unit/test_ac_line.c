/* Requests with a body: it may take its time to go out, the answer to it may not come for ever. The clock is
 * the test's, curl's own is the real one. */
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/ac_door.h"
#include "common/clock.h"
#include "common/err.h"
#include "uploader/store_body.h"

#define FILE_BYTES ((int64_t)16 * 1024 * 1024) /* more than the kernel takes that nobody reads */
#define DAY_MS     ((int64_t)24 * 3600 * 1000)
#define PATIENCE   60000 /* ms in which anything must happen */
#define HEAD       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

/* The outcome of a request, whatever made it. */
typedef struct {
    int done;
    outcome_t outcome;
    uint16_t status;
    bool timed_out;
    int64_t retry_ms;
    char reason[201], body[16]; /* as much of it as fits */
} ended_t;

/* A line and a PUT to a store, a server for either, and a file. */
typedef struct {
    config_t config;
    http_t *http;
    ac_door_t *door;
    ac_line_t *line;
    store_body_t *store;
    lease_t lease;
    uint64_t seq;
    int listener, connection, file;
    int64_t received, whole; /* octets of the request; the latter INT64_MAX until its head has come */
    char url[64];
    ended_t ended;
    bool to_store;
    bool to_poll; /* get-task */
    char *json;   /* of put-result; NULL for a file */
    size_t json_bytes;
} fixture_t;

static unsigned starts_left = UINT_MAX; /* of requests; after them memory is out */

int __real_http_start(http_t *self, CURL *easy, http_done_fn done, void *ctx);
int __wrap_http_start(http_t *self, CURL *easy, http_done_fn done, void *ctx);
int __wrap_http_start(http_t *self, CURL *easy, http_done_fn done, void *ctx) {
    if (starts_left == 0) return ERR_NOMEM;
    starts_left--;
    return __real_http_start(self, easy, done, ctx);
}

static void end_with(ended_t *ended, outcome_t outcome, uint16_t status, bool timed_out, const char *reason) {
    ended->done++;
    ended->outcome = outcome;
    ended->status = status;
    ended->timed_out = timed_out;
    (void)snprintf(ended->reason, sizeof ended->reason, "%s", reason);
}

static void on_answer(void *ctx, const ac_answer_t *answer) {
    end_with(ctx, answer->outcome, answer->http_status, answer->timed_out, answer->reason);
    ended_t *ended = ctx;
    ended->retry_ms = answer->retry_after_ms;
    (void)snprintf(ended->body, sizeof ended->body, "%.*s", (int)answer->body_bytes, answer->body);
}

static void on_stored(void *ctx, const store_answer_t *answer) {
    end_with(ctx, answer->outcome, answer->http_status, answer->timed_out, answer->reason);
}

static void open_server(fixture_t *it) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int small = 65536;
    it->connection = -1;
    it->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(it->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(bind(it->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(it->listener, 4), 0);
    assert_int_equal(getsockname(it->listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(it->url, sizeof it->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
}

static int setup(void **state) {
    static char none[] = "", key[] = "key";
    char path[] = "/tmp/test_ac_line-XXXXXX";
    const char *why = NULL;
    fixture_t *it = calloc(1, sizeof *it);
    assert_non_null(it);
    open_server(it);
    it->config = (config_t){.server_url = it->url,
                            .api_key = key,
                            .env_name = none,
                            .ca_bundle = none,
                            .outgoing_proxy_http = none,
                            .outgoing_proxy_https = none,
                            .read_timeout_s = 100};
    it->http = http_new(4);
    it->door = ac_door_new(&it->config, it->http, &why);
    it->line = it->door ? ac_line_new(it->door) : NULL;
    it->store = store_body_new(&it->config, it->http, &why);
    assert_non_null(it->line);
    assert_non_null(it->store);
    it->file = mkstemp(path);
    assert_true(it->file >= 0 && unlink(path) == 0);
    assert_int_equal(ftruncate(it->file, FILE_BYTES), 0);
    lease_init(&it->lease, CREDIT_UPLOAD, &it->seq);
    it->lease.state = LEASE_HELD;
    it->lease.budget = 20;
    it->lease.expires_ms = INT64_MAX;
    *state = it;
    return 0;
}

static int setup_store(void **state) {
    int rc = setup(state);
    ((fixture_t *)*state)->to_store = true;
    return rc;
}

static int setup_poll(void **state) {
    int rc = setup(state);
    ((fixture_t *)*state)->to_poll = true;
    return rc;
}

static int setup_result(void **state) {
    int rc = setup(state);
    fixture_t *it = *state;
    it->json_bytes = FILE_BYTES;
    it->json = calloc(1, it->json_bytes);
    assert_non_null(it->json);
    return rc;
}

static int setup_small_result(void **state) {
    int rc = setup_result(state);
    ((fixture_t *)*state)->json_bytes = 100;
    return rc;
}

static int teardown(void **state) {
    fixture_t *it = *state;
    ac_line_destroy(&it->line);
    store_body_destroy(&it->store);
    ac_door_destroy(&it->door);
    http_destroy(&it->http);
    if (it->connection >= 0) (void)close(it->connection);
    (void)close(it->listener);
    (void)close(it->file);
    free(it->json);
    free(it);
    return 0;
}

static void start(fixture_t *it) {
    const ac_request_t request = {.call = CALL_UPLOAD_RESULT,
                                  .file_name = "a.zip",
                                  .json = "{}",
                                  .json_bytes = 2,
                                  .fd = it->file,
                                  .file_bytes = FILE_BYTES};
    const ac_request_t poll = {.call = CALL_GET_TASK, .agent_id = "1_abc"};
    const ac_request_t result = {.call = CALL_PUT_RESULT, .json = it->json, .json_bytes = it->json_bytes};
    int64_t now_ms = clock_boot_ms();
    char why[256];
    it->ended = (ended_t){0};
    it->received = 0;
    it->whole = INT64_MAX;
    if (it->connection >= 0) (void)close(it->connection);
    it->connection = -1;
    if (it->to_store)
        assert_int_equal(store_body_start(it->store, it->url, dup(it->file), FILE_BYTES, NULL, NULL,
                                          on_stored, &it->ended, why),
                         0);
    else
        assert_int_equal(ac_line_start(it->line, &it->lease,
                                       it->to_poll ? &poll
                                       : it->json  ? &result
                                                   : &request,
                                       now_ms, on_answer, &it->ended),
                         0);
}

/* What the program does in a turn, with its clock so far ahead. */
static void turn(fixture_t *it, int64_t ahead_ms) {
    http_turn(it->http);
    ac_line_turn(it->line, clock_boot_ms() + ahead_ms);
    store_body_turn(it->store, clock_boot_ms() + ahead_ms);
}

static void wait_a_moment(fixture_t *it) {
    struct pollfd items[] = {{.fd = http_fd(it->http), .events = POLLIN}};
    (void)poll(items, 1, 5);
    turn(it, 0);
}

static void receive(fixture_t *it) {
    static char bytes[1 << 20];
    if (it->connection < 0) it->connection = accept4(it->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ssize_t got = it->connection < 0 ? 0 : recv(it->connection, bytes, sizeof bytes - 1, 0);
    if (got <= 0) return;
    bytes[got] = '\0';
    const char *length = it->received == 0 ? strstr(bytes, "Content-Length: ") : NULL;
    const char *body = it->received == 0 ? strstr(bytes, "\r\n\r\n") : NULL;
    if (body) it->whole = body + 4 - bytes + (length ? strtoll(length + 16, NULL, 10) : 0);
    it->received += got;
}

/* Until the server has so much of the request, or all of it. */
static void send_some(fixture_t *it, int64_t octets) {
    int64_t end = clock_boot_ms() + PATIENCE;
    while (it->ended.done == 0 && it->received < octets && it->received < it->whole) {
        assert_true(clock_boot_ms() < end);
        wait_a_moment(it);
        receive(it);
    }
    turn(it, 0);
}

static void send_all(fixture_t *it) {
    send_some(it, INT64_MAX);
    assert_int_equal(it->received, it->whole);
}

static void end(fixture_t *it) {
    int64_t last_ms = clock_boot_ms() + PATIENCE;
    while (it->ended.done == 0) {
        assert_true(clock_boot_ms() < last_ms);
        wait_a_moment(it);
    }
}

/* Lets curl do what it can while the server does nothing. */
static void stand(fixture_t *it) {
    for (int i = 0; i < 20 && it->ended.done == 0; i++)
        wait_a_moment(it);
}

static void say(const fixture_t *it, const char *text) {
    assert_int_equal(send(it->connection, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* A whole request, and the whole answer to it. */
static void exchange(fixture_t *it, const char *answer) {
    start(it);
    send_all(it);
    say(it, answer);
    end(it);
}

static int64_t limit_ms(const fixture_t *it) {
    return it->json ? 300000 : it->to_store ? 360000 : 900000;
}

static void a_file_may_take_its_time(void **state) {
    fixture_t *it = *state;
    start(it);
    turn(it, DAY_MS);
    send_some(it, 1000000);
    turn(it, DAY_MS);
    stand(it);
    turn(it, 2 * DAY_MS);
    assert_int_equal(it->ended.done, 0);
    send_all(it);
    say(it, HEAD "ok");
    end(it);
    assert_int_equal(it->ended.outcome, OUTCOME_DONE);
    assert_int_equal(it->ended.status, 200);
}

static void an_answer_may_not(void **state) {
    fixture_t *it = *state;
    start(it);
    send_all(it);
    say(it, "HTTP/1.1 200 OK\r\nX-Dr");
    stand(it);
    turn(it, limit_ms(it) - PATIENCE);
    assert_int_equal(it->ended.done, 0);
    say(it, "ip: 1\r\n");
    stand(it);
    turn(it, limit_ms(it));
    assert_int_equal(it->ended.done, 1);
    assert_int_equal(it->ended.outcome, OUTCOME_NETWORK);
    assert_int_equal(it->ended.status, 0);
    assert_true(it->ended.timed_out);
    assert_non_null(strstr(it->ended.reason, "time-out: no whole answer"));
    turn(it, limit_ms(it));
    assert_int_equal(it->ended.done, 1);
}

/* curl sends no more then. */
static void nor_may_one_that_comes_before_the_file_is_sent(void **state) {
    fixture_t *it = *state;
    start(it);
    send_some(it, 1000000);
    say(it, "HTTP/1.1 413 No\r\nContent-Length: 9\r\n\r\nd");
    stand(it);
    assert_int_equal(it->ended.done, 0);
    turn(it, limit_ms(it));
    assert_int_equal(it->ended.done, 1);
    assert_int_equal(it->ended.outcome, OUTCOME_REFUSED);
    assert_int_equal(it->ended.status, 413);
}

/* What curl says of the former request is not taken for the next one's. */
static void the_next_one_has_its_own_time(void **state) {
    fixture_t *it = *state;
    exchange(it, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(it->ended.outcome, OUTCOME_SERVER);
    start(it);
    ac_line_turn(it->line, clock_boot_ms());
    store_body_turn(it->store, clock_boot_ms());
    send_some(it, 1000000);
    turn(it, DAY_MS);
    assert_int_equal(it->ended.done, 0);
}

/* curl sends no more then, and has nothing to complain of. */
static void what_was_not_sent_is_not_taken(void **state) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    };
    fixture_t *it = *state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        start(it);
        send_some(it, 1000000);
        say(it, answers[i]);
        end(it);
        assert_int_equal(it->ended.outcome, OUTCOME_NETWORK);
        assert_non_null(strstr(it->ended.reason, ": answered 200: it had not been sent the whole "));
    }
}

static void what_was_sent_is_taken_though_the_connection_ends(void **state) {
    fixture_t *it = *state;
    exchange(it, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(it->ended.outcome, OUTCOME_DONE);
}

/* A refusal of the head needs no body. */
static void what_was_not_sent_may_be_refused(void **state) {
    fixture_t *it = *state;
    start(it);
    send_some(it, 1000000);
    say(it, "HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    end(it);
    assert_int_equal(it->ended.outcome, OUTCOME_REFUSED);
    assert_int_equal(it->ended.status, 413);
}

/* Header lines after `text` as long as the other side takes them; that they are not taken for ever. */
static void say_headers_for_ever(fixture_t *it, const char *text) {
    static const char lines[] = "X-A: 1234567890123456789012345678901234567890\r\n"
                                "X-B: 1234567890123456789012345678901234567890\r\n"
                                "X-C: 1234567890123456789012345678901234567890\r\n"
                                "X-D: 1234567890123456789012345678901234567890\r\n";
    int64_t said = 0, last_ms = clock_boot_ms() + PATIENCE;
    say(it, text);
    while (it->ended.done == 0) {
        ssize_t n = send(it->connection, lines, sizeof lines - 1, MSG_NOSIGNAL);
        if (n > 0) said += n;
        turn(it, 0);
        assert_true(said < 4 * FILE_BYTES && clock_boot_ms() < last_ms);
    }
}

static void headers_have_an_end(void **state) {
    fixture_t *it = *state;
    start(it);
    send_all(it);
    say_headers_for_ever(it, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(it->ended.outcome, OUTCOME_NETWORK);
    assert_non_null(strstr(it->ended.reason, ": the answer has over 256 KiB of headers"));
}

static void trailers_have_an_end(void **state) {
    fixture_t *it = *state;
    start(it);
    send_all(it);
    say_headers_for_ever(it, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n");
    assert_int_equal(it->ended.outcome, OUTCOME_NETWORK);
    assert_non_null(strstr(it->ended.reason, ": the answer has over 256 KiB of headers"));
}

/* Answers of which the body does not come as it should, and what they mean: a 2xx is a lost answer. */
static const struct {
    const char *text;
    outcome_t outcome;
    uint16_t status;
    int64_t retry_ms;
} half_answers[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", OUTCOME_NETWORK, 0, -1},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", OUTCOME_NETWORK, 0, -1},
    {"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 503 No\r\nRetry-After: 9\r\nContent-Length: 3\r\n\r\nno",
     OUTCOME_SERVER, 503, 9000},
    {"HTTP/1.1 400 No\r\nContent-Length: 20\r\n\r\n{}", OUTCOME_REFUSED, 400, -1},
    {"HTTP/1.1 429 No\r\nRetry-After: 60\r\nContent-Length: 20\r\n\r\n{}", OUTCOME_LIMITED, 429, 60000},
    {"HTTP/1.1 100 Go\r\n\r\n", OUTCOME_NETWORK, 0, -1},
    {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n", OUTCOME_NETWORK, 0, -1},
};

static void a_status_counts_whatever_its_body_is(void **state) {
    fixture_t *it = *state;
    for (size_t i = 0; i < sizeof half_answers / sizeof *half_answers; i++) {
        start(it);
        send_all(it);
        say(it, half_answers[i].text);
        (void)shutdown(it->connection, SHUT_RDWR);
        end(it);
        bool limited = it->to_store && half_answers[i].status == 429;
        assert_int_equal(it->ended.status, half_answers[i].status);
        assert_int_equal(it->ended.outcome, limited ? OUTCOME_SERVER : half_answers[i].outcome);
        if (!it->to_store) assert_int_equal(it->ended.retry_ms, half_answers[i].retry_ms);
    }
}

/* One that never ends, and one that is cut off because the credit is lost. */
static void so_does_that_of_a_refusal_whose_body_never_ends(void **state) {
    fixture_t *it = *state;
    for (int lost = 0; lost < (it->to_store ? 1 : 2); lost++) {
        start(it);
        send_all(it);
        say(it, "HTTP/1.1 400 No\r\nContent-Length: 20\r\n\r\n{}");
        stand(it);
        assert_int_equal(it->ended.done, 0);
        it->lease.lost = lost != 0;
        turn(it, limit_ms(it));
        assert_int_equal(it->ended.done, 1);
        assert_int_equal(it->ended.outcome, OUTCOME_REFUSED);
        assert_int_equal(it->ended.status, 400);
    }
}

static void trailers_are_no_headers(void **state) {
    fixture_t *it = *state;
    exchange(it, "HTTP/1.1 429 No\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "0\r\nRetry-After: 9\r\n\r\n");
    assert_int_equal(it->ended.outcome, OUTCOME_LIMITED);
    assert_int_equal(it->ended.retry_ms, 7000);
}

/* Compresses `len` octets with so many that are 0 behind them. */
static size_t pack(int bits, const void *bytes, size_t len, size_t zeros, unsigned char *out, size_t room) {
    static unsigned char none[1 << 20];
    z_stream zlib = {.avail_out = (uInt)room};
    unsigned char copy[256];
    assert_true(len <= sizeof copy);
    memcpy(copy, bytes, len);
    zlib.next_out = out;
    assert_int_equal(deflateInit2(&zlib, 1, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    zlib.next_in = copy;
    zlib.avail_in = (uInt)len;
    assert_int_equal(deflate(&zlib, Z_NO_FLUSH), Z_OK);
    for (size_t at = 0; at < zeros; at += sizeof none) {
        zlib.next_in = none;
        zlib.avail_in = sizeof none;
        assert_int_equal(deflate(&zlib, Z_NO_FLUSH), Z_OK);
    }
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&zlib), Z_OK);
    return zlib.total_out;
}

static void answer_packed(fixture_t *it, const char *head, const unsigned char *body, size_t len) {
    char text[256];
    int64_t last_ms = clock_boot_ms() + PATIENCE;
    start(it);
    send_all(it);
    (void)snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", head, len);
    say(it, text);
    for (size_t at = 0; at < len && it->ended.done == 0;) {
        ssize_t n = send(it->connection, body + at, len - at, MSG_NOSIGNAL);
        if (n > 0) at += (size_t)n;
        turn(it, 0);
        assert_true(clock_boot_ms() < last_ms);
    }
    end(it);
}

/* A second answer, after the one that was asked for, is not the next request's. */
static void an_answer_nobody_asked_for_answers_nothing(void **state) {
    fixture_t *it = *state;
    exchange(it, HEAD "ok");
    assert_int_equal(it->ended.outcome, OUTCOME_DONE);
    say(it, HEAD "no");
    int first = it->connection;
    it->connection = -1;
    start(it);
    send_all(it); /* on another connection */
    say(it, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    end(it);
    assert_int_equal(it->ended.outcome, OUTCOME_SERVER);
    assert_int_equal(it->lease.used, 2);
    (void)close(first);
}

#define GZIP (MAX_WBITS + 16)

static void bodies_are_decoded(void **state) {
    static const char text[] = "Too many concurrent requests";
    static const struct {
        const char *head;
        int bits, cut; /* bits 0: as it is; octets that are missing at the end */
        outcome_t task, result;
        int64_t retry_ms;
    } cases[] = {
        {"200 OK\r\nContent-Encoding: UTF-8", 0, 0, OUTCOME_DONE, OUTCOME_DONE, -1},
        {"200 OK\r\nContent-Encoding: br, identity", 0, 0, OUTCOME_DONE, OUTCOME_DONE, -1},
        {"200 OK\r\nContent-Encoding: gzip", GZIP, 0, OUTCOME_DONE, OUTCOME_DONE, -1},
        {"200 OK\r\ncontent-encoding:X-GZIP \r\nContent-Encoding: UTF-8", GZIP, 0, OUTCOME_DONE, OUTCOME_DONE,
         -1},
        {"200 OK\r\nContent-Encoding: deflate", MAX_WBITS, 0, OUTCOME_DONE, OUTCOME_DONE, -1},
        {"200 OK\r\nContent-Encoding: deflate", -MAX_WBITS, 0, OUTCOME_DONE, OUTCOME_DONE, -1},
        {"200 OK\r\nContent-Encoding: gzip", 0, 0, OUTCOME_NETWORK, OUTCOME_DONE, -1},
        {"200 OK\r\nContent-Encoding: gzip", GZIP, 5, OUTCOME_NETWORK, OUTCOME_DONE, -1},
        {"429 No\r\nContent-Encoding: gzip", GZIP, 0, OUTCOME_BUSY, OUTCOME_BUSY, -1},
        {"429 No\r\nRetry-After: 60\r\nContent-Encoding: deflate, gzip", 0, 0, OUTCOME_LIMITED,
         OUTCOME_LIMITED, 60000},
        {"400 No\r\nContent-Encoding: gzip,gzip,gzip,gzip,gzip,gzip", 0, 0, OUTCOME_REFUSED, OUTCOME_REFUSED,
         -1},
    };
    fixture_t *it = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char body[256];
        size_t len = sizeof text - 1;
        memcpy(body, text, len);
        if (cases[i].bits) len = pack(cases[i].bits, text, len, 0, body, sizeof body);
        answer_packed(it, cases[i].head, body, len - (size_t)cases[i].cut);
        assert_int_equal(it->ended.outcome, it->to_poll ? cases[i].task : cases[i].result);
        assert_int_equal(it->ended.retry_ms, cases[i].retry_ms);
        if (it->ended.outcome == OUTCOME_NETWORK)
            assert_non_null(strstr(it->ended.reason, ": the answer's compressed body is broken"));
        else if (cases[i].task == OUTCOME_DONE)
            assert_string_equal(it->ended.body, "Too many concur");
    }
}

/* What unpacks to more than a task may have, and what unpacks to little by way of much. */
static void nothing_is_unpacked_without_end(void **state) {
    fixture_t *it = *state;
    size_t room = 4 << 20;
    unsigned char *body = malloc(room), small[64];
    assert_non_null(body);
    for (int twice = 0; twice < 2; twice++) {
        size_t len = pack(GZIP, "{}", 2, 0, small, sizeof small);
        len =
            twice ? pack(GZIP, small, len, 280 << 20, body, room) : pack(GZIP, "{}", 2, 65 << 20, body, room);
        answer_packed(it,
                      twice ? "200 OK\r\nContent-Encoding: gzip, gzip" : "200 OK\r\nContent-Encoding: gzip",
                      body, len);
        assert_int_equal(it->ended.outcome, it->to_poll ? OUTCOME_MALFORMED : OUTCOME_DONE);
        assert_true(!it->to_poll || strstr(it->ended.reason, ": the answer is over 64 MiB"));
    }
    free(body);
}

/* It says nothing of the store. */
static void a_redirect_without_memory_refuses_nothing(void **state) {
    fixture_t *it = *state;
    starts_left = 1;
    exchange(it, "HTTP/1.1 307 X\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n");
    starts_left = UINT_MAX;
    assert_int_equal(it->ended.outcome, OUTCOME_NETWORK);
    assert_non_null(strstr(it->ended.reason, "answered 307: out of memory"));
}

int main(void) {
    (void)setenv("no_proxy", "*", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_may_take_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_may_not, setup, teardown),
        cmocka_unit_test_setup_teardown(nor_may_one_that_comes_before_the_file_is_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(the_next_one_has_its_own_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_may_take_its_time, setup_result, teardown),
        cmocka_unit_test_setup_teardown(an_answer_may_not, setup_result, teardown),
        cmocka_unit_test_setup_teardown(an_answer_may_not, setup_small_result, teardown),
        cmocka_unit_test_setup_teardown(nor_may_one_that_comes_before_the_file_is_sent, setup_result,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_next_one_has_its_own_time, setup_result, teardown),
        cmocka_unit_test_setup_teardown(a_file_may_take_its_time, setup_store, teardown),
        cmocka_unit_test_setup_teardown(an_answer_may_not, setup_store, teardown),
        cmocka_unit_test_setup_teardown(nor_may_one_that_comes_before_the_file_is_sent, setup_store,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_next_one_has_its_own_time, setup_store, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_sent_is_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_sent_is_not_taken, setup_result, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_sent_is_not_taken, setup_store, teardown),
        cmocka_unit_test_setup_teardown(what_was_sent_is_taken_though_the_connection_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_sent_is_taken_though_the_connection_ends, setup_result,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_sent_is_taken_though_the_connection_ends, setup_small_result,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_sent_is_taken_though_the_connection_ends, setup_store,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_not_sent_may_be_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_sent_may_be_refused, setup_result, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_sent_may_be_refused, setup_store, teardown),
        cmocka_unit_test_setup_teardown(headers_have_an_end, setup_poll, teardown),
        cmocka_unit_test_setup_teardown(headers_have_an_end, setup_small_result, teardown),
        cmocka_unit_test_setup_teardown(headers_have_an_end, setup_store, teardown),
        cmocka_unit_test_setup_teardown(trailers_have_an_end, setup_poll, teardown),
        cmocka_unit_test_setup_teardown(trailers_have_an_end, setup_small_result, teardown),
        cmocka_unit_test_setup_teardown(trailers_have_an_end, setup_store, teardown),
        cmocka_unit_test_setup_teardown(a_status_counts_whatever_its_body_is, setup_poll, teardown),
        cmocka_unit_test_setup_teardown(a_status_counts_whatever_its_body_is, setup_small_result, teardown),
        cmocka_unit_test_setup_teardown(a_status_counts_whatever_its_body_is, setup_store, teardown),
        cmocka_unit_test_setup_teardown(so_does_that_of_a_refusal_whose_body_never_ends, setup_small_result,
                                        teardown),
        cmocka_unit_test_setup_teardown(so_does_that_of_a_refusal_whose_body_never_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(so_does_that_of_a_refusal_whose_body_never_ends, setup_store,
                                        teardown),
        cmocka_unit_test_setup_teardown(trailers_are_no_headers, setup_poll, teardown),
        cmocka_unit_test_setup_teardown(an_answer_nobody_asked_for_answers_nothing, setup_poll, teardown),
        cmocka_unit_test_setup_teardown(an_answer_nobody_asked_for_answers_nothing, setup_small_result,
                                        teardown),
        cmocka_unit_test_setup_teardown(bodies_are_decoded, setup_poll, teardown),
        cmocka_unit_test_setup_teardown(bodies_are_decoded, setup_small_result, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_unpacked_without_end, setup_poll, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_unpacked_without_end, setup_small_result, teardown),
        cmocka_unit_test_setup_teardown(trailers_are_no_headers, setup_small_result, teardown),
        cmocka_unit_test_setup_teardown(a_redirect_without_memory_refuses_nothing, setup_store, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
