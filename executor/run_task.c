#include "executor/run_task.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/err.h"
#include "common/log.h"
#include "executor/error_text.h"
#include "executor/measure.h"
#include "executor/to_broker.h"

#define CONFIG_WAIT_MS 2000 /* a task does not wait longer for the CONFIG it was handed out with */

static int send_request(executor_t *self, run_t *run, bool again);
/* Why a request was not sent. */
static const char *not_sent(const run_t *run, int err) {
    return run->passage.why[0] ? run->passage.why : err_str(err);
}

static const char *looked_up(const executor_t *self, const run_t *run);
static void on_done(void *ctx, CURL *easy, CURLcode code, const char *error);

void run_abort(executor_t *self, run_t *run) {
    if (!run->easy) return;
    http_cancel(self->http, run->easy);
    slots_give_easy(self->slots, run->easy);
    run->easy = NULL;
}

bool run_resume(executor_t *self, run_t *run) {
    if (!run->easy || !run->response || !response_is_paused(run->response)) return false;
    response_resume(run->response);
    CURLcode code = http_pause(self->http, run->easy, false);
    if (code == CURLE_OK) return true;
    http_cancel(self->http, run->easy);
    on_done(run, run->easy, code, "");
    return true;
}

void run_forget(executor_t *self, run_t *run) {
    run_abort(self, run);
    slots_remove(self->slots, run);
}

/* Writes the result and lets go of everything else. Without memory for it the run stays as it is and is
 * answered by a result without the task's members, which is small. */
static void finish(executor_t *self, run_t *run, const result_parts_t *parts) {
    static const char bare[] = "{}";
    text_t text = {0};
    int err = ERR_MALFORMED;

    if (run->task.raw.ptr)
        err = result_json_write_known(run->task.raw, parts, &text);
    else if (run->payload)
        err = result_json_write((const char *)zframe_data(run->payload), zframe_size(run->payload), parts,
                                &text);

    if (err) {
        text_clear(&text);
        err = result_json_write(bare, sizeof bare - 1, parts, &text);
    }
    if (parts->error) run_drop_body(run);
    run->flags = parts->error ? RESULT_AGENT : run->body.has_file ? RESULT_STREAM : 0;
    if (run->started_ms) run->flags |= RESULT_STARTED;
    run->http_status = (uint16_t)(parts->error ? 500 : parts->status_code);
    run->body_bytes = parts->error         ? 0
                      : run->body.has_file ? body_decoded(response_body(run->response))
                                           : parts->body_bytes;
    run->ended_ms = clock_boot_ms();
    if (run->started_ms) run->tool_ms = (uint32_t)(run->ended_ms - run->started_ms);
    if (err) {
        log_error("result_failed", "number=%" PRIu64 " reason=\"%s\"", run->number, err_str(err));
        text_clear(&text);
        run_forget(self, run); /* missing from the heartbeats, it is ended by the broker */
        return;
    }
    if (text.size - text.len > 4096) {
        char *fitting = realloc(text.ptr, text.len + 1);
        if (fitting) text.ptr = fitting;
    }
    run->result = text.ptr;
    run->result_bytes = text.len;
    measure_run(self, run, parts->error ? 0 : parts->status_code);
    run_release(run);
    run->next_send_ms = 0;
    to_broker_send_due(self, run);
}

void run_fail(executor_t *self, run_t *run, const char *text) {
    result_parts_t parts = {.status_code = 500, .error = text};
    char task[LOG_QUOTED_MAX], why[LOG_QUOTED_MAX];

    run_abort(self, run);
    log_warn("task_failed", "task=%s number=%" PRIu64 " why=%s", log_quote(run->task_id, task), run->number,
             log_quote(text, why));
    error_text_short(text, run->why);
    finish(self, run, &parts);
}

/* A large body goes ahead of the result. */
static void take_file(run_t *run, body_t *body, bool zipped) {
    run_drop_body(run);
    run->body.has_file = true;
    run->body.kind = zipped ? BODY_GZIP : BODY_RAW;
    run->body.fd = body_take_file(body, &run->body.length);
}

