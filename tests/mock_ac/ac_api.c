#include "ac_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ac_call.h"
#include "mem.h"

#define API_PREFIX "/api/http-teleport/"

static const struct {
    const char *method;
    bool json; /* its Content-Type has to be application/json */
    void (*run)(call_t *call);
} CALLS[ENDPOINT_COUNT] = {
    [ENDPOINT_GET_TASK] = {"GET", true, get_task},
    [ENDPOINT_PUT_RESULT] = {"POST", true, put_result},
    [ENDPOINT_UPLOAD_RESULT] = {"POST", false, upload_result},
    [ENDPOINT_UPLOAD_URL] = {"GET", true, upload_url},
    [ENDPOINT_UPLOAD_LOGS] = {"POST", false, upload_result},
    [ENDPOINT_STORE] = {"PUT", false, store_upload},
};

ac_api_t *ac_api_new(const ac_api_options_t *options) {
    ac_api_t *self = mem_new(1, sizeof *self);
    self->options = *options;
    return self;
}

void ac_api_destroy(ac_api_t **self) {
    free(*self);
    *self = NULL;
}

void protocol_error(ac_api_t *self, const call_t *call, const char *text) {
    books_add(self->options.books, BOOK_PROTOCOL_ERRORS, 1);
    books_note(self->options.books, NOTE_PROTOCOL, "%s: %s", endpoint_name(call->endpoint), text);
}

/* ---- answering ---- */

int64_t call_delay_us(const call_t *call) {
    int64_t fault_ms = call->fault.kind == FAULT_DELAY ? call->fault.param : 0;
    int64_t own_ms = call->endpoint == ENDPOINT_STORE ? 0 : call->api->options.settings->ac_delay_ms;
    return call->delayed ? 0 : (fault_ms + own_ms) * 1000;
}

void call_kill(call_t *call, bool reset) {
    call->killed = true;
    request_kill(call->request, reset);
}

void call_answer(call_t *call, answer_t **answer) {
    bool half = call->fault.kind == FAULT_HALF;
    if (call->fault.kind == FAULT_RESET_AFTER || (half && !answer_can_halve(*answer))) {
        answer_destroy(answer);
        call_kill(call, !half);
        return;
    }
    if (half) answer_halve(*answer);
    int64_t delay_us = call_delay_us(call);
    if (call->flight) limits_until(call->flight, loop_now_us() + delay_us);
    request_answer(call->request, answer, delay_us);
}

void call_message(call_t *call, int status, const char *text) {
    answer_t *answer = answer_message(status, text);
    call_answer(call, &answer);
}

static void stall_over(void *ctx, request_t *request) {
    (void)ctx;
    call_kill(*request_slot(request), false);
}

/* True when the fault stands in place of the call. */
static bool fault_ends(call_t *call) {
    fault_t fault = call->fault;
    answer_t *answer = answer_fault(fault);
    if (answer) {
        if (fault.kind == FAULT_STATUS && fault.status / 100 == 3)
            answer_header(answer, "Location", "/elsewhere");
        call_answer(call, &answer);
        return true;
    }
    if (fault.kind == FAULT_STALL) {
        int64_t end_us = loop_now_us() + fault.param * 1000;
        if (call->flight) limits_until(call->flight, end_us);
        request_hold(call->request, end_us, stall_over);
        return true;
    }
    if (fault.kind == FAULT_RESET) call_kill(call, true);
    return fault.kind == FAULT_RESET;
}

/* ---- admission ---- */

static bool refused_by_limits(call_t *call) {
    if (call->admission == REFUSED_CONCURRENT) {
        answer_t *answer = answer_fault((fault_t){.kind = FAULT_429_CONC});
        call_answer(call, &answer);
    } else if (call->admission == REFUSED_RATE) {
        answer_t *answer = answer_fault((fault_t){.kind = FAULT_429_RATE, .param = call->retry_after_s});
        call_answer(call, &answer);
    }
    return call->admission != ADMITTED;
}

static bool authorized(const call_t *call) {
    const char *header = request_header(call->request, "Authorization");
    return header && strncmp(header, "Bearer ", 7) == 0 &&
           strcmp(header + 7, call->api->options.api_key) == 0;
}

static bool refused_by_contract(call_t *call) {
    ac_api_t *self = call->api;
    if (call->endpoint == ENDPOINT_OTHER) {
        protocol_error(self, call, "no such path");
        call_message(call, 404, "no such path");
        return true;
    }
    if (!span_is(request_method(call->request), CALLS[call->endpoint].method)) {
        protocol_error(self, call, "wrong method");
        call_message(call, 405, "wrong method");
        return true;
    }
    if (call->endpoint != ENDPOINT_STORE && !authorized(call)) {
        books_add(self->options.books, BOOK_AC_UNAUTHORIZED, 1);
        protocol_error(self, call, "no or wrong Authorization");
        call_message(call, 401, "no or wrong Authorization");
        return true;
    }
    return false;
}

