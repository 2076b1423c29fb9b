#include "check_outcome.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "check_expect.h"

static bool absent(const members_t *result, const char *name) {
    return !member_value(result, name).len;
}

static bool output_is(const members_t *result, const body_t *body) {
    buf_t text = {0};
    buf_t bytes = {0};
    bool good = json_string(member_value(result, "output"), &text) &&
                base64_decode(span_buf(&text), &bytes) && bytes.len == body->len &&
                body_matches(body, 0, span_buf(&bytes));
    buf_free(&text);
    buf_free(&bytes);
    return good;
}

static const char *check_apart(const apart_t *apart, const body_t *body) {
    if (!apart->present) return "its body has not arrived";
    if (!apart->whole) return "its body is cut short or badly encoded";
    return apart->matches && apart->len == body->len ? NULL : "its body differs from the tool's";
}

/* What is wrong with the way the body came back, or NULL. */
static const char *check_body(const received_t *received, const body_t *body) {
    const members_t *result = received->members;
    bool zipped = span_is(member_value(result, "responseZipped"), "true");
    if (received->via == VIA_UPLOAD_RESULT) {
        if (!body || body->len <= INLINE_BODY_MAX) return "uploaded although its body is small";
        if (!zipped || !absent(result, "output") || !absent(result, "responseBase64"))
            return "an upload needs responseZipped: true and no output";
        return check_apart(&received->file, body);
    }
    if (!absent(result, "responseZipped")) return "responseZipped in a put-result";
    if (!body)
        return absent(result, "output") && absent(result, "responseBase64") && absent(result, "s3Url")
                   ? NULL
                   : "output, responseBase64 or s3Url for an empty body";
    if (!absent(result, "s3Url")) {
        if (body->len <= INLINE_BODY_MAX || !absent(result, "output"))
            return "s3Url although its body is small, or next to an output";
        return check_apart(&received->stored, body);
    }
    if (body->len > INLINE_BODY_MAX) return "a body over 512000 bytes in a put-result";
    if (!span_is(member_value(result, "responseBase64"), "true")) return "responseBase64 is not true";
    return output_is(result, body) ? NULL : "output differs from the tool's body";
}

/* The values of all headers with this name, joined as a result joins them. */
static void join_values(const plan_t *plan, const char *name, buf_t *out) {
    for (size_t i = 0; i < plan->header_count; i++) {
        if (strcasecmp(plan->headers[i].name, name) != 0) continue;
        if (out->len) buf_text(out, ", ");
        buf_text(out, plan->headers[i].value);
    }
}

static bool header_is(const members_t *headers, const char *name, span_t value) {
    buf_t text = {0};
    bool good = json_string(member_value(headers, name), &text) && span_same(span_buf(&text), value);
    buf_free(&text);
    return good;
}

static void check_headers(const task_t *task, const members_t *result, buf_t *reason) {
    const plan_t *plan = task_plan(task);
    members_t headers;
    if (!json_members(member_value(result, "responseHeaders"), &headers)) {
        buf_text(reason, "responseHeaders is missing");
        return;
    }
    for (size_t i = 0; i < plan->header_count && !reason->len; i++) {
        buf_t value = {0};
        const char *name = plan->headers[i].name;
        join_values(plan, name, &value);
        if (!header_is(&headers, name, span_buf(&value)))
            buf_printf(reason, "response header %s is missing or not \"%.80s\"", name, value.data);
        buf_free(&value);
    }
    if (task_number(task) && !reason->len) {
        char number[24];
        snprintf(number, sizeof number, "%" PRIu64, task_number(task));
        if (!header_is(&headers, "X-Mock-Task", span_of(number)))
            buf_text(reason, "response header X-Mock-Task is missing or another task's");
    }
    members_free(&headers);
}

/* True when the result is one of the answers that faults put in place of the planned one. */
static bool is_fault_answer(const task_t *task, const received_t *received) {
    size_t count = 0;
    const fault_t *faults = task_faults(task, &count);
    for (size_t i = 0; i < count; i++) {
        int status = 0;
        char expected[16];
        buf_t text = {0};
        bool answers = fault_answers(faults[i], &status, &text);
        snprintf(expected, sizeof expected, "%d", status);
        bool good = answers && span_is(member_value(received->members, "statusCode"), expected);
        if (good) {
            body_t body = body_literal(span_buf(&text));
            bool none = span_is(task_method(task), "HEAD") || status == 204 || status == 304;
            good = !check_body(received, none ? NULL : &body);
            body_free(&body);
        }
        buf_free(&text);
        if (good) return true;
    }
    return false;
}

static void check_plain(const task_t *task, const received_t *received, buf_t *reason) {
    const plan_t *plan = task_plan(task);
    span_t expect = task_expect(task);
    char status[16];
    snprintf(status, sizeof status, "%d", plan->status);
    span_t found = member_value(received->members, "statusCode");
    if (!task_tool_calls(task))
        buf_text(reason, "a result of a task the tool has never seen");
    else if (!expect_covers_status(expect) && !span_is(found, status))
        buf_printf(reason, "statusCode is %.*s, the tool answered %s", (int)found.len, found.data, status);
    const char *wrong = NULL;
    if (!reason->len && !expect_covers_body(expect))
        wrong = check_body(received, plan_expected(plan, task_method(task)));
    if (wrong) buf_text(reason, wrong);
    if (!reason->len && !expect_covers_headers(expect)) check_headers(task, received->members, reason);
}

/* What makes an error result right, when no script expects it. */
static bool error_explained(const tasks_t *tasks, const task_t *task, const received_t *received,
                            result_class_t class) {
    if (task_was_cut_off(task)) return true;
    bool expired = task_expiry_ts_ms(task) && received->now_ms >= task_expiry_ts_ms(task);
    if (class == RESULT_ERROR_NETWORK && task_met_outage(tasks, task)) return true;
    return class == RESULT_OUTCOME_UNKNOWN || expired || !task_plan(task)->known;
}

static void check_logs(const received_t *received, buf_t *reason) {
    if (!received->file.present || !received->file.whole)
        buf_text(reason, "the logs are no zip file");
    else if (!span_is(member_value(received->members, "responseZipped"), "true"))
        buf_text(reason, "the logs' task lacks responseZipped: true");
}

void check_outcome(const tasks_t *tasks, const task_t *task, const received_t *received, result_class_t class,
                   buf_t *reason) {
    if (received->via == VIA_UPLOAD_LOGS) {
        check_logs(received, reason);
        return;
    }
    if (class != RESULT_PLAIN) {
        span_t expect = task_expect(task);
        bool expected = expect_covers_body(expect) && !expect_is_waived(expect, task, class);
        span_t output = member_value(received->members, "output");
        if (!expected && !error_explained(tasks, task, received, class))
            buf_printf(reason, "an error nothing explains: %.*s", (int)(output.len > 200 ? 200 : output.len),
                       output.data);
        return;
    }
    const plan_t *plan = task_plan(task);
    if (plan->known && !plan_redirects(plan) && !is_fault_answer(task, received))
        check_plain(task, received, reason);
}
