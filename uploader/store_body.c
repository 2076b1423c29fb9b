#include "uploader/store_body.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ac_answer.h"
#include "common/clock.h"
#include "common/crash_point.h"
#include "common/err.h"
#include "common/proxy.h"
#include "common/trust.h"
#include "executor/latin1.h"
#include "executor/url.h"

#define TIMEOUT_S  120L                        /* to connect, and without progress */
#define ANSWER_MS  (3000 * (int64_t)TIMEOUT_S) /* for a whole answer, once the body is sent */
#define REASON_MAX 200
#define HOPS_MAX   30 /* redirects of one PUT */

struct store_body_t {
    http_t *http;
    proxy_t proxy_http, proxy_https;
    trust_t trust;
    bool verify, ipv4_fallback, busy;
    bool ipv4; /* the lookup has failed: once more for IPv4 alone */
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist *proxy_headers;
    url_t url; /* of this PUT, or of its latest redirect */
    unsigned hops;
    int fd;
    int64_t at, bytes, started_ms;
    int64_t sent_ms;     /* when the body was seen to be sent; -1: not yet */
    size_t header_bytes; /* of the answer */
    bool answered;       /* the headers are complete, and what the body may bring does not matter */
    store_done_fn done;
    void *ctx;
    const proxy_t *proxy; /* of the URL's scheme */
    char reason[REASON_MAX + 200];
};

store_body_t *store_body_new(const config_t *config, http_t *http, const char **why) {
    store_body_t *self = calloc(1, sizeof *self);
    *why = err_str(ERR_NOMEM);
    if (!self) return NULL;
    self->http = http;
    self->verify = config->verify;
    self->ipv4_fallback = config->ipv4_fallback;
    self->fd = -1;
    /* without a value: curl adds none of its own */
    self->proxy_headers = curl_slist_append(NULL, "Proxy-Connection:");
    if (!self->proxy_headers ||
        proxy_choose(&self->proxy_http, config->outgoing_proxy_http, false, why) != 0 ||
        proxy_choose(&self->proxy_https, config->outgoing_proxy_https, true, why) != 0 ||
        trust_choose(&self->trust, config->ca_bundle) != 0)
        store_body_destroy(&self);
    return self;
}

/* Leaves nothing of a PUT behind. */
static void clear(store_body_t *self) {
    curl_easy_cleanup(self->easy);
    curl_slist_free_all(self->headers);
    url_clear(&self->url);
    if (self->fd >= 0) (void)close(self->fd);
    self->easy = NULL;
    self->headers = NULL;
    self->fd = -1;
    self->busy = false;
}

void store_body_destroy(store_body_t **self_p) {
    store_body_t *self = *self_p;
    if (!self) return;
    store_body_cancel(self);
    curl_slist_free_all(self->proxy_headers);
    proxy_clear(&self->proxy_http);
    proxy_clear(&self->proxy_https);
    trust_clear(&self->trust);
    free(self);
    *self_p = NULL;
}

void store_body_verify(store_body_t *self) {
    self->verify = true;
}

static size_t read_body(char *buf, size_t size, size_t count, void *ctx) {
    store_body_t *self = ctx;
    ssize_t n;
    do
        n = pread(self->fd, buf, size * count, (off_t)self->at);
    while (n < 0 && errno == EINTR);
    if (n < 0) return CURL_READFUNC_ABORT;
    self->at += n;
    return (size_t)n;
}

static size_t drop_answer(const char *bytes, size_t size, size_t count, void *ctx) {
    (void)bytes, (void)ctx;
    return size * count;
}

