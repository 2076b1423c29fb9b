#include "server.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "mem.h"

#define CONNECTIONS_MAX 16384u

typedef struct conn {
    server_t *server;
    struct MHD_Connection *mhd;
    int fd;
    loop_watch_t *watch;
    request_t *request; /* the one under way, or NULL */
    void *tag;
    bool left; /* the client has closed its sending side, or reset the connection */
    struct conn *next_left;
    bool reset;
    struct conn *prev;
    struct conn *next;
} conn_t;

typedef enum { OUTCOME_OPEN, OUTCOME_ANSWER, OUTCOME_KILL } outcome_t;

struct request {
    conn_t *conn;
    char *uri;
    span_t method;
    buf_t body;
    void *slot;
    bool started;
    bool completed;
    bool held; /* the connection is suspended */
    outcome_t outcome;
    answer_t *answer;
    loop_timer_t *timer;
    void (*due)(void *ctx, request_t *request);
};

struct server {
    loop_t *loop;
    struct MHD_Daemon *daemon;
    loop_watch_t *watch;
    bool ready;
    bool ended; /* a request has, in this run */
    bool stopping;
    int listen_fd;
    int64_t up_us; /* while it is down: when it comes up */
    loop_timer_t *outage;
    conn_t *conns;
    conn_t *left; /* whose clients have left since the last run */
    const server_handlers_t *handlers;
    void *ctx;
};

/* ---- requests ---- */

span_t request_method(const request_t *self) {
    return self->method;
}

span_t request_uri(const request_t *self) {
    return span_of(self->uri);
}

span_t request_path(const request_t *self) {
    return (span_t){self->uri, strcspn(self->uri, "?")};
}

span_t request_body(const request_t *self) {
    return span_buf(&self->body);
}

const char *request_header(const request_t *self, const char *name) {
    return MHD_lookup_connection_value(self->conn->mhd, MHD_HEADER_KIND, name);
}

const char *request_query(const request_t *self, const char *name) {
    return MHD_lookup_connection_value(self->conn->mhd, MHD_GET_ARGUMENT_KIND, name);
}

typedef struct {
    void (*each)(void *ctx, const char *name, const char *value);
    void *ctx;
} header_visitor_t;

static enum MHD_Result visit_header(void *ctx, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    header_visitor_t *visitor = ctx;
    visitor->each(visitor->ctx, name, value ? value : "");
    return MHD_YES;
}

void request_headers(const request_t *self, void (*each)(void *ctx, const char *name, const char *value),
                     void *ctx) {
    header_visitor_t visitor = {each, ctx};
    MHD_get_connection_values(self->conn->mhd, MHD_HEADER_KIND, visit_header, &visitor);
}

struct MHD_Connection *request_connection(const request_t *self) {
    return self->conn->mhd;
}

int request_fd(const request_t *self) {
    return self->conn->fd;
}

void **request_slot(request_t *self) {
    return &self->slot;
}

void **request_tag(request_t *self) {
    return &self->conn->tag;
}

bool request_client_gone(const request_t *self) {
    struct pollfd poll_fd = {.fd = self->conn->fd, .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) == 1;
}

/* Gives the connection back to libmicrohttpd, which asks the access handler again. */
static void request_resume(request_t *self) {
    loop_cancel(self->conn->server->loop, &self->timer);
    if (!self->held) return;
    self->held = false;
    MHD_resume_connection(self->conn->mhd);
    self->conn->server->ready = true; /* MHD_get_timeout() does not tell of a resumed connection */
    loop_kick(self->conn->server->loop);
}

static void on_due(void *ctx) {
    request_t *self = ctx;
    self->timer = NULL;
    self->due(self->conn->server->ctx, self);
}

void request_hold(request_t *self, int64_t due_us, void (*due)(void *ctx, request_t *request)) {
    loop_t *loop = self->conn->server->loop;
    loop_cancel(loop, &self->timer);
    self->due = due;
    self->timer = loop_at(loop, due_us, on_due, self);
}

static void answer_due(void *ctx, request_t *self) {
    (void)ctx;
    self->outcome = OUTCOME_ANSWER;
    request_resume(self);
}

void request_answer(request_t *self, answer_t **answer, int64_t delay_us) {
    self->answer = *answer;
    *answer = NULL;
    if (delay_us > 0)
        request_hold(self, loop_now_us() + delay_us, answer_due);
    else
        answer_due(NULL, self);
}