static void check_headers(call_t *call) {
    ac_api_t *self = call->api;
    const char *type = request_header(call->request, "Content-Type");
    if (CALLS[call->endpoint].json && (!type || strncmp(type, "application/json", 16) != 0))
        protocol_error(self, call, "Content-Type is not application/json");
    const char *env_name = request_query(call->request, "envName");
    bool takes = call->endpoint == ENDPOINT_GET_TASK || call->endpoint == ENDPOINT_UPLOAD_LOGS;
    if (env_name && (!takes || !*env_name)) protocol_error(self, call, "envName is empty or out of place");
    const char *wanted = self->options.env_name;
    if (wanted && takes && (!env_name || strcmp(env_name, wanted) != 0))
        protocol_error(self, call, "envName is not the one configured");
}

/* ---- handlers of the listener ---- */

static endpoint_t endpoint_of(span_t path) {
    if (span_starts(path, "/store/")) return ENDPOINT_STORE;
    size_t prefix = strlen(API_PREFIX);
    if (!span_starts(path, API_PREFIX)) return ENDPOINT_OTHER;
    endpoint_t endpoint = endpoint_named((span_t){path.data + prefix, path.len - prefix});
    return endpoint == ENDPOINT_STORE || endpoint == ENDPOINT_TOOL ? ENDPOINT_OTHER : endpoint;
}

static void on_start(void *ctx, request_t *request) {
    ac_api_t *self = ctx;
    call_t *call = mem_new(1, sizeof *call);
    *call = (call_t){.api = self, .request = request, .endpoint = endpoint_of(request_path(request))};
    *request_slot(request) = call;
    *request_tag(request) = NULL; /* the client lives: what it was handed before has reached it */
    if (call->endpoint == ENDPOINT_STORE) {
        books_add(self->options.books, BOOK_STORE_REQUESTS, 1);
        call->put = store_put(self->options.store, request_path(request));
        return;
    }
    book_t counter =
        call->endpoint == ENDPOINT_OTHER ? BOOK_AC_OTHER : BOOK_AC_GET_TASK + (book_t)call->endpoint;
    books_add(self->options.books, counter, 1);
    call->flight =
        limits_enter(self->options.limits, request_fd(request), &call->admission, &call->retry_after_s);
    if (call->endpoint == ENDPOINT_UPLOAD_RESULT || call->endpoint == ENDPOINT_UPLOAD_LOGS)
        call->upload =
            upload_new(request, self->options.tasks,
                       call->endpoint == ENDPOINT_UPLOAD_LOGS ? VIA_UPLOAD_LOGS : VIA_UPLOAD_RESULT);
}

static bool on_data(void *ctx, request_t *request, span_t piece) {
    (void)ctx;
    call_t *call = *request_slot(request);
    if (call->upload)
        upload_data(call->upload, piece);
    else if (call->put)
        put_data(call->put, piece);
    return call->upload || call->put;
}

static void on_complete(void *ctx, request_t *request) {
    ac_api_t *self = ctx;
    call_t *call = *request_slot(request);
    if (refused_by_limits(call) || refused_by_contract(call)) return;
    check_headers(call);
    call->fault = faults_pick(self->options.faults, call->endpoint);
    books_add(self->options.books, BOOK_FAULTS_INJECTED, call->fault.kind != FAULT_NONE);
    if (!fault_ends(call)) CALLS[call->endpoint].run(call);
}

static void on_gone(void *ctx, request_t *request) {
    ac_api_t *self = ctx;
    call_t *call = *request_slot(request);
    poll_remove(call);
    call->killed = true;
    if (call->flight) limits_gone(self->options.limits, call->flight);
}

static void on_done(void *ctx, request_t *request, bool sent) {
    ac_api_t *self = ctx;
    call_t *call = *request_slot(request);
    poll_remove(call);
    if (!sent && !call->killed && call->flight && call->fault.kind != FAULT_HALF)
        limits_gone(self->options.limits, call->flight);
    limits_leave(self->options.limits, &call->flight);
    if (call->accepted && (!sent || call->killed || call->fault.kind == FAULT_HALF))
        books_add(self->options.books, BOOK_UNANSWERED, 1);
    if (call->task && sent)
        *request_tag(request) = call->task;
    else if (call->task)
        task_handed_to_dead(self->options.tasks, call->task);
    upload_destroy(&call->upload);
    free(call);
    *request_slot(request) = NULL;
}

static void on_opened(void *ctx) {
    ac_api_t *self = ctx;
    books_add(self->options.books, BOOK_AC_CONNECTIONS_OPENED, 1);
    books_add(self->options.books, BOOK_AC_CONNECTIONS_OPEN, 1);
}

/* A client that dies with an unread answer resets the connection; one that has read it closes it. */
static void on_closed(void *ctx, void *tag, bool reset) {
    ac_api_t *self = ctx;
    books_add(self->options.books, BOOK_AC_CONNECTIONS_OPEN, -1);
    if (tag && reset)
        task_handed_to_dead(self->options.tasks, tag);
    else if (tag)
        task_closed_after(self->options.tasks, tag);
}

const server_handlers_t ac_api_handlers = {
    .start = on_start,
    .data = on_data,
    .complete = on_complete,
    .gone = on_gone,
    .done = on_done,
    .opened = on_opened,
    .closed = on_closed,
};
