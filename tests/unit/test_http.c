/* The transfer engine, driven as a program drives it: its descriptor and its timer are all that is looked at.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/http.h"

#define CONNECTIONS_MAX 64
#define ANSWER          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* A server that answers every request that has come with ANSWER, or with nothing while it is `silent`. */
typedef struct {
    int listener;
    unsigned port;
    int connections[CONNECTIONS_MAX];
    size_t count;
    bool silent;
    int requests;
} server_t;

typedef struct {
    int done;
    CURLcode code;
    char error[256];
    size_t bytes;
    http_t *http; /* to start the same again when it ends */
    int again;
} outcome_t;

static int64_t now_ms(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void server_open(server_t *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    *server = (server_t){.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server->listener, 64), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
    server->port = ntohs(address.sin_port);
}

static void server_turn(server_t *server) {
    char bytes[4096];
    int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        assert_true(server->count < CONNECTIONS_MAX);
        server->connections[server->count++] = fd;
    }
    for (size_t i = 0; i < server->count; i++) {
        ssize_t got = recv(server->connections[i], bytes, sizeof bytes - 1, 0);
        if (got <= 0) continue;
        server->requests++;
        if (!server->silent)
            assert_int_equal(send(server->connections[i], ANSWER, strlen(ANSWER), MSG_NOSIGNAL),
                             strlen(ANSWER));
    }
}

static void server_close(server_t *server) {
    for (size_t i = 0; i < server->count; i++)
        (void)close(server->connections[i]);
    (void)close(server->listener);
}

static size_t on_body(const char *bytes, size_t size, size_t count, void *ctx) {
    outcome_t *outcome = ctx;

    (void)bytes;
    outcome->bytes += size * count;
    return size * count;
}

static void on_done(void *ctx, CURL *easy, CURLcode code, const char *error) {
    outcome_t *outcome = ctx;

    outcome->done++;
    outcome->code = code;
    (void)snprintf(outcome->error, sizeof outcome->error, "%s", error);
    if (outcome->again > 0) {
        outcome->again--;
        assert_int_equal(http_start(outcome->http, easy, on_done, outcome), 0);
    }
}

static CURL *make_easy(unsigned port, outcome_t *outcome) {
    CURL *easy = curl_easy_init();
    char url[64];

    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    assert_int_equal(curl_easy_setopt(easy, CURLOPT_URL, url), CURLE_OK);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, outcome);
    return easy;
}

/* Waits as a program does, until `outcome` has ended `times` times or `limit_ms` is over. */
static void drive(http_t *http, server_t *server, const outcome_t *outcome, int times, int limit_ms) {
    int64_t end = now_ms() + limit_ms;

    while (outcome->done < times && now_ms() < end) {
        struct pollfd items[2] = {{.fd = http_fd(http), .events = POLLIN},
                                  {.fd = server ? server->listener : -1, .events = POLLIN}};
        long due = http_due_ms(http);
        (void)poll(items, 2, due >= 0 && due < 5 ? (int)due : 5);
        http_turn(http);
        if (server) server_turn(server);
    }
}

/* By an engine that keeps `max_idle` connections; gives how many there were. */
static int connections_of_50(long max_idle) {
    http_t *http = http_new(max_idle);
    server_t server;
    outcome_t outcome = {.http = http, .again = 49};
    CURL *easy;

    server_open(&server);
    easy = make_easy(server.port, &outcome);
    assert_int_equal(http_start(http, easy, on_done, &outcome), 0);
    assert_int_equal(outcome.done, 0);
    drive(http, &server, &outcome, 50, 10000);
    assert_int_equal(outcome.done, 50);
    assert_int_equal(outcome.code, CURLE_OK);
    assert_string_equal(outcome.error, "");
    assert_int_equal(outcome.bytes, 100);
    curl_easy_cleanup(easy);
    http_destroy(&http);
    assert_null(http);
    server_close(&server);
    return (int)server.count;
}

static void reuses_connections(void **state) {
    (void)state;
    assert_int_equal(connections_of_50(4), 1);
    assert_int_equal(connections_of_50(0), 50);
}

