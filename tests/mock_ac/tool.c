#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generator.h"
#include "json_out.h"
#include "json_text.h"
#include "mem.h"

#define CONTROL_PREFIX   "/_control/"
#define GENERATED_PREFIX "/t/"

struct tool {
    tool_options_t options;
};

typedef struct {
    bool control;
    const plan_t *plan; /* NULL: nothing lives here */
    task_t *task;
    bool main; /* the task's own URL */
    fault_t fault;
} call_t;

tool_t *tool_new(const tool_options_t *options) {
    tool_t *self = mem_new(1, sizeof *self);
    self->options = *options;
    return self;
}

void tool_destroy(tool_t **self) {
    free(*self);
    *self = NULL;
}

/* ---- is the request what the task asked for? ---- */

static void book_wrong(const tool_t *self, const call_t *call, const char *text, span_t found) {
    span_t id = task_id(call->task);
    books_add(self->options.books, BOOK_WRONG, 1);
    books_note(self->options.books, NOTE_WRONG, "%.*s: at the tool: %s: %.*s", (int)id.len, id.data, text,
               (int)(found.len > 120 ? 120 : found.len), found.data);
}

/* The body the tool must see; false when this is not for us to say. */
static bool expected_input(const tool_t *self, task_t *task, buf_t *out) {
    if (task_number(task)) {
        generated_input(task, out);
        return true;
    }
    members_t members;
    json_members(task_raw(self->options.tasks, task), &members);
    span_t input = member_value(&members, "input");
    bool known = !input.len || span_is(input, "null") || json_string(input, out);
    members_free(&members);
    return known;
}

static void check_request(const tool_t *self, const call_t *call, const request_t *request) {
    span_t method = request_method(request);
    span_t body = request_body(request);
    if (call->plan->repeats) return;
    if (!span_same(method, task_method(call->task))) book_wrong(self, call, "another method", method);
    buf_t input = {0};
    if (expected_input(self, call->task, &input) && !span_same(body, span_buf(&input)))
        book_wrong(self, call, "another body", body);
    buf_free(&input);
    if (!task_number(call->task)) return;
    char number[24];
    snprintf(number, sizeof number, "%" PRIu64, task_number(call->task));
    const char *header = request_header(request, "X-Mock-Task");
    if (!header || strcmp(header, number) != 0)
        book_wrong(self, call, "another X-Mock-Task header", span_of(header ? header : "(none)"));
}

static void record_header(void *ctx, const char *name, const char *value) {
    json_out_t *out = ctx;
    json_out_open(out, NULL, true);
    json_out_text(out, NULL, span_of(name));
    json_out_text(out, NULL, span_of(value));
    json_out_close(out, true);
}

static void record_call(const tool_t *self, const call_t *call, const request_t *request) {
    buf_t text = {0};
    json_out_t *out = json_out_new();
    json_out_open(out, NULL, false);
    json_out_int(out, "at_us", loop_now_us());
    json_out_text(out, "method", request_method(request));
    json_out_text(out, "uri", request_uri(request));
    json_out_open(out, "headers", true);
    request_headers(request, record_header, out);
    json_out_close(out, true);
    json_out_bytes(out, "bodyBase64", request_body(request));
    json_out_close(out, false);
    json_out_finish(&out, &text);
    task_record(self->options.tasks, call->task, RECORD_TOOL_CALLS, span_buf(&text));
    buf_free(&text);
}

/* ---- answering ---- */

static answer_t *planned_answer(const call_t *call) {
    const plan_t *plan = call->plan;
    answer_t *answer = answer_new(plan->status);
    if (plan->body.len) answer_body(answer, &plan->body, plan->chunked);
    for (size_t i = 0; i < plan->header_count; i++)
        answer_header(answer, plan->headers[i].name, plan->headers[i].value);
    if (call->task && task_number(call->task)) {
        char number[24];
        snprintf(number, sizeof number, "%" PRIu64, task_number(call->task));
        answer_header(answer, "X-Mock-Task", number);
        answer_header(answer, "Content-Type", GENERATED_TYPE);
    }
    return answer;
}

static void reset_due(void *ctx, request_t *request) {
    (void)ctx;
    request_kill(request, true);
}

static void close_due(void *ctx, request_t *request) {
    (void)ctx;
    request_kill(request, false);
}

static void answer_planned(const call_t *call, request_t *request) {
    answer_t *answer = answer_fault(call->fault);
    int64_t delay_ms = call->plan->delay_ms;
    if (!answer) answer = planned_answer(call);
    if (call->fault.kind == FAULT_DELAY) delay_ms += call->fault.param;
    if (call->fault.kind == FAULT_HALF) answer_halve(answer);
    request_answer(request, &answer, delay_ms * 1000);
}

