#include "executor/cookies.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"
#include "executor/url_quote.h"

struct cookie_t {
    char *name, *value; /* no value: the name alone goes out, without "=" */
    char *domain;       /* with a dot in front when the cookie names it, else the host */
    char *path;
    bool secure;
    int64_t expires_s; /* Unix time; INT64_MAX: with the task */
};

/* The attributes of a Set-Cookie as they are written. */
typedef struct {
    span_t name, value, domain, path;
    bool has_value, secure, has_age;
    int64_t expires_s;
} written_t;

static void cookie_clear(cookie_t *cookie) {
    free(cookie->name);
    free(cookie->value);
    free(cookie->domain);
    free(cookie->path);
    *cookie = (cookie_t){0};
}

void cookies_clear(cookies_t *self) {
    for (size_t i = 0; i < self->count; i++)
        cookie_clear(&self->items[i]);
    free(self->items);
    *self = (cookies_t){0};
}

static span_t trim(span_t text) {
    while (text.len > 0 && isspace((unsigned char)text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && isspace((unsigned char)text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static bool is(span_t text, const char *what) {
    return text.len == strlen(what) && strncasecmp(text.ptr, what, text.len) == 0;
}

static int64_t later(int64_t now_s, int64_t age_s) {
    return age_s > INT64_MAX - now_s ? INT64_MAX : now_s + age_s;
}

static bool read_age(written_t *cookie, span_t value, int64_t now_s) {
    char text[64], *end;
    long long age_s;

    if (value.len == 0 || value.len >= sizeof text) return false;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    age_s = strtoll(text, &end, 10);
    if (*end) return false;
    cookie->has_age = true;
    cookie->expires_s = age_s <= 0 ? 0 : later(now_s, age_s);
    return true;
}

/* A date that cannot be read does not count. */
static void read_date(written_t *cookie, span_t value) {
    char text[64];
    time_t date;

    if (value.len > 1 && value.ptr[0] == '"') value = (span_t){value.ptr + 1, value.len - 2};
    if (cookie->has_age || cookie->expires_s != INT64_MAX || value.len >= sizeof text) return;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    date = curl_getdate(text, NULL);
    if (date != -1) cookie->expires_s = date;
}

/* Of a repeated attribute the first one counts. False: the cookie is none. */
static bool read_attribute(written_t *cookie, span_t name, const span_t *value, int64_t now_s) {
    if (is(name, "secure")) cookie->secure = true;
    if (is(name, "domain") || is(name, "path") || is(name, "max-age")) {
        if (!value) return false;
        if (is(name, "max-age")) return read_age(cookie, *value, now_s);
        if (is(name, "domain") && !cookie->domain.ptr) cookie->domain = *value;
        if (is(name, "path") && !cookie->path.ptr) cookie->path = *value;
    } else if (is(name, "expires") && value) {
        read_date(cookie, *value);
    }
    return true;
}

static bool read_cookie(written_t *cookie, const char *text, int64_t now_s) {
    *cookie = (written_t){.expires_s = INT64_MAX};
    for (const char *c = text; *c; c++) { /* what could not go into a header */
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f) return false;
    }
    for (bool first = true; *text; first = false) {
        span_t part = {text, strcspn(text, ";")};
        const char *equals = memchr(part.ptr, '=', part.len);
        span_t name = trim((span_t){part.ptr, equals ? (size_t)(equals - part.ptr) : part.len});
        span_t value = {0};
        if (equals) value = trim((span_t){equals + 1, (size_t)(part.ptr + part.len - equals - 1)});
        text += part.len;
        if (*text) text++;
        if (first) {
            cookie->name = name;
            cookie->value = value;
            cookie->has_value = equals != NULL;
        } else if (name.len > 0 && !read_attribute(cookie, name, equals ? &value : NULL, now_s)) {
            return false;
        }
    }
    return cookie->name.len > 0;
}

/* The host without port, in lower case; a name without dots counts as one in ".local". */
static char *effective_host(const char *host) {
    static const char local[] = ".local";
    const char *colon = strrchr(host, ':');
    size_t len = strlen(host);
    char *text;

    if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1))
        len = (size_t)(colon - host);
    text = malloc(len + sizeof local);
    if (!text) return NULL;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)tolower((unsigned char)host[i]);
    memcpy(text + len, local, memchr(host, '.', len) ? 0 : sizeof local);
    if (memchr(host, '.', len)) text[len] = '\0';
    return text;
}

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Whether cookies of `domain` (with its dot, or a host) go to `host`: the same, or below it. */
static bool domain_covers(const char *domain, const char *host) {
    const char *bare = domain[0] == '.' ? domain + 1 : domain;
    size_t len = strlen(host), bare_len = strlen(bare);

    if (!ends_with(host, bare)) return false;
    return len == bare_len || host[len - bare_len - 1] == '.';
}

