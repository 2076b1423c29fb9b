#include "executor/error_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HEAD_MAX       1000000 /* octets of a request's head; libcurl takes some 48,000 more */
#define CODE_TOO_LARGE 100     /* CURLE_TOO_LARGE, which libcurl has since 8.6 */

void error_text_agent(const char *why, char text[ERROR_TEXT_MAX]) {
    (void)snprintf(text, ERROR_TEXT_MAX, "Agent Side Error: Error: %s", why);
}

void error_text_at(const url_t *url, const char *why, char text[ERROR_TEXT_MAX]) {
    (void)snprintf(text, ERROR_TEXT_MAX, "Agent Side Error: Error: %.255s:%u: %s", url->host, url_port(url),
                   why);
}

void error_text_network(const url_t *url, const char *why, char text[ERROR_TEXT_MAX]) {
    (void)snprintf(text, ERROR_TEXT_MAX, "Agent Side Error: Network error: %.255s:%u: %s", url->host,
                   url_port(url), why);
}

static bool reached(CURL *easy, CURLINFO what) {
    curl_off_t time_us = 0;

    return curl_easy_getinfo(easy, what, &time_us) == CURLE_OK && time_us > 0;
}

/* Failures of TLS; a time-out in the handshake says so in its reason only. */
static bool is_tls(CURLcode code, const char *reason) {
    switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CLIENTCERT:
        return true;
    default:
        return code == CURLE_OPERATION_TIMEDOUT && strncmp(reason, "SSL", 3) == 0;
    }
}

/* How far the transfer had come. */
static const char *phase_of(CURL *easy, CURLcode code, const char *reason) {
    if (code == CURLE_COULDNT_RESOLVE_PROXY) return "looking up the name";
    if (code == CURLE_SEND_ERROR) return "sending the request";
    if (code == CURLE_GOT_NOTHING) return "waiting for the answer";
    if (reached(easy, CURLINFO_STARTTRANSFER_TIME_T)) return "reading the answer";
    if (reached(easy, CURLINFO_PRETRANSFER_TIME_T)) return "waiting for the answer";
    if (!reached(easy, CURLINFO_NAMELOOKUP_TIME_T)) return "looking up the name";
    return is_tls(code, reason) ? "TLS handshake" : "connecting";
}

/* Failures that are the agent's own, not the network's. */
static bool is_own(CURLcode code) {
    return code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT || code == CURLE_URL_MALFORMAT ||
           code == CURLE_BAD_FUNCTION_ARGUMENT || code == CURLE_SSL_CERTPROBLEM ||
           code == CURLE_SSL_CACERT_BADFILE;
}

static size_t head_bytes(CURL *easy, const struct curl_slist *headers) {
    const char *url = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    size_t sum = url ? strlen(url) : 0;

    for (; headers; headers = headers->next)
        sum += strlen(headers->data) + 2;
    return sum;
}

/* What is too large for one of curl's buffers it calls a lack of memory. False when it may be one. */
static bool is_too_large(const url_t *url, CURL *easy, CURLcode code, const struct curl_slist *headers,
                         char text[ERROR_TEXT_MAX]) {
    if (code != CURLE_OUT_OF_MEMORY && (int)code != CODE_TOO_LARGE) return false;
    if (reached(easy, CURLINFO_STARTTRANSFER_TIME_T)) {
        error_text_network(url, "reading the answer: one of its headers is larger than 100 KB", text);
        return true;
    }
    if (reached(easy, CURLINFO_PRETRANSFER_TIME_T) || head_bytes(easy, headers) <= HEAD_MAX) return false;
    error_text_at(url, "the request's head is larger than 1 MB, which cannot be sent", text);
    return true;
}