void request_kill(request_t *self, bool reset) {
    if (reset) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        setsockopt(self->conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    self->outcome = OUTCOME_KILL;
    request_resume(self);
}

static void request_destroy(request_t **self) {
    loop_cancel((*self)->conn->server->loop, &(*self)->timer);
    answer_destroy(&(*self)->answer);
    buf_free(&(*self)->body);
    free((*self)->uri);
    free(*self);
    *self = NULL;
}

/* ---- connections ---- */

static void request_gone(request_t *self) {
    server_t *server = self->conn->server;
    server->handlers->gone(server->ctx, self);
    request_kill(self, false);
}

static void on_conn_event(void *ctx, uint32_t events) {
    conn_t *conn = ctx;
    if (!conn->left) {
        conn->left = true;
        conn->next_left = conn->server->left;
        conn->server->left = conn;
    }
    if (events & (EPOLLERR | EPOLLHUP)) conn->reset = true;
    if (conn->request && conn->request->held) request_gone(conn->request);
}

static void conn_open(server_t *self, struct MHD_Connection *mhd, void **socket_ctx) {
    conn_t *conn = mem_new(1, sizeof *conn);
    conn->server = self;
    conn->mhd = mhd;
    conn->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    conn->watch = loop_watch(self->loop, conn->fd, EPOLLRDHUP | EPOLLET, on_conn_event, conn);
    conn->next = self->conns;
    if (conn->next) conn->next->prev = conn;
    self->conns = conn;
    *socket_ctx = conn;
    self->handlers->opened(self->ctx);
}

/* A socket in state CLOSE before we closed it was reset by the client. */
static bool conn_was_reset(const conn_t *conn) {
    struct tcp_info info;
    socklen_t len = sizeof info;
    return conn->reset ||
           (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE);
}

static void conn_close(conn_t *conn) {
    server_t *server = conn->server;
    loop_unwatch(server->loop, &conn->watch);
    for (conn_t **at = &server->left; *at; at = &(*at)->next_left) {
        if (*at != conn) continue;
        *at = conn->next_left;
        break;
    }
    server->handlers->closed(server->ctx, conn->tag, conn_was_reset(conn));
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next) conn->next->prev = conn->prev;
    free(conn);
}

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_open(ctx, mhd, socket_ctx);
    else if (*socket_ctx)
        conn_close(*socket_ctx);
}

/* ---- libmicrohttpd's callbacks ---- */

static void *on_uri(void *ctx, const char *uri, struct MHD_Connection *mhd) {
    (void)ctx;
    request_t *request = mem_new(1, sizeof *request);
    request->conn = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    request->uri = mem_copy(uri, strlen(uri));
    return request;
}

