#include "cli/policy_word.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void policy_word(const policy_t *policy, const url_t *url, const char *method,
                 const policy_address_t *address, policy_verdict_t *verdict, char text[POLICY_WORD_MAX]) {
    *verdict = (policy_verdict_t){.built_in = true, .text = "want of memory"};
    char *path = policy_path(url->target);
    const policy_question_t question = {.https = url->https,
                                        .host = url->host,
                                        .port = url_port(url),
                                        .method = method,
                                        .target = url->target,
                                        .path = path,
                                        .address = address};
    if (path) policy_judge(policy, &question, verdict);
    free(path);
    int used =
        snprintf(text, POLICY_WORD_MAX, "%s by %s", verdict->allowed ? "allowed" : "refused", verdict->text);
    size_t count = verdict->allowed ? policy_header_count(verdict->rule) : 0;
    for (size_t i = 0; i < count && used > 0 && used < POLICY_WORD_MAX; i++)
        used += snprintf(text + used, (size_t)(POLICY_WORD_MAX - used), "%s%s",
                         i ? ", " : "; sends its header ", policy_header_name(verdict->rule, i));
}

/* The host without its brackets, for the look-up. */
static void plain_host(const url_t *url, char host[256]) {
    size_t len = strlen(url->host), skip = url->host[0] == '[' && len > 2;
    (void)snprintf(host, 256, "%.*s", (int)(len - 2 * skip), url->host + skip);
}

int policy_words(const policy_t *policy, const url_t *url, const char *method, bool by_proxy,
                 policy_tell_fn *tell, void *ctx) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    policy_address_t address;
    policy_verdict_t verdict;
    char text[POLICY_WORD_MAX], host[256];
    plain_host(url, host);
    bool looked_up = !by_proxy && !policy_literal(url->host, &address);
    int err = looked_up ? getaddrinfo(host, NULL, &hints, &found) : 0;
    if (!found) {
        policy_word(policy, url, method, NULL, &verdict, text);
        tell(ctx, NULL, &verdict, text);
        return err;
    }
    for (const struct addrinfo *at = found; at; at = at->ai_next) {
        char where[NI_MAXHOST] = "?";
        (void)getnameinfo(at->ai_addr, at->ai_addrlen, where, sizeof where, NULL, 0, NI_NUMERICHOST);
        if (!policy_address(at->ai_addr, &address)) continue;
        policy_word(policy, url, method, &address, &verdict, text);
        tell(ctx, where, &verdict, text);
    }
    freeaddrinfo(found);
    return 0;
}