static void runs_many_at_once(void **state) {
    http_t *http = http_new(64);
    server_t server;
    outcome_t outcome = {0};
    CURL *easy[50];

    (void)state;
    server_open(&server);
    for (int i = 0; i < 50; i++) {
        easy[i] = make_easy(server.port, &outcome);
        assert_int_equal(http_start(http, easy[i], on_done, &outcome), 0);
    }
    drive(http, &server, &outcome, 50, 10000);
    assert_int_equal(outcome.done, 50);
    assert_int_equal(server.requests, 50);
    for (int i = 0; i < 50; i++)
        curl_easy_cleanup(easy[i]);
    http_destroy(&http);
    server_close(&server);
}

static void cancels_without_a_word(void **state) {
    http_t *http = http_new(4);
    server_t server;
    outcome_t outcome = {0};
    CURL *easy;
    char byte;

    (void)state;
    server_open(&server);
    server.silent = true;
    easy = make_easy(server.port, &outcome);
    assert_int_equal(http_start(http, easy, on_done, &outcome), 0);
    for (int i = 0; i < 1000 && server.requests == 0; i++)
        drive(http, &server, &outcome, 1, 5);
    assert_int_equal(server.requests, 1);
    http_cancel(http, easy);
    assert_int_equal(outcome.done, 0);
    assert_int_equal(recv(server.connections[0], &byte, 1, 0), 0); /* closed */
    server.silent = false;
    assert_int_equal(http_start(http, easy, on_done, &outcome), 0);
    drive(http, &server, &outcome, 1, 5000);
    assert_int_equal(outcome.code, CURLE_OK);
    curl_easy_cleanup(easy);
    http_destroy(&http);
    server_close(&server);
}

static void reports_failures_and_timeouts(void **state) {
    http_t *http = http_new(4);
    server_t server;
    outcome_t refused = {0}, late = {0};
    CURL *easy;

    (void)state;
    server_open(&server);
    server_close(&server);
    easy = make_easy(server.port, &refused);
    assert_int_equal(http_start(http, easy, on_done, &refused), 0);
    drive(http, NULL, &refused, 1, 5000);
    assert_int_equal(refused.code, CURLE_COULDNT_CONNECT);
    assert_true(refused.error[0] != '\0');
    curl_easy_cleanup(easy);

    server_open(&server);
    server.silent = true;
    easy = make_easy(server.port, &late);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 50L);
    assert_int_equal(http_start(http, easy, on_done, &late), 0);
    drive(http, &server, &late, 1, 5000);
    assert_int_equal(late.code, CURLE_OPERATION_TIMEDOUT);
    curl_easy_cleanup(easy);
    assert_int_equal(http_due_ms(http), -1);
    http_destroy(&http);
    server_close(&server);
}

static void pauses(void **state) {
    http_t *http = http_new(4);
    server_t server;
    outcome_t outcome = {0};
    CURL *easy;

    (void)state;
    server_open(&server);
    easy = make_easy(server.port, &outcome);
    assert_int_equal(http_start(http, easy, on_done, &outcome), 0);
    http_turn(http); /* connecting */
    assert_int_equal(http_pause(http, easy, true), CURLE_OK);
    drive(http, &server, &outcome, 1, 100);
    assert_int_equal(outcome.bytes, 0);
    assert_int_equal(outcome.done, 0);
    assert_int_equal(http_pause(http, easy, false), CURLE_OK);
    drive(http, &server, &outcome, 1, 5000);
    assert_int_equal(outcome.done, 1);
    assert_int_equal(outcome.bytes, 2);
    curl_easy_cleanup(easy);
    http_destroy(&http);
    http_destroy(&http);
    server_close(&server);
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
        cmocka_unit_test(reuses_connections),
        cmocka_unit_test(runs_many_at_once),
        cmocka_unit_test(cancels_without_a_word),
        cmocka_unit_test(reports_failures_and_timeouts),
        cmocka_unit_test(pauses),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
