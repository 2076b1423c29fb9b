/* One request by curl to a server in the same thread, which answers with octets that are given, whatever it
 * is asked. */
#ifndef SLUICE_TESTS_FUZZ_EXCHANGE_H
#define SLUICE_TESTS_FUZZ_EXCHANGE_H

#include <curl/curl.h>
#include <stddef.h>

/* Performs it, whatever host the URL names, and closes the connection behind the answer. What was sent is new
 * memory of the caller, unless `request` is NULL. */
CURLcode exchange(CURL *easy, const void *answer, size_t size, char **request, size_t *request_bytes);

#endif
