#include "executor/url.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"
#include "common/task_json.h"
#include "executor/url_quote.h"

/* The pieces of a URL as they are written. */
typedef struct {
    span_t scheme, userinfo, host, port, path, query;
    bool has_query;
} pieces_t;

static int fail(char *why, const char *text) {
    (void)snprintf(why, URL_WHY_MAX, "%s", text);
    return ERR_INVALID;
}

static span_t take_until(const char **at, const char *stop) {
    span_t span = {.ptr = *at, .len = strcspn(*at, stop)};

    *at += span.len;
    return span;
}

/* The length of "scheme" in "scheme:", 0 when there is none. */
static size_t scheme_length(const char *text) {
    size_t len = 0;

    if (!isalpha((unsigned char)text[0])) return 0;
    while (isalnum((unsigned char)text[len]) || (text[len] && strchr("+-.", text[len])))
        len++;
    return text[len] == ':' ? len : 0;
}

static bool is_http(const char *text, size_t scheme_len) {
    return (scheme_len == 4 && strncasecmp(text, "http", 4) == 0) ||
           (scheme_len == 5 && strncasecmp(text, "https", 5) == 0);
}

/* user:password@host:port; the last @ counts. */
static int split_authority(span_t authority, pieces_t *pieces) {
    const char *at = memrchr(authority.ptr, '@', authority.len);
    const char *host = at ? at + 1 : authority.ptr, *end = authority.ptr + authority.len, *colon;

    if (at) pieces->userinfo = (span_t){authority.ptr, (size_t)(at - authority.ptr)};
    if (host < end && *host == '[') {
        const char *close = memchr(host, ']', (size_t)(end - host));
        if (!close || (close + 1 < end && close[1] != ':')) return ERR_INVALID;
        colon = close + 1 < end ? close + 1 : NULL;
    } else {
        colon = memchr(host, ':', (size_t)(end - host));
    }
    pieces->host = (span_t){host, (size_t)((colon ? colon : end) - host)};
    if (colon) pieces->port = (span_t){colon + 1, (size_t)(end - colon - 1)};
    return pieces->host.len > 0 ? 0 : ERR_INVALID;
}

static int split(const char *text, pieces_t *pieces, char *why) {
    size_t scheme = scheme_length(text);

    if (scheme == 0) return fail(why, "the URL has no scheme; it must begin with http:// or https://");
    if (!is_http(text, scheme))
        return fail(why, "the URL's scheme is not supported; only http and https are");
    pieces->scheme = (span_t){text, scheme};
    text += scheme + 1;
    if (strncmp(text, "//", 2) != 0) return fail(why, "the URL names no host");
    text += 2;
    if (split_authority(take_until(&text, "\\/?#"), pieces) != 0)
        return fail(why, "the URL names no host, or one that cannot be read");
    pieces->path = take_until(&text, "?#");
    if (*text == '?') {
        text++;
        pieces->has_query = true;
        pieces->query = take_until(&text, "#");
    }
    return 0;
}

static int read_port(span_t text, bool https, unsigned *port, char *why) {
    unsigned value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.ptr[i]) || i >= 5)
            return fail(why, "the URL's port is no number up to 65535");
        value = value * 10 + (unsigned)(text.ptr[i] - '0');
    }
    if (value > 65535) return fail(why, "the URL's port is no number up to 65535");
    *port = value == (https ? 443u : 80u) ? 0 : value;
    return 0;
}

static int read_host(span_t text, char **host, char *why) {
    const char *more = text.ptr[0] == '[' ? "[]:%.-_~" : ".-_~";
    char *copy;

    if (text.ptr[0] == '*' || text.ptr[0] == '.') return fail(why, "the URL's host has an invalid label");
    /* What libcurl would make another host of (escapes, names beyond ASCII) is not the one that was judged.
     */
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x80)
            return fail(why, "the URL's host has characters beyond ASCII; it must be like xn--...");
        if (c == '\0' || (!isalnum(c) && !strchr(more, c)))
            return fail(why, "the URL's host holds characters that no host can have");
    }
    copy = strndup(text.ptr, text.len);
    if (!copy) return ERR_NOMEM;
    for (char *c = copy; *c; c++) {
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    }
    *host = copy;
    return 0;
}

