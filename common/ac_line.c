#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ac_door_private.h"
#include "common/clock.h"
#include "common/crash_point.h"
#include "common/err.h"
#include "common/ipv4_hosts.h"

#define CONNECT_TIMEOUT_MS 25000L
#define ANSWER_READ_TIMES  3   /* read time-outs for a whole answer, once the request has been sent */
#define REASON_MAX         200 /* as the protocol has it */
#define FILE_TIMEOUT_S     300 /* of calls with a file, unless readTimeoutSeconds is longer */

struct ac_line_t {
    ac_door_t *door;
    CURL *easy;
    bool busy;
    call_t call;
    call_t url_call; /* whose URL the handle has, with this agentId; 0: none that lasts */
    char url_agent_id[80];
    lease_t *lease;
    ac_done_fn done;
    void *ctx;
    int64_t started_ms;
    int64_t sent_ms; /* when a request with a body was seen to be sent; -1: not yet */
    unsigned sends;  /* how often curl was about to send the request */
    ac_file_t file;
    bool unasked; /* the kept connection had something to read before the request */
    bool ipv4;    /* the lookup has failed: once more for IPv4 alone */
    ac_reply_t reply;
    char reason[REASON_MAX + 200];
};

static bool is_reused(const ac_line_t *self) {
    long connects = 0;
    curl_easy_getinfo(self->easy, CURLINFO_NUM_CONNECTS, &connects);
    return connects == 0;
}

/* A kept connection on which something came is none for a request, of which it would be the answer: an answer
 * that nobody has asked for, or the connection's end. */
static bool is_spoilt(const ac_line_t *self, int local_port) {
    return is_reused(self) && ac_sockets_readable(&self->door->sockets, local_port);
}

/* curl asks before it sends a request. The second time would be its silent repeat on another connection,
 * after a reused one died before the answer: that attempt is not counted, so it must not go out. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is curl's */
