/* HTTP transfers on one thread: curl_multi with its sockets in an epoll set of its own, whose descriptor goes
 * into the program's zmq_poll. Used by the executor (tools) and by the AC module; knows neither. */
#ifndef SLUICE_COMMON_HTTP_H
#define SLUICE_COMMON_HTTP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct http_t http_t;

/* Of one answer, with those of interim answers and trailers; curl's own bound does not count trailers. */
#define HTTP_HEADER_BYTES_MAX (256L * 1024)

/* Called once when a transfer has ended: `easy` is removed from the engine already and may be started again
 * or cleaned up. `error` has the library's text ("" if none). */
typedef void (*http_done_fn)(void *ctx, CURL *easy, CURLcode code, const char *error);

/* `max_idle` is the size of the connection cache; with 0 each transfer has a connection of its own, which
 * ends with it. TLS sessions are shared in any case. curl_global_init() is the program's. NULL when out of
 * memory or descriptors. */
http_t *http_new(long max_idle);
/* All transfers must have ended or been cancelled. */
void http_destroy(http_t **self);

/* The descriptor to poll for reading. */
int http_fd(const http_t *self);
/* Milliseconds until http_turn() is due without an event: 0 for now, -1 for never. */
long http_due_ms(const http_t *self);
/* Does what is due and calls the done functions of ended transfers. Never blocks. */
void http_turn(http_t *self);

/* Starts a transfer; `done` will be called from http_turn() (never from here). Sets CURLOPT_PRIVATE and
 * CURLOPT_ERRORBUFFER. 0, ERR_NOMEM or ERR_IO. */
int http_start(http_t *self, CURL *easy, http_done_fn done, void *ctx);
/* Ends a transfer without calling `done`; closes its connection when it was under way. */
void http_cancel(http_t *self, CURL *easy);
/* Whether all of the request's body went out. When an answer comes early and ends the connection curl sends
 * no more, and takes the transfer for a success. For a transfer that has had an answer. */
bool http_sent_whole(CURL *easy);
/* Whether the answer to a request with a body takes longer than `limit_ms`, from when nothing of the request
 * is left to send: all of it has gone to the kernel, or an answer of 300 and above has begun, after which
 * curl sends no more. Keeps that time in *sent_ms, which is -1 at the start. Until curl has connected a
 * handle that is used again may still tell of its former request. */
bool http_answer_is_late(CURL *easy, int64_t *sent_ms, int64_t now_ms, int64_t limit_ms);
/* Pause and go on (CURLPAUSE_ALL / CURLPAUSE_CONT), keeping the engine's timer right. Going on calls the
 * write function with what curl holds, and when that stops the transfer only this tells so, by curl's code:
 * the engine would wait on, so the caller cancels it. */
CURLcode http_pause(http_t *self, CURL *easy, bool paused);

#endif
