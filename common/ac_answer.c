#include "common/ac_answer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TOO_MANY "Too many concurrent requests"

/* Whether it is above every bound, however it is cut. */
static bool is_vast(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (text[i] < (i == 0 ? '1' : '0') || text[i] > '9') return false;
    return true;
}

static bool take_header(const char *line, size_t size, const char *name, char *value, size_t value_size) {
    size_t len = strlen(name);
    if (size <= len || line[len] != ':' || strncasecmp(line, name, len) != 0) return false;
    const char *from = line + len + 1, *to = line + size;
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    size_t bytes = (size_t)(to - from);
    if (bytes >= value_size) bytes = is_vast(from, bytes) ? value_size - 1 : 0; /* no date is that long */
    memcpy(value, from, bytes);
    value[bytes] = '\0';
    return true;
}

bool ac_headers_line(ac_headers_t *headers, const char *line, size_t size) {
    if (size > 5 && strncmp(line, "HTTP/", 5) == 0) {
        memset(headers, 0, sizeof *headers);
        return true;
    }
    if (take_header(line, size, "Date", headers->date, sizeof headers->date)) return false;
    if (!take_header(line, size, "X-Rate-Limit-Retry-After-Seconds", headers->rate_retry,
                     sizeof headers->rate_retry))
        take_header(line, size, "Retry-After", headers->retry_after, sizeof headers->retry_after);
    return false;
}

/* One that is too large for *value is the largest there. */
static bool whole_number(const char *text, long long *value) {
    char *end;
    *value = strtoll(text, &end, 10);
    return end != text && *end == '\0';
}

/* -1 when neither header has a time. */
static int64_t retry_after_ms(const ac_headers_t *headers, int64_t now_unix_s) {
    long long seconds;
    if (whole_number(headers->rate_retry, &seconds)) {
        if (seconds < 0) return AC_RETRY_DEFAULT_MS;
        return (seconds > AC_RATE_RETRY_MAX_S ? AC_RATE_RETRY_MAX_S : seconds) * 1000;
    }
    if (headers->retry_after[0] == '\0') return -1;
    if (!whole_number(headers->retry_after, &seconds)) {
        time_t at = curl_getdate(headers->retry_after, NULL);
        if (at == (time_t)-1) return -1;
        seconds = (long long)at - now_unix_s;
        if (seconds < 0) seconds = 0;
    }
    if (seconds < 0) return -1;
    if (seconds < AC_RETRY_AFTER_MIN_S) seconds = AC_RETRY_AFTER_MIN_S;
    return (seconds > AC_RETRY_AFTER_MAX_S ? AC_RETRY_AFTER_MAX_S : seconds) * 1000;
}

static outcome_t classify_success(call_t call, long status) {
    if (status == 200) return OUTCOME_DONE;
    if (call == CALL_GET_TASK && status == 204) return OUTCOME_EMPTY;
    bool any = call == CALL_UPLOAD_RESULT || call == CALL_UPLOAD_LOGS;
    return any ? OUTCOME_DONE : OUTCOME_MALFORMED;
}

static outcome_t classify_refusal(call_t call, long status, const char *body, size_t body_bytes) {
    switch (status) {
    case 401:
    case 403:
    case 407: /* a proxy on the way speaks, not AC: nothing is refused, somebody has to put it right */
        return OUTCOME_DENIED;
    case 408:
    case 425: /* nothing is lost of a poll: like any 4xx, it is made again in 5 s */
        return call == CALL_GET_TASK ? OUTCOME_REFUSED : OUTCOME_SERVER;
    case 429:
        return memmem(body, body_bytes, TOO_MANY, sizeof TOO_MANY - 1) ? OUTCOME_BUSY : OUTCOME_LIMITED;
    default:
        return OUTCOME_REFUSED;
    }
}

outcome_t ac_answer_classify(call_t call, long status, const ac_headers_t *headers, const char *body,
                             size_t body_bytes, int64_t now_unix_s, int64_t *retry_after) {
    outcome_t outcome;
    *retry_after = -1;
    if (status >= 200 && status < 300)
        outcome = classify_success(call, status);
    else if (status >= 300 && status < 400)
        outcome = OUTCOME_REDIRECT;
    else if (status >= 400 && status < 500)
        outcome = classify_refusal(call, status, body ? body : "", body ? body_bytes : 0);
    else
        outcome = status >= 500 && status < 600 ? OUTCOME_SERVER : OUTCOME_MALFORMED;
    if (outcome == OUTCOME_LIMITED || status == 503) *retry_after = retry_after_ms(headers, now_unix_s);
    if (outcome == OUTCOME_LIMITED && *retry_after < 0) *retry_after = AC_RETRY_DEFAULT_MS;
    return outcome;
}

const char *ac_failure_phase(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
        return "looking up the proxy";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "looking up the host";
    case CURLE_COULDNT_CONNECT:
        return "connecting";
    case CURLE_PROXY:
        return "connecting through the proxy";
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return "TLS handshake";
    case CURLE_SEND_ERROR:
        return "sending the request";
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
        return "waiting for the answer";
    case CURLE_PARTIAL_FILE:
    case CURLE_BAD_CONTENT_ENCODING:
        return "reading the answer";
    case CURLE_OPERATION_TIMEDOUT:
        return "time-out";
    default:
        return "transfer";
    }
}

const char *ac_call_name(call_t call) {
    switch (call) {
    case CALL_GET_TASK:
        return "get-task";
    case CALL_PUT_RESULT:
        return "put-result";
    case CALL_UPLOAD_RESULT:
        return "upload-result";
    case CALL_UPLOAD_URL:
        return "upload-url";
    case CALL_UPLOAD_LOGS:
        return "upload-logs";
    case CALL_STORE:
        return "store";
    default:
        return "?";
    }
}
