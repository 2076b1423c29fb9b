#include "executor/error_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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

void error_text_transfer(const url_t *url, const char *proxy, CURL *easy, CURLcode code, const char *reason,
                         char text[ERROR_TEXT_MAX]) {
    const char *phase, *by = code == CURLE_COULDNT_RESOLVE_PROXY ? " of the proxy " : " through the proxy ";
    char why[512];
    long os_error = 0;

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

/* The begin of the character at `at`, or before it. */
static size_t character(const char *text, size_t at) {
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

void error_text_short(const char *text, char why[MSG_WHY_MAX + 1]) {
    static const char *const heads[] = {"Agent Side Error: ", "Error: "};
    static const char gap[] = " ... ";
    size_t len, head, tail, half = (MSG_WHY_MAX - (sizeof gap - 1)) / 2;

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strncmp(text, heads[i], strlen(heads[i])) == 0) text += strlen(heads[i]);
    len = strlen(text);
    if (len <= MSG_WHY_MAX) {
        memcpy(why, text, len + 1);
        return;
    }
    head = character(text, half);
    tail = len - half;
    while (((unsigned char)text[tail] & 0xc0) == 0x80)
        tail++;
    (void)snprintf(why, MSG_WHY_MAX + 1, "%.*s%s%s", (int)head, text, gap, text + tail);
}