static void answer_call(const call_t *call, request_t *request) {
    int64_t now_us = loop_now_us();
    bool empty = call->plan->body.len == 0 || span_is(request_method(request), "HEAD");
    switch (call->fault.kind) {
    case FAULT_RESET:
        request_kill(request, true);
        return;
    case FAULT_RESET_AFTER:
        request_hold(request, now_us + call->plan->delay_ms * 1000, reset_due);
        return;
    case FAULT_STALL:
        request_hold(request, now_us + call->fault.param * 1000, close_due);
        return;
    case FAULT_HALF:
        if (empty)
            request_hold(request, now_us + call->plan->delay_ms * 1000, close_due);
        else
            answer_planned(call, request);
        return;
    default:
        answer_planned(call, request);
    }
}

static void pick_fault(const tool_t *self, call_t *call) {
    call->fault = call->plan->fault;
    if (call->fault.kind != FAULT_NONE)
        faults_count(self->options.faults, ENDPOINT_TOOL, call->fault);
    else
        call->fault = faults_pick(self->options.faults, ENDPOINT_TOOL);
    if (call->fault.kind == FAULT_NONE) return;
    books_add(self->options.books, BOOK_FAULTS_INJECTED, 1);
    if (call->task) task_faulted(call->task, call->fault);
}

/* ---- handlers of the listener ---- */

static task_t *generated_task(const tool_t *self, span_t path) {
    size_t prefix = strlen(GENERATED_PREFIX);
    if (!span_starts(path, GENERATED_PREFIX)) return NULL;
    char *text = mem_copy(path.data + prefix, path.len - prefix);
    int64_t number = 0;
    bool good = number_parse(text, 1, INT64_MAX, &number);
    free(text);
    return good ? tasks_by_number(self->options.tasks, (uint64_t)number) : NULL;
}

static void find_plan(const tool_t *self, call_t *call, const request_t *request) {
    call->task = generated_task(self, request_path(request));
    if (call->task) {
        call->plan = task_plan(call->task);
        call->main = true;
        return;
    }
    const route_t *route = routes_find(self->options.routes, request_uri(request));
    if (!route) return;
    call->plan = route->plan;
    call->task = route->task;
    call->main = route->main;
}

static void on_start(void *ctx, request_t *request) {
    tool_t *self = ctx;
    books_t *books = self->options.books;
    call_t *call = mem_new(1, sizeof *call);
    *request_slot(request) = call;
    call->control = span_starts(request_path(request), CONTROL_PREFIX);
    if (call->control) return;
    find_plan(self, call, request);
    books_add(books, BOOK_TOOL_REQUESTS, 1);
    books_add(books, BOOK_TOOL_NOT_FOUND, !call->plan);
    books_add(books, BOOK_TOOL_IN_FLIGHT, 1);
    books_max(books, BOOK_TOOL_MAX_IN_FLIGHT, books_get(books, BOOK_TOOL_IN_FLIGHT));
    if (call->task && call->main) task_executed(self->options.tasks, call->task);
}

static bool on_data(void *ctx, request_t *request, span_t piece) {
    (void)ctx;
    (void)request;
    (void)piece;
    return false;
}

static void on_complete(void *ctx, request_t *request) {
    tool_t *self = ctx;
    call_t *call = *request_slot(request);
    if (call->control) {
        size_t prefix = strlen(CONTROL_PREFIX);
        span_t path = request_path(request);
        control_request(self->options.control, request, (span_t){path.data + prefix, path.len - prefix});
        return;
    }
    if (!call->plan) {
        answer_t *answer = answer_with(404, "text/plain", span_of("nothing lives here\n"));
        request_answer(request, &answer, 0);
        return;
    }
    if (call->task && task_recorded(self->options.tasks, call->task)) record_call(self, call, request);
    if (call->task && call->main) check_request(self, call, request);
    pick_fault(self, call);
    answer_call(call, request);
}

static void on_gone(void *ctx, request_t *request) {
    tool_t *self = ctx;
    const call_t *call = *request_slot(request);
    books_add(self->options.books, BOOK_TOOL_CLIENTS_GONE, !call->control);
}

static void on_done(void *ctx, request_t *request, bool sent) {
    tool_t *self = ctx;
    call_t *call = *request_slot(request);
    if (call->control)
        control_done(self->options.control, request);
    else
        books_add(self->options.books, BOOK_TOOL_IN_FLIGHT, -1);
    if (sent && call->task && call->main) task_answered(call->task);
    free(call);
    *request_slot(request) = NULL;
}

static void on_opened(void *ctx) {
    tool_t *self = ctx;
    books_add(self->options.books, BOOK_TOOL_CONNECTIONS_OPENED, 1);
    books_add(self->options.books, BOOK_TOOL_CONNECTIONS_OPEN, 1);
}

static void on_closed(void *ctx, void *tag, bool reset) {
    (void)tag;
    (void)reset;
    tool_t *self = ctx;
    books_add(self->options.books, BOOK_TOOL_CONNECTIONS_OPEN, -1);
}

const server_handlers_t tool_handlers = {
    .start = on_start,
    .data = on_data,
    .complete = on_complete,
    .gone = on_gone,
    .done = on_done,
    .opened = on_opened,
    .closed = on_closed,
};