/* Only user and password together make credentials. */
static int read_userinfo(span_t text, url_t *url, char *why) {
    const char *colon = text.ptr ? memchr(text.ptr, ':', text.len) : NULL;

    if (!colon || text.len == 1) return 0;
    if (memmem(text.ptr, text.len, "%00", 3))
        return fail(why, "user or password in the URL have a NUL character");
    url->user = url_unquote(text.ptr, (size_t)(colon - text.ptr));
    url->password = url_unquote(colon + 1, text.len - (size_t)(colon + 1 - text.ptr));
    return url->user && url->password ? 0 : ERR_NOMEM;
}

static int read_target(const pieces_t *pieces, bool as_given, char **target) {
    text_t text = {0};

    if (pieces->path.len == 0 || pieces->path.ptr[0] != '/') text_add(&text, "/", 1);
    url_quote_path(&text, pieces->path.ptr, pieces->path.len, !as_given);
    if (text.len == 0) text_add(&text, "/", 1);
    if (pieces->has_query && pieces->query.len > 0) {
        text_add(&text, "?", 1);
        url_quote_query(&text, pieces->query.ptr, pieces->query.len);
    }
    if (text.failed) {
        text_clear(&text);
        return ERR_NOMEM;
    }
    *target = text.ptr;
    return 0;
}

int url_read(const char *text, bool as_given, url_t *url, char why[URL_WHY_MAX]) {
    pieces_t pieces = {0};
    url_t result = {0};
    int err;

    why[0] = '\0';
    while (isspace((unsigned char)*text))
        text++;
    err = split(text, &pieces, why);
    if (err) return err;
    result.https = pieces.scheme.len == 5;
    err = read_port(pieces.port, result.https, &result.port, why);
    if (!err) err = read_host(pieces.host, &result.host, why);
    if (!err) err = read_userinfo(pieces.userinfo, &result, why);
    if (!err) err = read_target(&pieces, as_given, &result.target);
    if (err)
        url_clear(&result);
    else
        *url = result;
    return err;
}

/* The path of a reference that does not begin with "/", in the folder of the base's. Repeated slashes become
 * one. */
static void merge_path(text_t *out, const char *base, const char *relative, size_t len) {
    size_t folder = strcspn(base, "?");
    text_t path = {0};

    while (folder > 0 && base[folder - 1] != '/')
        folder--;
    text_add(&path, base, folder);
    text_add(&path, relative, len);
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] != '/' || i + 1 == path.len || path.ptr[i + 1] != '/') text_add(out, path.ptr + i, 1);
    }
    out->failed = out->failed || path.failed;
    text_clear(&path);
}

/* Joins a reference with its base (RFC 3986 section 5.2). */
static int join(const url_t *base, const char *relative, char **joined) {
    text_t text = {0}, path = {0}, quoted = {0};
    char *from = url_text(base);
    size_t len;

    if (!from) return ERR_NOMEM;
    url_quote_reference(&quoted, relative, strlen(relative));
    if (quoted.failed) goto cleanup;
    len = strcspn(quoted.ptr, "?#");
    text_add(&text, from, strlen(from) - strlen(base->target));
    if (len == 0)
        text_add(&path, base->target, strcspn(base->target, "?"));
    else if (quoted.ptr[0] == '/')
        text_add(&path, quoted.ptr, len);
    else
        merge_path(&path, base->target, quoted.ptr, len);
    if (path.failed) goto cleanup;
    url_quote_path(&text, path.ptr, path.len, len > 0);
    text_add_str(&text, quoted.ptr + len);
cleanup:
    text.failed = text.failed || path.failed || quoted.failed;
    free(from);
    text_clear(&path);
    text_clear(&quoted);
    if (!text.failed) {
        *joined = text.ptr;
        return 0;
    }
    text_clear(&text);
    return ERR_NOMEM;
}