static void succeed(executor_t *self, run_t *run) {
    result_parts_t parts = {.status_code = response_status(run->response)};
    body_t *body = response_body(run->response);

    parts.headers = response_headers(run->response, &parts.header_count);
    parts.body = body_inline(body, &parts.body_bytes);
    parts.zipped = body_is_large(body) && run->zipped;
    if (body_is_large(body)) take_file(run, body, run->zipped);
    CRASH_POINT("run.done");
    log_debug("task_done", "number=%" PRIu64 " status=%d octets=%" PRIu64, run->number, parts.status_code,
              body_decoded(body));
    finish(self, run, &parts);
}

static void no_room_text(const run_t *run, char text[ERROR_TEXT_MAX]) {
    char why[200];

    (void)snprintf(why, sizeof why,
                   "the response body is over %d bytes and cannot be kept in a temporary file: %.80s",
                   SLUICE_INLINE_BODY_MAX, strerror(response_errno(run->response)));
    error_text_at(&run->request.url, why, text);
}

/* The same request once more, of which nothing was sent: the name is to be looked up otherwise, or (`again`)
 * its address has chosen another rule. */
static void repeat(executor_t *self, run_t *run, bool again) {
    char text[ERROR_TEXT_MAX];
    int err;

    curl_slist_free_all(run->headers);
    run->headers = NULL;
    err = send_request(self, run, again);
    if (!err) return;
    error_text_at(&run->request.url, not_sent(run, err), text);
    run_fail(self, run, text);
}

/* The error text for a transfer that curl ended with `code`, or that response.c stopped. */
static void fail_transfer(executor_t *self, run_t *run, CURLcode code, const char *reason) {
    char text[ERROR_TEXT_MAX];
    const url_t *url = &run->request.url;

    if (run->passage.why[0]) {
        error_text_at(url, run->passage.why, text);
        run_fail(self, run, text);
        return;
    }
    if (code == CURLE_ABORTED_BY_CALLBACK && run->again) {
        repeat(self, run, true);
        return;
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) { /* before_send() */
        error_text_network(url, "the connection was lost before the answer; not repeated", text);
        run_fail(self, run, text);
        return;
    }
    switch (code == CURLE_OK || code == CURLE_WRITE_ERROR ? response_error(run->response) : 0) {
    case ERR_IO:
        no_room_text(run, text);
        break;
    case ERR_FULL:
        error_text_network(url, "reading the answer: its headers are too large", text);
        break;
    case ERR_MALFORMED:
        error_text_network(url, "reading the answer: the compressed body is broken", text);
        break;
    case ERR_INVALID:
        error_text_network(
            url, "reading the answer: its Content-Length is no number, or is there twice and differs", text);
        break;
    case ERR_NOMEM:
        error_text_at(url, "out of memory", text);
        break;
    default:
        if (code == CURLE_OK) {
            error_text_network(url, "reading the answer: it ends before its headers do", text);
            break;
        }
        error_text_transfer(url, request_by_proxy(&run->request, &self->settings), run->easy, run->headers,
                            code, reason, text);
        break;
    }
    run_fail(self, run, text);
}

static void follow(executor_t *self, run_t *run) {
    char why[REQUEST_WHY_MAX], text[ERROR_TEXT_MAX];
    size_t count;
    const pair_t *headers = response_headers(run->response, &count);
    int err = request_take_cookies(&run->request, headers, count);

    if (!err)
        err = request_redirect(&run->request, response_status(run->response),
                               response_location(run->response), why);
    run->ipv4 = false;
    if (!err)
        err = send_request(self, run, false);
    else if (err == ERR_TOO_LARGE)
        error_text_network(&run->request.url, why, text);
    else if (err == ERR_INVALID)
        error_text_at(&run->request.url, why, text);
    if (err == ERR_NOMEM || err == ERR_IO || err == ERR_STATE)
        error_text_at(&run->request.url, not_sent(run, err), text);
    if (err) run_fail(self, run, text);
}

