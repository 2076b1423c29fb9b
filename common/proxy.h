/* By which proxy a request goes: one that is given, or the environment's. For AC, the store and tools alike.
 */
#ifndef SLUICE_COMMON_PROXY_H
#define SLUICE_COMMON_PROXY_H

#include <curl/curl.h>
#include <stdbool.h>

#define PROXY_WHERE_MAX 128

/* The proxy for the URLs of one scheme. */
typedef struct {
    char *url;                   /* with port, may hold user and password; "" for none */
    char *no_proxy;              /* hosts that go without it; "" for none */
    char where[PROXY_WHERE_MAX]; /* host:port, for error texts; "" for none */
    bool authorizes;             /* requests to it bear a Proxy-Authorization of its own */
} proxy_t;

/* Takes `given`, which ignores no_proxy, or, when that is empty, the environment's: https_proxy or
 * http_proxy, all_proxy, no_proxy, lower case before upper. Without a scheme it is http, without a port 80 or
 * 443, as the old agent's library has it. ERR_INVALID: no URL of a proxy; ERR_NOMEM; *why is then a constant
 * text. Call proxy_clear() in any case. */
int proxy_choose(proxy_t *self, const char *given, bool https, const char **why);
void proxy_clear(proxy_t *self);

/* Whether a request to `host` (an IPv6 address with or without its brackets) goes by the proxy. no_proxy
 * lists, parted by commas: "*"; a host, which stands for its subdomains too, with or without a dot in front
 * or a port behind; an IPv4 address, or a network as 10.0.0.0/8. */
bool proxy_used(const proxy_t *self, const char *host, unsigned port);
/* Sets it up for a request to `host`, so that curl reads no environment. */
void proxy_apply(const proxy_t *self, CURL *easy, const char *host, unsigned port);

#endif
