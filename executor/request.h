/* A request to a tool: built from a task, changed by redirects, and put into a curl handle. What the tool
 * sees is what the old agent's library sends. */
#ifndef SLUICE_EXECUTOR_REQUEST_H
#define SLUICE_EXECUTOR_REQUEST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/task_json.h"
#include "executor/cookies.h"
#include "executor/header_list.h"
#include "executor/settings.h"
#include "executor/url.h"

#define REQUEST_REDIRECTS_MAX 30
#define REQUEST_TEXT_MAX                                                                                     \
    8000000 /* octets of a URL, or of a header with its name: more libcurl does not take */
#define REQUEST_WHY_MAX URL_WHY_MAX

/* The body is borrowed from the task. */
typedef struct {
    char *method;
    url_t url;
    header_list_t headers;
    cookies_t cookies;   /* that redirects have set */
    header_list_t local; /* headers of this machine's own, in place of the task's, for this hop */
    const char *body;    /* NULL for none */
    size_t body_bytes;
    bool send_length; /* Content-Length goes out though there is no body */
    int redirects;
    bool left; /* a redirect led to another origin */
} request_t;

/* Builds the first request of a task, which must outlive it. ERR_INVALID with `why` (no header, body or query
 * in it) when it cannot be sent, ERR_NOMEM. Call request_clear() in any case. */
int request_from_task(request_t *self, const task_t_json *task, char why[REQUEST_WHY_MAX]);
void request_clear(request_t *self);

/* Keeps the cookies of an answer to it, for the requests that follow by redirects. `headers` are UTF-8.
 * ERR_NOMEM. */
int request_take_cookies(request_t *self, const pair_t *headers, size_t count);

/* Turns it into the next one after a redirect. ERR_INVALID with `why`: the Location cannot be followed;
 * ERR_TOO_LARGE: there were REQUEST_REDIRECTS_MAX already; ERR_NOMEM. */
int request_redirect(request_t *self, int status, const char *location, char why[REQUEST_WHY_MAX]);

/* Whether the answer has no body whatever its headers say. */
bool request_is_head(const request_t *self);

/* Whether the request may be repeated without harm (RFC 9110 section 9.2.2). */
bool request_idempotent(const request_t *self);

/* "host:port" of the proxy it goes by; "" for none. */
const char *request_by_proxy(const request_t *self, const settings_t *settings);

/* Sets every option the request has. `headers` gets the list that must live as long as the transfer, freed by
 * the caller with curl_slist_free_all(). ERR_NOMEM. */
int request_apply(const request_t *self, const settings_t *settings, CURL *easy, struct curl_slist **headers);

#endif