static enum MHD_Result request_end(request_t *self) {
    bool waits = self->outcome == OUTCOME_OPEN || self->timer;
    if (waits && self->conn->left) {
        request_gone(self);
    } else if (waits) {
        self->held = true;
        MHD_suspend_connection(self->conn->mhd);
        return MHD_YES;
    }
    if (self->outcome == OUTCOME_KILL) return MHD_NO;
    struct MHD_Response *response = answer_response(self->answer);
    if (!response) return MHD_NO;
    enum MHD_Result queued =
        MHD_queue_response(self->conn->mhd, (unsigned)answer_status(self->answer), response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result on_access(void *ctx, struct MHD_Connection *mhd, const char *url, const char *method,
                                 const char *version, const char *data, size_t *data_len,
                                 void **request_ctx) {
    (void)mhd;
    (void)url;
    (void)version;
    server_t *self = ctx;
    request_t *request = *request_ctx;
    if (!request->started) {
        request->started = true;
        request->method = span_of(method);
        request->conn->request = request;
        self->handlers->start(self->ctx, request);
        return MHD_YES;
    }
    if (*data_len) {
        span_t piece = {data, *data_len};
        if (!self->handlers->data(self->ctx, request, piece)) buf_add(&request->body, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    if (!request->completed) {
        request->completed = true;
        self->handlers->complete(self->ctx, request);
    }
    return self->stopping ? MHD_NO : request_end(request);
}

static void on_completed(void *ctx, struct MHD_Connection *mhd, void **request_ctx,
                         enum MHD_RequestTerminationCode code) {
    (void)mhd;
    server_t *self = ctx;
    request_t *request = *request_ctx;
    self->ended = true;
    if (!request) return;
    if (request->started) {
        request->conn->request = NULL;
        self->handlers->done(self->ctx, request, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    }
    request_destroy(&request);
    *request_ctx = NULL;
}

/* ---- the server ---- */

static void on_ready(void *ctx, uint32_t events) {
    (void)events;
    ((server_t *)ctx)->ready = true;
}

static bool server_pending(const server_t *self) {
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    return MHD_get_timeout(self->daemon, &timeout_ms) == MHD_YES && timeout_ms == 0;
}

/*
 * libmicrohttpd reads once per edge, and so misses an end that comes together with data: a client killed
 * in the middle of its request would stay for ever. Once all data has been read, shutting down our receiving
 * side makes a new edge.
 */
static void wake_left(server_t *self) {
    for (conn_t **at = &self->left; *at;) {
        conn_t *conn = *at;
        int unread = 0;
        if (ioctl(conn->fd, FIONREAD, &unread) == 0 && unread > 0) {
            at = &conn->next_left;
            continue;
        }
        *at = conn->next_left;
        shutdown(conn->fd, SHUT_RD);
        self->ended = true;
    }
}

static void on_turn(void *ctx) {
    server_t *self = ctx;
    if (!self->ready && !self->left && !server_pending(self)) return;
    self->ready = self->ended = false;
    MHD_run(self->daemon);
    wake_left(self);
    if (self->ended) { /* connections are closed at the start of the next run only */
        self->ended = false;
        MHD_run(self->daemon);
        wake_left(self);
    }
    if (self->ended) self->ready = true;
    if (self->ready || server_pending(self)) loop_kick(self->loop);
}

static struct MHD_Daemon *start_daemon(server_t *self, const server_options_t *options) {
    bool tls = options->tls_cert != NULL;
    struct MHD_OptionItem tls_items[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, options->tls_cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, options->tls_key},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | (tls ? MHD_USE_TLS : 0u);
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, self, MHD_OPTION_LISTEN_SOCKET, options->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        options->connection_memory, MHD_OPTION_URI_LOG_CALLBACK, on_uri, self, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, self, MHD_OPTION_NOTIFY_CONNECTION, on_connection, self,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, tls ? tls_items : none, MHD_OPTION_END);
}

server_t *server_new(loop_t *loop, const server_options_t *options, const server_handlers_t *handlers,
                     void *ctx) {
    server_t *self = mem_new(1, sizeof *self);
    *self = (server_t){.loop = loop, .handlers = handlers, .ctx = ctx, .listen_fd = options->listen_fd};
    self->daemon = start_daemon(self, options);
    if (self->daemon) {
        int epoll_fd = MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
        self->watch = loop_watch(loop, epoll_fd, EPOLLIN, on_ready, self);
        loop_each_turn(loop, on_turn, self);
        return self;
    }
    free(self);
    return NULL;
}

void server_destroy(server_t **self) {
    if (!*self) return;
    (*self)->stopping = true;
    for (conn_t *conn = (*self)->conns; conn; conn = conn->next)
        if (conn->request) request_kill(conn->request, false);
    MHD_run((*self)->daemon);
    loop_cancel((*self)->loop, &(*self)->outage);
    loop_unwatch((*self)->loop, &(*self)->watch);
    MHD_stop_daemon((*self)->daemon);
    free(*self);
    *self = NULL;
}

/* ---- outages ---- */

static int daemon_epoll(const server_t *self) {
    return MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

/* libmicrohttpd would spin on a listening socket that listens no more. */
static void come_up(void *ctx) {
    server_t *self = ctx;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = self->daemon};
    self->outage = NULL;
    if (listen(self->listen_fd, SOMAXCONN) != 0 ||
        epoll_ctl(daemon_epoll(self), EPOLL_CTL_ADD, self->listen_fd, &event) != 0)
        abort();
    self->ready = true;
    loop_kick(self->loop);
}

static void go_down(void *ctx) {
    server_t *self = ctx;
    (void)epoll_ctl(daemon_epoll(self), EPOLL_CTL_DEL, self->listen_fd, NULL);
    shutdown(self->listen_fd, SHUT_RDWR);
    for (conn_t *conn = self->conns; conn; conn = conn->next) {
        if (conn->request && conn->request->held)
            request_kill(conn->request, true);
        else
            shutdown(conn->fd, SHUT_RDWR);
    }
    self->outage = loop_at(self->loop, self->up_us, come_up, self);
}

void server_down(server_t *self, int64_t for_ms) {
    if (self->outage) return;
    self->up_us = loop_now_us() + for_ms * 1000;
    self->outage = loop_at(self->loop, loop_now_us() + 20000, go_down, self);
}
