#include "common/http.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"

#define EVENTS_A_READ 64

struct http_t {
    CURLM *multi;
    CURLSH *share; /* TLS sessions: without it each easy handle would keep its own */
    bool keeps;    /* connections, for the next transfer */
    int epoll;
    int64_t due_ms; /* CLOCK_MONOTONIC; -1 for never */
};

/* What the engine keeps of a transfer under way; CURLOPT_PRIVATE points to it. */
typedef struct {
    http_done_fn done;
    void *ctx;
    char error[CURL_ERROR_SIZE];
} transfer_t;

static int64_t monotonic_ms(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* curl tells which socket waits for what. `known` is set for a socket that is in the epoll set already. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known) {
    http_t *self = ctx;
    struct epoll_event event = {.data.fd = fd};
    int op = known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(self->epoll, EPOLL_CTL_DEL, fd, NULL);
        (void)curl_multi_assign(self->multi, fd, NULL);
        return 0;
    }
    if (what & CURL_POLL_IN) event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
    if (epoll_ctl(self->epoll, op, fd, &event) < 0) {
        /* The number may have been closed and opened again behind our back. */
        op = errno == ENOENT ? EPOLL_CTL_ADD : errno == EEXIST ? EPOLL_CTL_MOD : 0;
        if (op == 0 || epoll_ctl(self->epoll, op, fd, &event) < 0) return -1;
    }
    (void)curl_multi_assign(self->multi, fd, self);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx) {
    http_t *self = ctx;

    (void)multi;
    self->due_ms = timeout_ms < 0 ? -1 : monotonic_ms() + timeout_ms;
    return 0;
}

http_t *http_new(long max_idle) {
    http_t *self = calloc(1, sizeof *self);

    if (!self) return NULL;
    self->keeps = max_idle > 0;
    self->due_ms = -1;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    self->multi = curl_multi_init();
    self->share = curl_share_init();
    if (self->epoll < 0 || !self->multi || !self->share) {
        http_destroy(&self);
        return NULL;
    }
    (void)curl_share_setopt(self->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    (void)curl_multi_setopt(self->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(self->multi, CURLMOPT_SOCKETDATA, self);
    (void)curl_multi_setopt(self->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(self->multi, CURLMOPT_TIMERDATA, self);
    if (self->keeps) (void)curl_multi_setopt(self->multi, CURLMOPT_MAXCONNECTS, max_idle);
    (void)curl_multi_setopt(self->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return self;
}

void http_destroy(http_t **self) {
    if (!self || !*self) return;
    if ((*self)->multi) (void)curl_multi_cleanup((*self)->multi);
    if ((*self)->share) (void)curl_share_cleanup((*self)->share);
    if ((*self)->epoll >= 0) (void)close((*self)->epoll);
    free(*self);
    *self = NULL;
}

int http_fd(const http_t *self) {
    return self->epoll;
}

long http_due_ms(const http_t *self) {
    int64_t left;

    if (self->due_ms < 0) return -1;
    left = self->due_ms - monotonic_ms();
    return left > 0 ? (long)left : 0;
}

static transfer_t *transfer_of(CURL *easy) {
    char *private = NULL;

    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    return (transfer_t *)(void *)private;
}

/* Takes the easy handle back from the engine; the share must not outlive it in there. */
static void detach(http_t *self, CURL *easy) {
    (void)curl_multi_remove_handle(self->multi, easy);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    (void)curl_easy_setopt(easy, CURLOPT_SHARE, NULL);
}

static void finish_one(http_t *self, CURL *easy, CURLcode code) {
    transfer_t *transfer = transfer_of(easy);

    detach(self, easy);
    if (!transfer) return;
    transfer->error[sizeof transfer->error - 1] = '\0';
    transfer->done(transfer->ctx, easy, code, transfer->error);
    free(transfer);
}

static void finish_ended(http_t *self) {
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(self->multi, &left))) {
        if (msg->msg == CURLMSG_DONE) finish_one(self, msg->easy_handle, msg->data.result);
    }
}

/* Hands the sockets that are ready to curl; false when there were none. */
static bool serve_sockets(http_t *self) {
    struct epoll_event events[EVENTS_A_READ];
    int running, count = epoll_wait(self->epoll, events, EVENTS_A_READ, 0);

    for (int i = 0; i < count; i++) {
        unsigned mask = 0;
        if (events[i].events & EPOLLIN) mask |= CURL_CSELECT_IN;
        if (events[i].events & EPOLLOUT) mask |= CURL_CSELECT_OUT;
        if (events[i].events & (EPOLLERR | EPOLLHUP)) mask |= CURL_CSELECT_ERR;
        (void)curl_multi_socket_action(self->multi, events[i].data.fd, (int)mask, &running);
    }
    return count > 0;
}

void http_turn(http_t *self) {
    int running;

    (void)serve_sockets(self);
    if (self->due_ms >= 0 && self->due_ms <= monotonic_ms()) {
        self->due_ms = -1;
        (void)curl_multi_socket_action(self->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    finish_ended(self);
}

int http_start(http_t *self, CURL *easy, http_done_fn done, void *ctx) {
    transfer_t *transfer = calloc(1, sizeof *transfer);

    if (!transfer) return ERR_NOMEM;
    transfer->done = done;
    transfer->ctx = ctx;
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    (void)curl_easy_setopt(easy, CURLOPT_SHARE, self->share);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (!self->keeps) (void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    /* A name lookup that hangs in its thread must not hold up everybody when the transfer ends. */
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    if (curl_multi_add_handle(self->multi, easy) != CURLM_OK) {
        detach(self, easy);
        free(transfer);
        return ERR_IO;
    }
    return 0;
}

void http_cancel(http_t *self, CURL *easy) {
    transfer_t *transfer = transfer_of(easy);

    detach(self, easy);
    free(transfer);
}

/* How much of a request's body has gone to the kernel; *length is -1 for a request without one. */
static curl_off_t octets_sent(CURL *easy, curl_off_t *length) {
    curl_off_t sent = 0;

    *length = -1;
    (void)curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    (void)curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_UPLOAD_T, length);
    return sent;
}

bool http_sent_whole(CURL *easy) {
    curl_off_t length, sent = octets_sent(easy, &length);

    return sent >= length;
}

static bool is_sent(CURL *easy) {
    curl_off_t length, sent = octets_sent(easy, &length);
    long status = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 300 || (length > 0 && sent >= length);
}

bool http_answer_is_late(CURL *easy, int64_t *sent_ms, int64_t now_ms, int64_t limit_ms) {
    if (*sent_ms < 0 && is_sent(easy)) *sent_ms = now_ms;
    return *sent_ms >= 0 && now_ms - *sent_ms >= limit_ms;
}

CURLcode http_pause(http_t *self, CURL *easy, bool paused) {
    (void)self;
    return curl_easy_pause(easy, paused ? CURLPAUSE_ALL : CURLPAUSE_CONT);
}
