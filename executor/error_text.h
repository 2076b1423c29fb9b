/* The texts of error results. They name host, port, phase and the library's reason; never a header, a body, a
 * query string, a user or a password. */
#ifndef SLUICE_EXECUTOR_ERROR_TEXT_H
#define SLUICE_EXECUTOR_ERROR_TEXT_H

#include <curl/curl.h>

#include "common/messages.h"
#include "executor/url.h"

#define ERROR_TEXT_MAX 1024

/* "Agent Side Error: Error: WHY". */
void error_text_agent(const char *why, char text[ERROR_TEXT_MAX]);
/* The same with the host in front: "Agent Side Error: Error: HOST:PORT: WHY". */
void error_text_at(const url_t *url, const char *why, char text[ERROR_TEXT_MAX]);
/* "Agent Side Error: Network error: HOST:PORT: WHY". */
void error_text_network(const url_t *url, const char *why, char text[ERROR_TEXT_MAX]);
/* The same for a transfer that curl ended with `code`; `reason` is curl's own text or "", `proxy` the
 * "host:port" it went by or "", `headers` are those it sent. Times are asked of `easy`. */
void error_text_transfer(const url_t *url, const char *proxy, CURL *easy, const struct curl_slist *headers,
                         CURLcode code, const char *reason, char text[ERROR_TEXT_MAX]);

/* Such a text in few words, for RESULT: without what all begin with. Of a long one first what happened, and
 * the host once behind it; of words that are still too long, and then of all, the beginning and the end, cut
 * between characters. */
void error_text_short(const char *text, char why[MSG_WHY_MAX + 1]);

#endif
