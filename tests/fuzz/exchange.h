/* One request by curl to a server in the same thread, which answers with octets that are given, whatever it
 * is asked. */
#ifndef SLUICE_TESTS_FUZZ_EXCHANGE_H
#define SLUICE_TESTS_FUZZ_EXCHANGE_H

#include <curl/curl.h>
#include <stddef.h>

/* Called between curl's turns. What it returns but CURLE_OK ends the exchange. */
typedef CURLcode (*exchange_turn_fn)(void *ctx, CURL *easy);

/* Performs it, whatever host the URL names, and closes the connection behind the answer. `turn` may be NULL.
 */
CURLcode exchange(CURL *easy, const void *answer, size_t size, exchange_turn_fn turn, void *ctx);
/* The same; what was sent is new memory of the caller. */
CURLcode exchange_request(CURL *easy, const void *answer, size_t size, char **request, size_t *request_bytes);

#endif