static size_t take_header(const char *line, size_t size, size_t count, void *ctx) {
    store_body_t *self = ctx;
    long status = 0;
    self->header_bytes += size * count;
    if (line[0] == '\r' || line[0] == '\n') {
        (void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
        self->answered = status >= 300; /* a 2xx that is cut is a lost answer */
    }
    return self->header_bytes <= HTTP_HEADER_BYTES_MAX ? size * count : 0;
}

static bool add_line(store_body_t *self, const char *line) {
    struct curl_slist *longer = curl_slist_append(self->headers, line);
    if (longer) self->headers = longer;
    return longer != NULL;
}

/* A header of the tool as it came from there, if it has one. */
static bool add_given(store_body_t *self, const char *name, const char *value) {
    if (!value || !value[0]) return true;
    char *octets = latin1_from_utf8(value, strlen(value));
    const char *given = octets ? octets : value;
    size_t size = strlen(name) + strlen(given) + 3;
    char *line = malloc(size);
    if (line) {
        (void)snprintf(line, size, "%s: %s", name, given);
        line[strcspn(line, "\r\n")] = '\0';
    }
    bool added = line && add_line(self, line);
    free(line);
    free(octets);
    return added;
}

static bool add_headers(store_body_t *self, const char *type, const char *encoding) {
    return add_line(self, "Expect:") && add_line(self, "Accept-Encoding: gzip, deflate") &&
           add_line(self, "Connection: keep-alive") && add_given(self, "Content-Type", type) &&
           add_given(self, "Content-Encoding", encoding);
}

static void set_options(store_body_t *self, const char *url) {
    CURL *easy = self->easy;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERNAME, self->url.user);
    curl_easy_setopt(easy, CURLOPT_PASSWORD, self->url.password);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)self->bytes);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_body);
    curl_easy_setopt(easy, CURLOPT_READDATA, self);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_answer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, self);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, self->headers);
    curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    curl_easy_setopt(easy, CURLOPT_PROXYHEADER, self->proxy_headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    trust_apply(&self->trust, easy, self->verify);
    self->proxy = self->url.https ? &self->proxy_https : &self->proxy_http;
    proxy_apply(self->proxy, easy, self->url.host, url_port(&self->url));
}

/* A redirect that has not been followed is as good as a refusal: the next URL may lead elsewhere. `whole`:
 * the body was sent. */
static outcome_t judge(long status, bool whole) {
    if (status >= 200 && status < 300) return whole ? OUTCOME_DONE : OUTCOME_NETWORK;
    if (status == 408 || status == 425 || status == 429 || status < 300 || status >= 500)
        return OUTCOME_SERVER;
    return OUTCOME_REFUSED;
}

/* "the store at HOST:PORT: WHAT: DETAIL"; a failure on the way there names the proxy too. */
static void give_reason(store_body_t *self, const char *what, const char *detail) {
    unsigned port = url_port(&self->url);
    bool by_proxy = proxy_used(self->proxy, self->url.host, port);
    (void)snprintf(self->reason, sizeof self->reason, "the store at %.60s:%u%s%.60s: %s%s%.100s",
                   self->url.host, port, by_proxy ? " through the proxy " : "",
                   by_proxy ? self->proxy->where : "", what, detail[0] ? ": " : "", detail);
    self->reason[REASON_MAX] = '\0';
}

static void on_done(void *ctx, CURL *easy, CURLcode code, const char *error);

/* Sends the body to self->url. */
static int send_body(store_body_t *self) {
    char *url = url_text(&self->url);
    int err = ERR_NOMEM;
    self->at = 0;
    self->sent_ms = -1;
    self->header_bytes = 0;
    self->answered = false;
    self->ipv4 = false;
    curl_easy_cleanup(self->easy);
    self->easy = url ? curl_easy_init() : NULL;
    if (self->easy) {
        set_options(self, url);
        err = http_start(self->http, self->easy, on_done, self);
    }
    free(url);
    return err;
}

/* 307 and 308 say that the same goes elsewhere, all other redirects drop the body. 0, and self->easy is
 * another; ERR_INVALID, with *why for a redirect that goes nowhere, and "" for no redirect; ERR_NOMEM with
 * *why. */
