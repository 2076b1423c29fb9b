#include "common/proxy.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"

/* A variable of the environment, its lower-case name before the upper-case one; "" for none. */
static const char *environment(const char *name) {
    char upper[32];
    const char *value = getenv(name);
    size_t len = strlen(name);

    if (value || len >= sizeof upper) return value ? value : "";
    for (size_t i = 0; i <= len; i++)
        upper[i] = (char)toupper((unsigned char)name[i]);
    value = getenv(upper);
    return value ? value : "";
}

static bool is_supported(const char *scheme) {
    static const char *const schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (strcasecmp(scheme, schemes[i]) == 0) return true;
    }
    return false;
}

/* Checks the URL and completes its port; what is no URL must not come to curl, whose complaint would show it.
 */
static int complete(proxy_t *self, const char *text) {
    CURLU *parts = curl_url();
    char *scheme = NULL, *user = NULL, *host = NULL, *port = NULL, *url = NULL, *whole = NULL;
    int err =
        parts && asprintf(&whole, "%s%s", strstr(text, "://") ? "" : "http://", text) >= 0 ? 0 : ERR_NOMEM;

    if (!err && (curl_url_set(parts, CURLUPART_URL, whole, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
                 curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || !is_supported(scheme) ||
                 curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK || !host[0]))
        err = ERR_INVALID;
    if (!err && curl_url_get(parts, CURLUPART_PORT, &port, 0) != CURLUE_OK) {
        const char *usual = strcasecmp(scheme, "https") == 0  ? "443"
                            : strcasecmp(scheme, "http") == 0 ? "80"
                                                              : "1080";
        if (curl_url_set(parts, CURLUPART_PORT, usual, 0) != CURLUE_OK ||
            curl_url_get(parts, CURLUPART_PORT, &port, 0) != CURLUE_OK)
            err = ERR_NOMEM;
    }
    if (!err && curl_url_get(parts, CURLUPART_URL, &url, 0) != CURLUE_OK) err = ERR_NOMEM;
    if (!err) {
        (void)snprintf(self->where, sizeof self->where, "%.100s:%.5s", host, port);
        self->authorizes =
            strncasecmp(scheme, "http", 4) == 0 && curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK;
        self->url = strdup(url);
        if (!self->url) err = ERR_NOMEM;
    }
    curl_free(scheme);
    curl_free(user);
    curl_free(host);
    curl_free(port);
    curl_free(url);
    free(whole);
    curl_url_cleanup(parts);
    return err;
}

int proxy_choose(proxy_t *self, const char *given, bool https, const char **why) {
    const char *url = given;
    int err;

    *self = (proxy_t){0};
    *why = "the proxy that is given is no URL of one; it must be like http://proxy.example:3128";
    if (!url[0]) {
        url = environment(https ? "https_proxy" : "http_proxy");
        *why = https ? "https_proxy in the environment is no URL of a proxy; it must be like "
                       "http://proxy.example:3128"
                     : "http_proxy in the environment is no URL of a proxy; it must be like "
                       "http://proxy.example:3128";
    }
    if (!url[0]) {
        url = environment("all_proxy");
        *why = "all_proxy in the environment is no URL of a proxy; it must be like http://proxy.example:3128";
    }
    self->no_proxy = strdup(given[0] || !url[0] ? "" : environment("no_proxy"));
    if (!url[0]) self->url = strdup("");
    err = url[0] ? complete(self, url) : 0;
    if (!err && (!self->url || !self->no_proxy)) err = ERR_NOMEM;
    if (err == ERR_NOMEM) *why = err_str(err);
    return err;
}

void proxy_clear(proxy_t *self) {
    free(self->url);
    free(self->no_proxy);
    *self = (proxy_t){0};
}

/* Whether `host` lies in the network "10.0.0.0/8". */
static bool is_in_network(const char *host, const char *network, size_t len) {
    char text[INET_ADDRSTRLEN + 4];
    struct in_addr address, base;
    char *slash, *end;
    long bits;

    if (len >= sizeof text) return false;
    memcpy(text, network, len);
    text[len] = '\0';
    slash = strchr(text, '/');
    if (!slash) return false;
    *slash = '\0';
    bits = strtol(slash + 1, &end, 10);
    if (end == slash + 1 || *end || bits < 0 || bits > 32) return false;
    if (inet_pton(AF_INET, host, &address) != 1 || inet_pton(AF_INET, text, &base) != 1) return false;
    return bits == 0 || (ntohl(address.s_addr) ^ ntohl(base.s_addr)) >> (32 - bits) == 0;
}

/* Whether `host` is the name, or lies under it; numbers have nothing under them. */
static bool is_under(const char *host, const char *name, size_t len) {
    size_t host_len = strlen(host);
    struct in_addr address;

    while (len > 0 && name[0] == '.') {
        name++;
        len--;
    }
    if (len == 0 || host_len < len || strncasecmp(host + host_len - len, name, len) != 0) return false;
    if (host_len == len) return true;
    return host[host_len - len - 1] == '.' && inet_pton(AF_INET, host, &address) != 1;
}

static bool matches(const char *entry, size_t len, const char *host, const char *host_port) {
    if (len == 1 && entry[0] == '*') return true;
    return is_under(host, entry, len) || is_under(host_port, entry, len) || is_in_network(host, entry, len);
}

bool proxy_used(const proxy_t *self, const char *host, unsigned port) {
    char plain[256], host_port[272];
    size_t len = strlen(host);

    if (!self->url[0]) return false;
    if (host[0] == '[' && len > 1)
        (void)snprintf(plain, sizeof plain, "%.*s", (int)(len - 2), host + 1);
    else
        (void)snprintf(plain, sizeof plain, "%s", host);
    (void)snprintf(host_port, sizeof host_port, "%s:%u", host, port);
    for (const char *at = self->no_proxy; *at;) {
        size_t skip = strspn(at, ", \t"), size = strcspn(at + skip, ", \t");
        if (size > 0 && matches(at + skip, size, plain, host_port)) return false;
        at += skip + size;
    }
    return true;
}

void proxy_apply(const proxy_t *self, CURL *easy, const char *host, unsigned port) {
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, proxy_used(self, host, port) ? self->url : "");
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
}