/* No cookie is for a whole top-level domain, and none for hosts that are not the answering one's own. */
static bool may_set(const char *domain, const char *host) {
    return (ends_with(host, ".local") || strchr(domain + 1, '.')) && domain_covers(domain, host);
}

static size_t path_length(const char *target) {
    return strcspn(target, "?");
}

/* The path that the cookie names, or that of the request up to its last "/". */
static char *path_of(const written_t *cookie, const char *target) {
    size_t len = path_length(target);
    text_t text = {0};

    if (cookie->path.len > 0) {
        url_quote_path(&text, cookie->path.ptr, cookie->path.len, false);
        if (!text.failed) return text.ptr;
        text_clear(&text);
        return NULL;
    }
    while (len > 0 && target[len - 1] != '/')
        len--;
    return len > 1 ? strndup(target, len - 1) : strdup("/");
}

static bool path_covers(const char *path, const char *target) {
    size_t len = strlen(path), target_len = path_length(target);

    if (len > target_len || strncmp(path, target, len) != 0) return false;
    return len == target_len || (len > 0 && path[len - 1] == '/') || target[len] == '/';
}

static char *domain_of(const written_t *written, const char *host) {
    bool dotted = written->domain.len > 0 && written->domain.ptr[0] == '.';
    char *domain;

    if (!written->domain.ptr) return strdup(host);
    domain = malloc(written->domain.len + 2);
    if (!domain) return NULL;
    domain[0] = '.';
    memcpy(domain + !dotted, written->domain.ptr, written->domain.len);
    domain[written->domain.len + !dotted] = '\0';
    for (char *c = domain; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return domain;
}

/* A quoted value loses its escaped quotes. */
static char *value_of(const written_t *written) {
    span_t text = written->value;
    bool quoted = text.len > 0 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';
    char *value = malloc(text.len + 1), *out = value;

    for (size_t i = 0; value && i < text.len; i++) {
        if (quoted && i + 1 < text.len && text.ptr[i] == '\\' && text.ptr[i + 1] == '"')
            i++;
        else
            *out++ = text.ptr[i];
    }
    if (value) *out = '\0';
    return value;
}

static cookie_t *find(const cookies_t *self, const cookie_t *like) {
    for (size_t i = 0; i < self->count; i++) {
        cookie_t *at = &self->items[i];
        if (strcmp(at->domain, like->domain) == 0 && strcmp(at->path, like->path) == 0 &&
            strcmp(at->name, like->name) == 0)
            return at;
    }
    return NULL;
}

static void forget(cookies_t *self, cookie_t *cookie) {
    size_t at = (size_t)(cookie - self->items);

    cookie_clear(cookie);
    memmove(cookie, cookie + 1, (self->count - at - 1) * sizeof *cookie);
    self->count--;
}

/* Cookies of a domain stand together, and in it those of a path. */
static size_t place_for(const cookies_t *self, const cookie_t *cookie) {
    size_t behind_domain = self->count, behind_path = 0;

    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->items[i].domain, cookie->domain) != 0) continue;
        behind_domain = i + 1;
        if (strcmp(self->items[i].path, cookie->path) == 0) behind_path = i + 1;
    }
    return behind_path ? behind_path : behind_domain;
}

