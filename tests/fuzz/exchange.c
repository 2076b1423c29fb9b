#include "exchange.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ROUNDS 100000 /* a transfer that takes more turns hangs */

typedef struct {
    int listener, fd;
    const char *answer;
    size_t left;
    bool ended;
    char *request;
    size_t bytes, room;
} server_t;

static void must(bool holds) {
    if (!holds) abort();
}

/* A listener under a name that needs no file, one for each process. */
static int listen_as(char name[32]) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int len = snprintf(name, 32, "sluice-fuzz-%ld", (long)getpid());
    memcpy(address.sun_path + 1, name, (size_t)len);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    must(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 8) == 0);
    return fd;
}

static void take(server_t *self) {
    char octets[16384];
    ssize_t n;
    while ((n = read(self->fd, octets, sizeof octets)) > 0) {
        if (self->bytes + (size_t)n > self->room) {
            self->room = 2 * (self->bytes + (size_t)n);
            self->request = realloc(self->request, self->room);
            must(self->request != NULL);
        }
        memcpy(self->request + self->bytes, octets, (size_t)n);
        self->bytes += (size_t)n;
    }
}

static void serve(server_t *self) {
    if (self->fd < 0) self->fd = accept4(self->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (self->fd < 0) return;
    take(self);
    ssize_t n = self->left > 0 ? send(self->fd, self->answer, self->left, MSG_NOSIGNAL) : 0;
    if (n > 0) {
        self->answer += n;
        self->left -= (size_t)n;
    }
    if (self->left > 0 || self->ended) return;
    self->ended = true;
    (void)shutdown(self->fd, SHUT_WR);
}

static CURLcode run(CURLM *multi, CURL *easy, server_t *server, exchange_turn_fn turn, void *ctx) {
    for (int round = 0, running = 1; running > 0; round++) {
        must(round < ROUNDS && curl_multi_perform(multi, &running) == CURLM_OK);
        serve(server);
        CURLcode code = running > 0 && turn ? turn(ctx, easy) : CURLE_OK;
        if (code != CURLE_OK) return code;
        if (running > 0) must(curl_multi_poll(multi, NULL, 0, 1, NULL) == CURLM_OK);
    }
    int left;
    const CURLMsg *done = curl_multi_info_read(multi, &left);
    must(done && done->msg == CURLMSG_DONE);
    return done->data.result;
}

static CURLcode perform(CURL *easy, server_t *server, exchange_turn_fn turn, void *ctx) {
    char name[32];
    CURLM *multi = curl_multi_init();
    server->listener = listen_as(name);
    server->fd = -1;
    must(multi != NULL);
    (void)curl_easy_setopt(easy, CURLOPT_ABSTRACT_UNIX_SOCKET, name);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 100000L);
    must(curl_multi_add_handle(multi, easy) == CURLM_OK);
    CURLcode code = run(multi, easy, server, turn, ctx);
    must(server->fd >= 0); /* an exchange that never began would test nothing */
    take(server);
    must(curl_multi_remove_handle(multi, easy) == CURLM_OK && curl_multi_cleanup(multi) == CURLM_OK);
    (void)close(server->fd);
    (void)close(server->listener);
    return code;
}

CURLcode exchange(CURL *easy, const void *answer, size_t size, exchange_turn_fn turn, void *ctx) {
    server_t server = {.answer = answer, .left = size};
    CURLcode code = perform(easy, &server, turn, ctx);
    free(server.request);
    return code;
}

CURLcode exchange_request(CURL *easy, const void *answer, size_t size, char **request,
                          size_t *request_bytes) {
    server_t server = {.answer = answer, .left = size};
    CURLcode code = perform(easy, &server, NULL, NULL);
    *request = server.request;
    *request_bytes = server.bytes;
    return code;
}