/* Without tabs, which do not count in a Location. */
static char *without_tabs(const char *text) {
    char *copy = calloc(1, strlen(text) + 1), *out = copy;

    for (; copy && *text; text++) {
        if (*text != '\t') *out++ = *text;
    }
    return copy;
}

/* What is relative in a Location without a host: "http:/x", "http:///x" and "///x" are "/x". NULL when it has
 * a host or another scheme than `base`. */
static const char *relative_part(const url_t *base, const char *location) {
    size_t scheme = scheme_length(location);

    if (scheme > 0 && (!is_http(location, scheme) || (scheme == 5) != base->https)) return NULL;
    if (scheme > 0) location += scheme + 1;
    if (strncmp(location, "//", 2) != 0) return location;
    location += 2;
    return strchr("/?#", *location) ? location : NULL;
}

/* The same once more: nothing is there but a fragment, or a query without anything in it. */
static bool is_same(const char *relative) {
    if (*relative == '?') relative++;
    return *relative == '\0' || *relative == '#';
}

static int resolve(const url_t *base, const char *location, char **absolute) {
    const char *relative = relative_part(base, location);
    bool rooted = relative && relative != location && !strchr("/?#", *relative);
    text_t text = {0};
    int err;

    if (relative && is_same(relative)) {
        *absolute = url_text(base);
        return *absolute ? 0 : ERR_NOMEM;
    }
    if (relative && !rooted) return join(base, relative, absolute);
    if (rooted) /* "http:x" */
        text_add(&text, "/", 1);
    else if (scheme_length(location) == 0)
        text_add_str(&text, base->https ? "https:" : "http:");
    text_add_str(&text, relative ? relative : location);
    if (text.failed) return ERR_NOMEM;
    if (!rooted) {
        *absolute = text.ptr;
        return 0;
    }
    err = join(base, text.ptr, absolute);
    text_clear(&text);
    return err;
}

int url_resolve(const url_t *base, const char *location, url_t *url, char why[URL_WHY_MAX]) {
    char *plain = without_tabs(location), *absolute = NULL;
    int err = ERR_NOMEM;

    why[0] = '\0';
    if (plain) err = resolve(base, plain, &absolute);
    if (!err) err = url_read(absolute, true, url, why);
    free(absolute);
    free(plain);
    return err;
}

void url_clear(url_t *url) {
    free(url->host);
    free(url->target);
    free(url->user);
    free(url->password);
    *url = (url_t){0};
}

unsigned url_port(const url_t *url) {
    if (url->port) return url->port;
    return url->https ? 443 : 80;
}

char *url_authority(const url_t *url) {
    size_t len = strcspn(url->host, "%");
    const char *end = url->host[len] ? "]" : "";
    char *text = NULL;
    int written = url->port ? asprintf(&text, "%.*s%s:%u", (int)len, url->host, end, url->port)
                            : asprintf(&text, "%.*s%s", (int)len, url->host, end);

    return written < 0 ? NULL : text;
}

char *url_text(const url_t *url) {
    size_t size = strlen(url->host) + strlen(url->target) + 32;
    char *text = malloc(size);

    if (!text) return NULL;
    if (url->port)
        (void)snprintf(text, size, "http%s://%s:%u%s", url->https ? "s" : "", url->host, url->port,
                       url->target);
    else
        (void)snprintf(text, size, "http%s://%s%s", url->https ? "s" : "", url->host, url->target);
    return text;
}

bool url_keeps_authorization(const url_t *from, const url_t *to) {
    if (strcmp(from->host, to->host) != 0) return false;
    if (!from->https && to->https && !from->port && !to->port) return true;
    return from->https == to->https && from->port == to->port;
}