/* Whether the transfer brought a whole answer. A redirect's body does not matter. */
static bool is_complete(run_t *run, CURLcode code) {
    if (response_redirects(run->response)) return code != CURLE_OPERATION_TIMEDOUT;
    if (response_is_cut(run->response)) return true;
    return code == CURLE_OK && response_status(run->response) != 0 && response_error(run->response) == 0;
}

/* The host whose name a request looks up: its proxy's, or its own. */
static const char *looked_up(const executor_t *self, const run_t *run) {
    const char *proxy = request_by_proxy(&run->request, &self->settings);

    return proxy[0] ? proxy : run->request.url.host;
}

/* curl does not tell why a lookup failed. A host that has no address of either kind fails once more, and is
 * not remembered. */
static bool look_up_again(executor_t *self, run_t *run, CURLcode code) {
    bool failed = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY;

    if (!self->settings.ipv4_fallback || (failed && run->ipv4)) return false;
    if (!failed) {
        if (run->ipv4) ipv4_hosts_add(&self->ipv4_hosts, looked_up(self, run), self->now_ms);
        return false;
    }
    log_debug("lookup_repeated", "number=%" PRIu64 " family=ipv4", run->number);
    run->ipv4 = true;
    repeat(self, run, false);
    return true;
}

/* When the answer began to come: of the last transfer that had one. */
static void note_first_byte(run_t *run, CURL *easy) {
    curl_off_t us = 0;

    if (response_status(run->response) == 0) return;
    if (curl_easy_getinfo(easy, CURLINFO_STARTTRANSFER_TIME_T, &us) == CURLE_OK && us > 0)
        run->first_byte_ms = run->leg_ms + us / 1000;
    if (run->first_byte_ms && run->first_byte_ms < run->connected_ms) /* rounded */
        run->first_byte_ms = run->connected_ms;
}

static void on_done(void *ctx, CURL *easy, CURLcode code, const char *error) {
    run_t *run = ctx;
    executor_t *self = run->owner;
    char text[ERROR_TEXT_MAX];
    bool redirects = response_redirects(run->response);

    note_first_byte(run, easy);
    if (look_up_again(self, run, code)) return;
    if (!is_complete(run, code)) {
        fail_transfer(self, run, code, error);
        return;
    }
    int err = redirects ? 0 : response_finish(run->response);
    if (err) {
        if (err == ERR_IO)
            no_room_text(run, text);
        else
            error_text_network(&run->request.url,
                               err == ERR_INVALID ? "reading the answer: the body is cut short"
                                                  : "reading the answer: the compressed body is cut short",
                               text);
        run_fail(self, run, text);
        return;
    }
    curl_slist_free_all(run->headers);
    run->headers = NULL;
    if (redirects) {
        follow(self, run);
        return;
    }
    run->easy = NULL;
    slots_give_easy(self->slots, easy);
    succeed(self, run);
}

/* curl is about to send. A second time it would repeat the request by itself, as it does when a kept
 * connection was dead: here none is kept, and whatever else may move it, nothing is sent twice. */
