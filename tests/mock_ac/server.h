/*
 * One HTTP listener on libmicrohttpd, driven by the loop. It gathers a request, tells the
 * handlers, holds requests that wait (their connection is suspended, its socket watched for a
 * client that leaves), and ends them by an answer, a close or a reset.
 *
 * A request lives from `start` to `done`; both happen exactly once, in this order, with
 * `complete` between them unless the connection ends before. A client that closes its sending
 * side counts as gone.
 */
#ifndef MOCK_AC_SERVER_H
#define MOCK_AC_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "loop.h"
#include "text.h"

typedef struct server server_t;
typedef struct request request_t;

typedef struct {
    void (*start)(void *ctx, request_t *request); /* headers are there */

    /* A piece of the body. Returns false to have it gathered for request_body. */
    bool (*data)(void *ctx, request_t *request, span_t piece);

    /* All is there: answer, hold or kill. */
    void (*complete)(void *ctx, request_t *request);

    void (*gone)(void *ctx, request_t *request); /* the client left a held request, which ends now */
    void (*done)(void *ctx, request_t *request, bool sent); /* last call; sent: the answer went out whole */
    void (*opened)(void *ctx);
    void (*closed)(void *ctx, void *tag, bool reset); /* the connection's tag; reset: by the client */
} server_handlers_t;

typedef struct {
    int listen_fd;  /* owned by the server from server_new on */
    char *tls_cert; /* PEM texts, borrowed; NULL for plain HTTP */
    char *tls_key;
    size_t connection_memory;
} server_options_t;

/* NULL when libmicrohttpd refuses, such as for a bad certificate. `handlers` is borrowed. */
server_t *server_new(loop_t *loop, const server_options_t *options, const server_handlers_t *handlers,
                     void *ctx);

/*
 * Down for so long, from now on: connections are refused, and those there are end, by a reset where a
 * request waits. Without effect while it is down already. The port has to be one that was asked for by its
 * number, or another comes up in its place.
 */
void server_down(server_t *self, int64_t for_ms);

/* Ends all held requests, then closes every connection. */
void server_destroy(server_t **self);

span_t request_method(const request_t *self);
span_t request_uri(const request_t *self);  /* as received, with the query */
span_t request_path(const request_t *self); /* as received, without the query */
span_t request_body(const request_t *self);
const char *request_header(const request_t *self, const char *name); /* NULL when absent */
const char *request_query(const request_t *self, const char *name);  /* decoded; NULL when absent */

/* Calls `each` with every header as received, in order. */
void request_headers(const request_t *self, void (*each)(void *ctx, const char *name, const char *value),
                     void *ctx);

struct MHD_Connection *request_connection(const request_t *self);
int request_fd(const request_t *self);

/* Where a handler keeps its own state of the request and of its connection. */
void **request_slot(request_t *self);
void **request_tag(request_t *self);

/* True when the client has closed its side, by what the socket says now. */
bool request_client_gone(const request_t *self);

/* Takes the answer; it is sent after `delay_us`. */
void request_answer(request_t *self, answer_t **answer, int64_t delay_us);

/* Keeps the request waiting until `due_us`, when `due` has to answer, hold again or kill. */
void request_hold(request_t *self, int64_t due_us, void (*due)(void *ctx, request_t *request));

/* Ends the connection without an answer, by a TCP reset when `reset`. */
void request_kill(request_t *self, bool reset);

#endif
