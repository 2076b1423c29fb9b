/* Requests with a file: it may take its time to go out, the answer to it may not come for ever. The clock is
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

#include "common/ac_door.h"
#include "common/clock.h"
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
    char reason[201];
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
} fixture_t;

static void end_with(ended_t *ended, outcome_t outcome, uint16_t status, bool timed_out, const char *reason) {
    ended->done++;
    ended->outcome = outcome;
    ended->status = status;
    ended->timed_out = timed_out;
    (void)snprintf(ended->reason, sizeof ended->reason, "%s", reason);
}

static void on_answer(void *ctx, const ac_answer_t *answer) {
    end_with(ctx, answer->outcome, answer->http_status, answer->timed_out, answer->reason);
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

static int teardown(void **state) {
    fixture_t *it = *state;
    ac_line_destroy(&it->line);
    store_body_destroy(&it->store);
    ac_door_destroy(&it->door);
    http_destroy(&it->http);
    if (it->connection >= 0) (void)close(it->connection);
    (void)close(it->listener);
    (void)close(it->file);
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
        assert_int_equal(ac_line_start(it->line, &it->lease, &request, now_ms, on_answer, &it->ended), 0);
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
    const char *body = length ? strstr(length, "\r\n\r\n") : NULL;
    if (body) it->whole = body + 4 - bytes + strtoll(length + 16, NULL, 10);
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

static int64_t limit_ms(const fixture_t *it) {
    return it->to_store ? 360000 : 900000;
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
    assert_true(it->ended.timed_out);
}

/* What curl says of the former request is not taken for the next one's. */
static void the_next_one_has_its_own_time(void **state) {
    fixture_t *it = *state;
    start(it);
    send_all(it);
    say(it, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    end(it);
    assert_int_equal(it->ended.outcome, OUTCOME_SERVER);
    start(it);
    ac_line_turn(it->line, clock_boot_ms());
    store_body_turn(it->store, clock_boot_ms());
    send_some(it, 1000000);
    turn(it, DAY_MS);
    assert_int_equal(it->ended.done, 0);
}

int main(void) {
    (void)setenv("no_proxy", "*", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_may_take_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_may_not, setup, teardown),
        cmocka_unit_test_setup_teardown(nor_may_one_that_comes_before_the_file_is_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(the_next_one_has_its_own_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_may_take_its_time, setup_store, teardown),
        cmocka_unit_test_setup_teardown(an_answer_may_not, setup_store, teardown),
        cmocka_unit_test_setup_teardown(nor_may_one_that_comes_before_the_file_is_sent, setup_store,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_next_one_has_its_own_time, setup_store, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