// NOLINTNEXTLINE(readability-non-const-parameter): the signature is curl's
static int before_send(void *ctx, char *remote, char *local, int remote_port, int local_port) {
    run_t *run = ctx;
    passage_state_t passage = passage_connected(&run->passage, remote);

    (void)local;
    (void)remote_port;
    (void)local_port;
    run->again = passage == PASSAGE_AGAIN;
    if (passage != PASSAGE_OPEN) return CURL_PREREQFUNC_ABORT;
    if (!run->connected_ms) run->connected_ms = clock_boot_ms();
    return ++run->sends > 1 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* curl is about to connect: a refused address is passed over, like one that does not answer. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
    run_t *run = ctx;

    if (purpose != CURLSOCKTYPE_IPCXN || !passage_address(&run->passage, &address->addr))
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int send_request(executor_t *self, run_t *run, bool again) {
    int64_t left_ms = run->deadline_ms - clock_boot_ms();
    bool by_proxy = request_by_proxy(&run->request, &self->settings)[0] != '\0';
    int err;

    curl_easy_reset(run->easy);
    run->again = false;
    err = passage_begin(&run->passage, self->policy, &run->request, by_proxy, again);
    if (err) return err;
    err = request_apply(&run->request, &self->settings, run->easy, &run->headers);
    if (err) return err;
    if (run->ipv4 || ipv4_hosts_has(&self->ipv4_hosts, looked_up(self, run), self->now_ms))
        (void)curl_easy_setopt(run->easy, CURLOPT_IPRESOLVE, (long)CURL_IPRESOLVE_V4);
    run->sends = 0;
    run->leg_ms = clock_boot_ms();
    err = response_bind(run->response, run->easy, request_is_head(&run->request),
                        request_is_head(&run->request) && run->request.body);
    if (err) return err;
    (void)curl_easy_setopt(run->easy, CURLOPT_TIMEOUT_MS,
                           (long)(left_ms < 1         ? 1
                                  : left_ms > INT_MAX ? INT_MAX
                                                      : left_ms));
    (void)curl_easy_setopt(run->easy, CURLOPT_PREREQFUNCTION, before_send);
    (void)curl_easy_setopt(run->easy, CURLOPT_PREREQDATA, run);
    (void)curl_easy_setopt(run->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(run->easy, CURLOPT_OPENSOCKETDATA, run);
    return http_start(self->http, run->easy, on_done, run);
}

static void start(executor_t *self, run_t *run) {
    char why[REQUEST_WHY_MAX], text[ERROR_TEXT_MAX];
    int err = request_from_task(&run->request, &run->task, why);

    if (err == ERR_INVALID) {
        error_text_agent(why, text);
        run_fail(self, run, text);
        return;
    }
    if (!err) {
        run->started_ms = clock_boot_ms();
        run->easy = slots_take_easy(self->slots);
        run->zipped = self->settings.upload_to_ac;
        run->response =
            response_new(run->zipped ? BODY_GZIP : BODY_RAW, self->settings.state_dir, &self->turn_octets);
        err = run->easy && run->response ? send_request(self, run, false) : ERR_NOMEM;
    }
    if (err) {
        if (run->easy) slots_give_easy(self->slots, run->easy);
        run->easy = NULL;
        run->started_ms = 0;
        if (err == ERR_STATE)
            error_text_at(&run->request.url, not_sent(run, err), text);
        else
            error_text_agent(err_str(err), text);
        run_fail(self, run, text);
        return;
    }
    CRASH_POINT("run.started");
    run->started = true;
}

void run_prepare(executor_t *self, run_t *run) {
    char why[256], text[ERROR_TEXT_MAX];
    int err =
        task_json_read((const char *)zframe_data(run->payload), zframe_size(run->payload), &run->task, why);

    if (err) {
        error_text_agent(why, text);
        run_fail(self, run, text);
        return;
    }
    run->idempotent = run->idempotent && run->task.idempotent;
}

static bool waits_for_config(const executor_t *self, const run_t *run) {
    return run->generation > self->generation && self->now_ms - run->received_ms < CONFIG_WAIT_MS;
}

static bool may_start(const executor_t *self, const run_t *run) {
    bool promised = run->told_unstarted && link_session(self->link) == 0;

    return !run->started && !run->result && !run->give_back && !promised && (run->claimed || run->idempotent);
}

void run_start_if_due(executor_t *self, run_t *run) {
    if (!may_start(self, run) || waits_for_config(self, run)) return;
    if (self->now_ms >= run->deadline_ms) {
        run_fail(self, run, "Agent Side Error: Error: the task expired before it was sent to the tool");
        return;
    }
    start(self, run);
}

int64_t run_due_ms(const executor_t *self, const run_t *run) {
    return may_start(self, run) && waits_for_config(self, run) ? run->received_ms + CONFIG_WAIT_MS
                                                               : INT64_MAX;
}