static int follow(store_body_t *self, long status, char why[URL_WHY_MAX]) {
    struct curl_header *location = NULL;
    url_t next = {0};
    why[0] = '\0';
    if (status < 300 || status >= 400) return ERR_INVALID;
    if ((status != 307 && status != 308) ||
        curl_easy_header(self->easy, "Location", 0, CURLH_HEADER, -1, &location) != CURLHE_OK) {
        (void)snprintf(why, URL_WHY_MAX, "a redirect that does not say where the body is to go");
        return ERR_INVALID;
    }
    if (self->hops == HOPS_MAX) {
        (void)snprintf(why, URL_WHY_MAX, "more than %d redirects", HOPS_MAX);
        return ERR_INVALID;
    }
    int err = url_resolve(&self->url, location->value, &next, why);
    if (err) return err;
    url_clear(&self->url);
    self->url = next;
    self->hops++;
    err = send_body(self);
    if (err) (void)snprintf(why, URL_WHY_MAX, "%s", err_str(err));
    return err;
}

/* A lookup that failed has sent nothing. */
static bool look_up_again(store_body_t *self, CURLcode code) {
    bool failed = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY;
    if (!failed || !self->ipv4_fallback || self->ipv4) return false;
    self->ipv4 = true;
    curl_easy_setopt(self->easy, CURLOPT_IPRESOLVE, (long)CURL_IPRESOLVE_V4);
    return http_start(self->http, self->easy, on_done, self) == 0;
}

/* Frees itself for the next PUT, then tells the caller. */
static void finish(store_body_t *self, store_answer_t *answer) {
    answer->elapsed_ms = clock_since_ms(self->started_ms);
    answer->reason = self->reason;
    clear(self);
    CRASH_POINT("store.answered");
    self->done(self->ctx, answer);
}

static void on_done(void *ctx, CURL *easy, CURLcode code, const char *error) {
    store_body_t *self = ctx;
    if (look_up_again(self, code)) return;
    long status = 0;
    store_answer_t answer = {.outcome = OUTCOME_NETWORK};
    self->reason[0] = '\0';
    if (code == CURLE_OK || self->answered) {
        char why[URL_WHY_MAX];
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        bool whole = http_sent_whole(easy);
        int err = follow(self, status, why);
        if (!err) return;
        if (err == ERR_INVALID) {
            answer.outcome = judge(status, whole);
            if (answer.outcome == OUTCOME_NETWORK)
                (void)snprintf(why, sizeof why, "it had not been sent the whole body");
        }
        answer.http_status = (uint16_t)status;
        char what[32];
        (void)snprintf(what, sizeof what, "answered %ld", status);
        if (answer.outcome != OUTCOME_DONE) give_reason(self, what, why);
    } else if (self->header_bytes > HTTP_HEADER_BYTES_MAX) {
        give_reason(self, "the answer has over 256 KiB of headers", "");
    } else {
        answer.timed_out = code == CURLE_OPERATION_TIMEDOUT;
        give_reason(self, ac_failure_phase(code), error[0] ? error : curl_easy_strerror(code));
    }
    finish(self, &answer);
}

void store_body_turn(store_body_t *self, int64_t now_ms) {
    if (!self->busy || !http_answer_is_late(self->easy, &self->sent_ms, now_ms, ANSWER_MS)) return;
    http_cancel(self->http, self->easy);
    on_done(self, self->easy, CURLE_OPERATION_TIMEDOUT, "no whole answer to the body that was sent");
}

int store_body_start(store_body_t *self, const char *url, int fd, int64_t bytes, const char *type,
                     const char *encoding, store_done_fn done, void *ctx, char why[256]) {
    why[0] = '\0';
    if (self->busy) {
        (void)close(fd);
        return ERR_STATE;
    }
    self->fd = fd;
    self->hops = 0;
    self->bytes = bytes;
    self->done = done;
    self->ctx = ctx;
    self->started_ms = clock_boot_ms();
    int err = url_read(url, false, &self->url, why);
    if (!err && !add_headers(self, type, encoding)) err = ERR_NOMEM;
    if (!err) err = send_body(self);
    if (err)
        clear(self);
    else
        self->busy = true;
    return err;
}

bool store_body_busy(const store_body_t *self) {
    return self->busy;
}

void store_body_cancel(store_body_t *self) {
    if (!self->busy) return;
    http_cancel(self->http, self->easy);
    clear(self);
}
