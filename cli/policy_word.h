/* The policy's word on a request from this machine, as an executor here would have it. */
#ifndef SLUICE_CLI_POLICY_WORD_H
#define SLUICE_CLI_POLICY_WORD_H

#include <stdbool.h>

#include "common/policy.h"
#include "executor/url.h"

#define POLICY_WORD_MAX (POLICY_TEXT_MAX + 300)

/* For one address, or NULL when it is not known: "allowed by RULE; sends its header X", without any value. */
void policy_word(const policy_t *policy, const url_t *url, const char *method,
                 const policy_address_t *address, policy_verdict_t *verdict, char text[POLICY_WORD_MAX]);

/* What is told of a URL: once for each of its addresses, or once, with `where` NULL, when it has none here,
 * is one itself, or goes by a proxy. */
typedef void policy_tell_fn(void *ctx, const char *where, const policy_verdict_t *verdict, const char *text);
/* 0, or getaddrinfo's code: then its name alone was judged. */
int policy_words(const policy_t *policy, const url_t *url, const char *method, bool by_proxy,
                 policy_tell_fn *tell, void *ctx);

#endif