static int before_send(void *ctx, char *ip, char *local_ip, int port, int local_port) {
    ac_line_t *self = ctx;
    (void)ip, (void)local_ip, (void)port;
    self->unasked = self->sends == 0 && is_spoilt(self, local_port);
    if (self->unasked) return CURL_PREREQFUNC_ABORT;
    return ++self->sends > 1 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int take_socket(void *ctx, curl_socket_t fd, curlsocktype purpose) {
    ac_line_t *self = ctx;
    if (purpose == CURLSOCKTYPE_IPCXN) ac_sockets_add(&self->door->sockets, fd);
    return CURL_SOCKOPT_OK;
}

static bool has_file(call_t call) {
    return call == CALL_UPLOAD_RESULT || call == CALL_UPLOAD_LOGS;
}

static bool has_body(call_t call) {
    return call == CALL_PUT_RESULT || has_file(call);
}

/* Keeps from the next request what this one may leave behind on its connection: a body that the server has
 * not read if it answers anything but 2xx, and HTTP/1.0, in which curl would go on. */
static void judge_connection(ac_line_t *self) {
    long status = 0, version = 0;
    curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(self->easy, CURLINFO_HTTP_VERSION, &version);
    bool unread = has_body(self->call) && status >= 300;
    if (unread || version == CURL_HTTP_VERSION_1_0) curl_easy_setopt(self->easy, CURLOPT_FORBID_REUSE, 1L);
}

static size_t take_header(char *line, size_t size, size_t count, void *ctx) {
    ac_line_t *self = ctx;
    bool trailer = self->reply.complete;
    if (!ac_reply_header(&self->reply, self->easy, line, size * count)) return 0;
    if (self->reply.complete && !trailer) judge_connection(self);
    return size * count;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx) {
    ac_line_t *self = ctx;
    return ac_reply_body(&self->reply, bytes, size * count) ? size * count : 0;
}

static void set_fixed_options(ac_line_t *self) {
    const ac_door_t *door = self->door;
    curl_easy_setopt(self->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(self->easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(self->easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(self->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(self->easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    curl_easy_setopt(self->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(self->easy, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    curl_easy_setopt(self->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(self->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(self->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(self->easy, CURLOPT_PREREQFUNCTION, before_send);
    curl_easy_setopt(self->easy, CURLOPT_PREREQDATA, self);
    curl_easy_setopt(self->easy, CURLOPT_SOCKOPTFUNCTION, take_socket);
    curl_easy_setopt(self->easy, CURLOPT_SOCKOPTDATA, self);
    curl_easy_setopt(self->easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(self->easy, CURLOPT_HEADERDATA, self);
    curl_easy_setopt(self->easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(self->easy, CURLOPT_WRITEDATA, self);
    proxy_apply(&door->proxy, self->easy, door->host, door->port);
}

ac_line_t *ac_line_new(ac_door_t *door) {
    ac_line_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->door = door;
    self->easy = curl_easy_init();
    if (!self->easy) {
        free(self);
        return NULL;
    }
    set_fixed_options(self);
    return self;
}

void ac_line_destroy(ac_line_t **self_p) {
    ac_line_t *self = *self_p;
    if (!self) return;
    if (self->busy) http_cancel(self->door->http, self->easy);
    ac_file_end(&self->file, self->easy);
    curl_easy_cleanup(self->easy);
    ac_reply_clear(&self->reply);
    free(self);
    *self_p = NULL;
}

bool ac_line_busy(const ac_line_t *self) {
    return self->busy;
}

/* Puts "CALL at HOST:PORT: WHAT: DETAIL" into the reason; a failure on the way there names the proxy too. */
static void give_reason(ac_line_t *self, const char *what, const char *detail) {
    const ac_door_t *door = self->door;
    bool by_proxy = self->sends == 0 && proxy_used(&door->proxy, door->host, door->port);
    snprintf(self->reason, sizeof self->reason, "%s at %.60s:%u%s%.60s: %s%s%.100s", ac_call_name(self->call),
             door->host, door->port, by_proxy ? " through the proxy " : "", by_proxy ? door->proxy.where : "",
             what, detail[0] ? ": " : "", detail);
    self->reason[REASON_MAX] = '\0';
}

/* Frees the line, then tells the caller, who may start the next request. */
static void finish(ac_line_t *self, ac_answer_t *answer) {
    CRASH_POINT("ac.answered");
    answer->call = self->call;
    answer->elapsed_ms = clock_since_ms(self->started_ms);
    answer->date = self->reply.headers.date;
    answer->body = self->reply.body ? self->reply.body : "";
    answer->body_bytes = self->reply.body_bytes;
    answer->reason = self->reason;
    ac_file_end(&self->file, self->easy);
    char *large = NULL;
    if (self->reply.body_room > AC_ANSWER_MAX) { /* a large buffer is not kept */
        large = self->reply.body;
        self->reply.body = NULL;
        self->reply.body_room = 0;
    }
    self->busy = false;
    self->lease = NULL;
    self->done(self->ctx, answer);
    free(large);
}

static void judge_answer(ac_line_t *self, ac_answer_t *answer) {
    long status = 0;
    char what[48];
    curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
    answer->http_status = (uint16_t)status;
    answer->outcome =
        ac_answer_classify(self->call, status, &self->reply.headers, self->reply.body, self->reply.body_bytes,
                           clock_wall_ms() / 1000, &answer->retry_after_ms);
    snprintf(what, sizeof what, "answered %ld", status);
    if (answer->outcome == OUTCOME_DONE && !http_sent_whole(self->easy)) {
        answer->outcome = OUTCOME_NETWORK;
        give_reason(self, what, "it had not been sent the whole request");
        return;
    }
    if (answer->outcome == OUTCOME_DONE || answer->outcome == OUTCOME_EMPTY) return;
    /* A refusal on a connection that was used before may be due to what was said there: it is none yet. */
    if (answer->outcome == OUTCOME_REFUSED && self->call != CALL_GET_TASK && is_reused(self)) {
        answer->outcome = OUTCOME_ABORTED;
        answer->stale = true;
    }
    give_reason(self, what,
                answer->outcome == OUTCOME_REDIRECT    ? "a redirect; check the server URL"
                : answer->outcome == OUTCOME_DENIED    ? "check the API key"
                : answer->outcome == OUTCOME_BUSY      ? "too many concurrent requests"
                : answer->outcome == OUTCOME_MALFORMED ? "not a status this call may have"
                : answer->stale                        ? "asked once more on a connection of its own"
                                                       : "");
}

static void on_done(void *ctx, CURL *easy, CURLcode code, const char *error);

/* Whether AC has said what it means. A refusal does by its status, whatever becomes of the body. A 2xx that
 * was cut is a lost answer; one whose body came and cannot be read counts, but where that is what was asked
 * for. */
static bool is_answered(const ac_line_t *self) {
    long status = 0;
    bool brings = self->call == CALL_GET_TASK || self->call == CALL_UPLOAD_URL;
    curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
    return self->reply.complete && (status >= 300 || (self->reply.unreadable && !brings));
}

/* A lookup that failed has sent nothing, so that another is no further request. curl does not tell why it
 * failed; a host without any address fails once more, and nothing is remembered. */
static bool look_up_again(ac_line_t *self, CURLcode code) {
    bool failed = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY;
    if (!self->door->ipv4_fallback || (failed && self->ipv4)) return false;
    if (!failed) {
        if (self->ipv4) self->door->ipv4_until_ms = clock_boot_ms() + IPV4_HOST_MS;
        return false;
    }
    self->ipv4 = true;
    curl_easy_setopt(self->easy, CURLOPT_IPRESOLVE, (long)CURL_IPRESOLVE_V4);
    return http_start(self->door->http, self->easy, on_done, self) == 0;
}

/* Nothing has been sent on a connection that is spoilt, so that this is no further request. */
static bool connect_again(ac_line_t *self) {
    if (!self->unasked) return false;
    self->unasked = false;
    curl_easy_setopt(self->easy, CURLOPT_FRESH_CONNECT, 1L);
    return http_start(self->door->http, self->easy, on_done, self) == 0;
}

static void on_done(void *ctx, CURL *easy, CURLcode code, const char *error) {
    ac_line_t *self = ctx;
    if (look_up_again(self, code) || connect_again(self)) return;
    ac_answer_t answer = {.outcome = OUTCOME_NETWORK, .retry_after_ms = -1};
    (void)easy;
    if (code == CURLE_OK) ac_reply_end(&self->reply);
    if ((code == CURLE_OK && !self->reply.fault) || is_answered(self)) {
        judge_answer(self, &answer);
    } else if (self->reply.fault) {
        if (self->reply.too_large) answer.outcome = OUTCOME_MALFORMED;
        give_reason(self, self->reply.fault, "");
    } else if (self->sends > 1) {
        answer.stale = true;
        give_reason(self, "stale connection", "it was closed before the answer");
    } else {
        answer.timed_out = code == CURLE_OPERATION_TIMEDOUT;
        give_reason(self, ac_failure_phase(code), error[0] ? error : curl_easy_strerror(code));
    }
    finish(self, &answer);
}

/* Most requests of a line have the URL of the one before, which curl keeps. */
static int set_url(ac_line_t *self, const ac_request_t *request) {
    const char *agent_id = request->agent_id ? request->agent_id : "";
    bool lasts = request->call == CALL_GET_TASK || request->call == CALL_PUT_RESULT;
    if (lasts && self->url_call == request->call && strcmp(self->url_agent_id, agent_id) == 0) return 0;
    char *url = ac_door_url(self->door, request);
    self->url_call = 0;
    if (!url) return ERR_NOMEM;
    CURLcode code = curl_easy_setopt(self->easy, CURLOPT_URL, url);
    free(url);
    if (code != CURLE_OK) return ERR_NOMEM;
    if (lasts && strlen(agent_id) < sizeof self->url_agent_id) {
        self->url_call = request->call;
        (void)snprintf(self->url_agent_id, sizeof self->url_agent_id, "%s", agent_id);
    }
    return 0;
}

static int read_timeout_s(const ac_line_t *self, call_t call) {
    int timeout_s = self->door->read_timeout_s;
    return has_file(call) && timeout_s < FILE_TIMEOUT_S ? FILE_TIMEOUT_S : timeout_s;
}

static int set_request(ac_line_t *self, const ac_request_t *request) {
    int err = set_url(self, request);
    if (err) return err;
    bool file = has_file(request->call);
    int timeout_s = read_timeout_s(self, request->call);
    curl_easy_setopt(self->easy, CURLOPT_LOW_SPEED_TIME, (long)timeout_s);
    /* an answer that drips on for ever must not keep the credit; a body may take its time: ac_line_turn() */
    bool body = has_body(request->call);
    curl_easy_setopt(self->easy, CURLOPT_TIMEOUT_MS,
                     body ? 0L : CONNECT_TIMEOUT_MS + ANSWER_READ_TIMES * 1000L * (long)timeout_s);
    curl_easy_setopt(self->easy, CURLOPT_HTTPHEADER, file ? self->door->file_headers : self->door->headers);
    if (file) {
        err = ac_file_begin(&self->file, self->easy, request);
        if (err) return err;
    } else if (request->call == CALL_PUT_RESULT) {
        curl_easy_setopt(self->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(self->easy, CURLOPT_POSTFIELDS, request->json_bytes ? request->json : "");
        curl_easy_setopt(self->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->json_bytes);
    } else {
        curl_easy_setopt(self->easy, CURLOPT_HTTPGET, 1L);
    }
    /* A file is too much to send in vain into a connection that AC has closed meanwhile. */
    curl_easy_setopt(self->easy, CURLOPT_FRESH_CONNECT, request->fresh || file ? 1L : 0L);
    curl_easy_setopt(self->easy, CURLOPT_FORBID_REUSE, 0L);
    bool ipv4 = clock_boot_ms() < self->door->ipv4_until_ms;
    curl_easy_setopt(self->easy, CURLOPT_IPRESOLVE,
                     (long)(ipv4 ? CURL_IPRESOLVE_V4 : CURL_IPRESOLVE_WHATEVER));
    trust_apply(&self->door->trust, self->easy, self->door->verify);
    return 0;
}

int ac_line_start(ac_line_t *self, lease_t *lease, const ac_request_t *request, int64_t now_ms,
                  ac_done_fn done, void *ctx) {
    if (self->busy || !lease || !lease_may_start(lease, now_ms)) return ERR_STATE;
    if ((request->call == CALL_GET_TASK && !request->agent_id) ||
        ((request->call == CALL_UPLOAD_URL || has_file(request->call)) && !request->file_name) ||
        request->call < CALL_GET_TASK || request->call > CALL_UPLOAD_LOGS)
        return ERR_INVALID;
    int rc = set_request(self, request);
    if (rc != 0) return rc;
    self->call = request->call;
    self->sends = 0;
    self->sent_ms = -1;
    self->ipv4 = self->unasked = false;
    self->reason[0] = '\0';
    ac_reply_begin(&self->reply, request->call);
    rc = http_start(self->door->http, self->easy, on_done, self);
    if (rc != 0) {
        ac_file_end(&self->file, self->easy);
        return rc;
    }
    CRASH_POINT("ac.started");
    lease_start(lease);
    self->busy = true;
    self->lease = lease;
    self->done = done;
    self->ctx = ctx;
    self->started_ms = now_ms;
    return 0;
}

int ac_line_upload_logs(ac_line_t *self, lease_t *lease, const char *file_name, int fd, int64_t file_bytes,
                        const void *json, size_t json_bytes, int64_t now_ms, ac_done_fn done, void *ctx) {
    const ac_request_t request = {.call = CALL_UPLOAD_LOGS,
                                  .file_name = file_name,
                                  .fd = fd,
                                  .file_bytes = file_bytes,
                                  .json = json,
                                  .json_bytes = json_bytes};
    return ac_line_start(self, lease, &request, now_ms, done, ctx);
}

/* Whether the answer to a request with a body takes too long; of others curl sees to that. */
static bool is_late(ac_line_t *self, int64_t now_ms) {
    if (!has_body(self->call) || self->sends == 0) return false;
    return http_answer_is_late(self->easy, &self->sent_ms, now_ms,
                               ANSWER_READ_TIMES * 1000L * (long)read_timeout_s(self, self->call));
}

static void give_up(ac_line_t *self) {
    http_cancel(self->door->http, self->easy);
    on_done(self, self->easy, CURLE_OPERATION_TIMEDOUT, "no whole answer to what was sent");
}

void ac_line_turn(ac_line_t *self, int64_t now_ms) {
    if (!self->busy) return;
    if (lease_must_abort(self->lease, now_ms))
        ac_line_abort(self, self->lease->lost ? "the credit was lost" : "the credit ran out");
    else if (is_late(self, now_ms))
        give_up(self);
}

void ac_line_abort(ac_line_t *self, const char *why) {
    if (!self->busy) return;
    http_cancel(self->door->http, self->easy);
    ac_answer_t answer = {.outcome = self->sends ? OUTCOME_ABORTED : OUTCOME_NOT_SENT, .retry_after_ms = -1};
    if (is_answered(self) && http_sent_whole(self->easy)) {
        judge_answer(self, &answer);
        answer.stale = false; /* nothing is to follow */
    } else {
        give_reason(self, "aborted", why);
    }
    finish(self, &answer);
}