/* Takes what `cookie` holds. */
static int keep(cookies_t *self, cookie_t *cookie) {
    cookie_t *old = find(self, cookie);
    size_t at;

    if (old) {
        cookie_clear(old);
        *old = *cookie;
        *cookie = (cookie_t){0};
        return 0;
    }
    if (self->count == COOKIES_MAX) return 0;
    if (self->count == self->size) {
        size_t size = self->size ? self->size * 2 : 8;
        cookie_t *grown = realloc(self->items, size * sizeof *grown);
        if (!grown) return ERR_NOMEM;
        self->items = grown;
        self->size = size;
    }
    at = place_for(self, cookie);
    memmove(&self->items[at + 1], &self->items[at], (self->count - at) * sizeof *cookie);
    self->items[at] = *cookie;
    self->count++;
    *cookie = (cookie_t){0};
    return 0;
}

int cookies_take(cookies_t *self, const cookie_place_t *place, const char *value, int64_t now_s) {
    written_t written;
    cookie_t cookie = {0}, *old;
    char *host;
    int err = ERR_NOMEM;

    if (!read_cookie(&written, value, now_s)) return 0;
    host = effective_host(place->host);
    if (!host) return ERR_NOMEM;
    cookie.name = strndup(written.name.ptr, written.name.len);
    cookie.value = written.has_value ? value_of(&written) : NULL;
    cookie.domain = domain_of(&written, host);
    cookie.path = path_of(&written, place->target);
    cookie.secure = written.secure;
    cookie.expires_s = written.expires_s;
    if (!cookie.name || (written.has_value && !cookie.value) || !cookie.domain || !cookie.path) goto cleanup;
    err = 0;
    if (cookie.expires_s <= now_s) {
        old = find(self, &cookie);
        if (old) forget(self, old);
    } else if (!written.domain.ptr || may_set(cookie.domain, host)) {
        err = keep(self, &cookie);
    }
cleanup:
    cookie_clear(&cookie);
    free(host);
    return err;
}

static bool is_sent(const cookie_t *cookie, const cookie_place_t *place, const char *host, int64_t now_s) {
    return domain_covers(cookie->domain, host) && path_covers(cookie->path, place->target) &&
           (!cookie->secure || place->https) && cookie->expires_s > now_s;
}

/* The longest path below `bound`; 0 when there is none. */
static size_t longest_path(const cookies_t *self, size_t bound) {
    size_t longest = 0;

    for (size_t i = 0; i < self->count; i++) {
        size_t len = strlen(self->items[i].path);
        if (len < bound && len > longest) longest = len;
    }
    return longest;
}

/* The longest path comes first; of one length, the cookie that was kept first. */
int cookies_write(const cookies_t *self, const cookie_place_t *place, int64_t now_s, text_t *out) {
    char *host = self->count > 0 ? effective_host(place->host) : NULL;

    if (self->count == 0) return 0;
    if (!host) return ERR_NOMEM;
    for (size_t len = longest_path(self, SIZE_MAX); len > 0; len = longest_path(self, len)) {
        for (size_t i = 0; i < self->count; i++) {
            const cookie_t *cookie = &self->items[i];
            if (strlen(cookie->path) != len || !is_sent(cookie, place, host, now_s)) continue;
            if (out->len > 0) text_add(out, "; ", 2);
            text_add_str(out, cookie->name);
            if (!cookie->value) continue;
            text_add(out, "=", 1);
            text_add_str(out, cookie->value);
        }
    }
    free(host);
    return out->failed ? ERR_NOMEM : 0;
}
