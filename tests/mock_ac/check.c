#include "check.h"

#include <string.h>

#include "check_expect.h"
#include "check_outcome.h"

/* Members a result adds or replaces. */
static const char *const ADDED[] = {
    "version", "statusCode", "responseHeaders", "responseBase64", "responseZipped", "output", "s3Url"};

static bool is_added(span_t key) {
    for (size_t i = 0; i < sizeof ADDED / sizeof ADDED[0]; i++)
        if (span_is(key, ADDED[i])) return true;
    return false;
}

static size_t count_key(const members_t *members, span_t key) {
    size_t count = 0;
    for (size_t i = 0; i < members->count; i++)
        count += span_same(members->items[i].key, key);
    return count;
}

static void check_echo(const members_t *task, const members_t *result, buf_t *reason) {
    for (size_t i = 0; i < task->count && !reason->len; i++) {
        const member_t *sent = &task->items[i];
        if (is_added(sent->key)) continue;
        span_t back = member_find(result, sent->key);
        if (!span_same(back, sent->value))
            buf_printf(reason, "member \"%.*s\" was %.*s and came back as %.*s", (int)sent->key.len,
                       sent->key.data, (int)(sent->value.len > 80 ? 80 : sent->value.len), sent->value.data,
                       (int)(back.len > 80 ? 80 : back.len), back.len ? back.data : "");
    }
    for (size_t i = 0; i < result->count && !reason->len; i++) {
        span_t key = result->items[i].key;
        if (!is_added(key) && !count_key(task, key))
            buf_printf(reason, "member \"%.*s\" is neither the task's nor a result's", (int)key.len,
                       key.data);
        else if (count_key(result, key) > 1 && count_key(task, key) < 2)
            buf_printf(reason, "member \"%.*s\" appears twice", (int)key.len, key.data);
    }
}

static void check_frame(const received_t *received, buf_t *reason) {
    span_t version = member_value(received->members, "version");
    span_t status = member_value(received->members, "statusCode");
    span_t headers = member_value(received->members, "responseHeaders");
    if (!json_is_string(version) || version.len < 3)
        buf_text(reason, "version is no text");
    else if (received->via != VIA_UPLOAD_LOGS && !json_is_integer(status))
        buf_text(reason, "statusCode is no integer");
    else if (headers.len && !json_is_object(headers))
        buf_text(reason, "responseHeaders is no object");
}

/* A result says by itself whether it is an agent's error, and of which class. */
static result_class_t classify(const received_t *received, buf_t *reason) {
    buf_t output = {0};
    result_class_t class = RESULT_PLAIN;
    bool encoded = member_value(received->members, "responseBase64").len > 0;
    if (!encoded && json_string(member_value(received->members, "output"), &output)) {
        span_t text = span_buf(&output);
        bool network = span_starts(text, "Agent Side Error: Network error: ");
        bool other = span_starts(text, "Agent Side Error: Error: ");
        if (span_contains(text, "outcome unknown") && other)
            class = RESULT_OUTCOME_UNKNOWN;
        else if (network || span_starts(text, "Agent Side Error:"))
            class = network ? RESULT_ERROR_NETWORK : RESULT_ERROR_OTHER;
        if (class != RESULT_PLAIN && !network && !other)
            buf_printf(reason, "error text \"%.80s\" is of no class", output.data);
        else if (class != RESULT_PLAIN && !span_is(member_value(received->members, "statusCode"), "500"))
            buf_text(reason, "an agent side error without statusCode 500");
    }
    buf_free(&output);
    return class;
}

result_class_t check_result(tasks_t *tasks, task_t *task, const received_t *received, buf_t *reason) {
    members_t sent;
    json_members(task_raw(tasks, task), &sent);
    check_echo(&sent, received->members, reason);
    members_free(&sent);
    if (!reason->len) check_frame(received, reason);
    buf_t class_reason = {0};
    result_class_t class = classify(received, &class_reason);
    if (!reason->len) buf_add(reason, class_reason.data, class_reason.len);
    buf_free(&class_reason);
    span_t expect = task_expect(task);
    if (!reason->len && expect.len && !expect_is_waived(expect, task, class))
        check_expect(expect, received->members, class, reason);
    if (!reason->len) check_outcome(tasks, task, received, class, reason);
    return class;
}