void error_text_transfer(const url_t *url, const char *proxy, CURL *easy, const struct curl_slist *headers,
                         CURLcode code, const char *reason, char text[ERROR_TEXT_MAX]) {
    const char *phase, *by = code == CURLE_COULDNT_RESOLVE_PROXY ? " of the proxy " : " through the proxy ";
    char why[512];
    long os_error = 0;

    if (is_too_large(url, easy, code, headers, text)) return;
    /* curl keeps its first complaint, which may be one on the way and not the cause. */
    if (!reason[0] || strncmp(reason, "getpeername()", 13) == 0) reason = curl_easy_strerror(code);
    if (code == CURLE_COULDNT_CONNECT) (void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
    phase = phase_of(easy, code, reason);
    if (reached(easy, CURLINFO_PRETRANSFER_TIME_T)) proxy = ""; /* it has done its part */
    (void)snprintf(why, sizeof why, "%s%s%.120s: %.250s%s%s", phase, proxy[0] ? by : "", proxy, reason,
                   os_error ? ": " : "", os_error ? strerror((int)os_error) : "");
    if (is_own(code))
        error_text_at(url, why, text);
    else
        error_text_network(url, why, text);
}

#define WORD_LEAST 60 /* octets that a host's name keeps in a text that is too long */

/* The begin of the character at `at`, or before it. */
static size_t character(const char *text, size_t at) {
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/* Its first words: "Network error: ", or none. */
static const char network[] = "Network error: ";

/* The length of "HOST:PORT: " with which the text begins, 0 when it does not; *host is that of the host. */
static size_t place_of(const char *text, size_t *host) {
    size_t end = strcspn(text, " "), at;
    if (end < 2 || text[end] != ' ' || text[end - 1] != ':') return 0;
    for (at = end - 1; at > 0 && text[at - 1] >= '0' && text[at - 1] <= '9';)
        at--;
    *host = at > 0 ? at - 1 : 0;
    return at > 1 && at < end - 1 && text[at - 1] == ':' ? end + 1 : 0;
}

static bool names_again(const char *rest, const char *host, size_t len) {
    for (; (rest = memchr(rest, host[0], strlen(rest))) != NULL; rest++)
        if (strncmp(rest, host, len) == 0) return true;
    return false;
}

/* What happened first, and the host once: behind it, unless it stands there already. */
static void host_last(const char *text, char out[ERROR_TEXT_MAX]) {
    size_t head = strncmp(text, network, sizeof network - 1) == 0 ? sizeof network - 1 : 0, host;
    const char *place = text + head;
    size_t len = place_of(place, &host);
    if (len == 0)
        (void)snprintf(out, ERROR_TEXT_MAX, "%s", text);
    else if (names_again(place + len, place, host))
        (void)snprintf(out, ERROR_TEXT_MAX, "%.*s%s", (int)head, text, place + len);
    else
        (void)snprintf(out, ERROR_TEXT_MAX, "%.*s%s (%.*s)", (int)head, text, place + len, (int)(len - 2),
                       place);
}

/* Puts `gap` for what is too much in the middle of `len` octets, so that `max` are left at most; returns how
 * many are. */
static size_t cut_middle(char *text, size_t len, size_t max, const char *gap) {
    size_t gap_len = strlen(gap), half = (max - gap_len) / 2, head = character(text, half), tail = len - half;
    while (tail < len && ((unsigned char)text[tail] & 0xc0) == 0x80)
        tail++;
    memcpy(text + head, gap, gap_len);
    memmove(text + head + gap_len, text + tail, strlen(text + tail) + 1);
    return head + gap_len + len - tail;
}

void error_text_short(const char *text, char why[MSG_WHY_MAX + 1]) {
    static const char *const heads[] = {"Agent Side Error: ", "Error: "};
    char whole[ERROR_TEXT_MAX];

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strncmp(text, heads[i], strlen(heads[i])) == 0) text += strlen(heads[i]);
    if (strlen(text) <= MSG_WHY_MAX) {
        memcpy(why, text, strlen(text) + 1);
        return;
    }
    host_last(text, whole);
    for (char *word = whole; *word != '\0' && strlen(whole) > MSG_WHY_MAX; word += strspn(word, " ")) {
        size_t len = strcspn(word, " "), over = strlen(whole) - MSG_WHY_MAX;
        size_t max = len > WORD_LEAST + over ? len - over : WORD_LEAST;
        word += len > max ? cut_middle(word, len, max, "...") : len;
    }
    if (strlen(whole) > MSG_WHY_MAX) (void)cut_middle(whole, strlen(whole), MSG_WHY_MAX, " ... ");
    memcpy(why, whole, strlen(whole) + 1);
}
