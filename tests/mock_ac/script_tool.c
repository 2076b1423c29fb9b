#include "script_tool.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "mem.h"

#define BODY_BYTES_MAX (INT64_C(1) << 40)
#define DELAY_MAX_MS   86400000

void script_expand(span_t text, const char *tool_url, buf_t *out) {
    static const char MARK[] = "{tool}";
    const char *at = text.data;
    const char *end = text.data + text.len;
    while (at < end) {
        const char *mark = memmem(at, (size_t)(end - at), MARK, sizeof MARK - 1);
        buf_add(out, at, (size_t)((mark ? mark : end) - at));
        if (mark) buf_text(out, tool_url);
        at = mark ? mark + sizeof MARK - 1 : end;
    }
}

static bool read_number(span_t value, int64_t low, int64_t high, int64_t *out) {
    char *text = json_is_integer(value) ? mem_copy(value.data, value.len) : NULL;
    bool good = text && number_parse(text, low, high, out);
    free(text);
    return good;
}

static bool read_body(plan_t *plan, span_t value, bool base64) {
    buf_t text = {0};
    buf_t bytes = {0};
    bool good = json_string(value, &text) && (!base64 || base64_decode(span_buf(&text), &bytes));
    if (good) plan->body = body_literal(span_buf(base64 ? &bytes : &text));
    buf_free(&text);
    buf_free(&bytes);
    return good;
}

static bool read_header(plan_t *plan, span_t pair, const char *tool_url) {
    members_t parts;
    buf_t name = {0};
    buf_t value = {0};
    buf_t expanded = {0};
    bool good = json_elements(pair, &parts) && parts.count == 2 && json_string(parts.items[0].value, &name) &&
                json_string(parts.items[1].value, &value);
    if (good) {
        script_expand(span_buf(&value), tool_url, &expanded);
        plan_header(plan, span_buf(&name), span_buf(&expanded));
    }
    members_free(&parts);
    buf_free(&name);
    buf_free(&value);
    buf_free(&expanded);
    return good;
}

static bool read_headers(plan_t *plan, span_t value, const char *tool_url) {
    members_t pairs;
    bool good = json_elements(value, &pairs);
    for (size_t i = 0; good && i < pairs.count; i++)
        good = read_header(plan, pairs.items[i].value, tool_url);
    members_free(&pairs);
    return good;
}

static bool read_fault(plan_t *plan, span_t value) {
    char *text = json_scalar(value);
    bool good = text && fault_parse(text, &plan->fault);
    free(text);
    return good;
}

static bool read_flag(span_t value, bool *out) {
    *out = span_is(value, "true");
    return *out || span_is(value, "false");
}

static bool read_member(plan_t *plan, const member_t *member, const char *tool_url) {
    int64_t number = 0;
    span_t key = member->key;
    span_t value = member->value;
    if (span_is(key, "status")) {
        bool good = read_number(value, 200, 599, &number);
        plan->status = (int)number;
        return good;
    }
    if (span_is(key, "delayMs")) return read_number(value, 0, DELAY_MAX_MS, &plan->delay_ms);
    if (span_is(key, "body") || span_is(key, "bodyBase64"))
        return read_body(plan, value, span_is(key, "bodyBase64"));
    if (span_is(key, "bodyBytes")) {
        bool good = read_number(value, 0, BODY_BYTES_MAX, &number);
        plan->body = body_computed((uint64_t)number, (uint64_t)number);
        return good;
    }
    if (span_is(key, "headers")) return read_headers(plan, value, tool_url);
    if (span_is(key, "fault")) return read_fault(plan, value);
    if (span_is(key, "chunked")) return read_flag(value, &plan->chunked);
    if (span_is(key, "repeats")) return read_flag(value, &plan->repeats);
    return span_is(key, "path") || span_is(key, "taskId");
}

bool script_tool_read(span_t object, const char *tool_url, plan_t *plan, buf_t *error) {
    *plan = (plan_t){.known = true, .status = 200};
    members_t members;
    bool good = json_members(object, &members);
    if (!good) buf_text(error, "\"tool\" is no object");
    for (size_t i = 0; good && i < members.count; i++) {
        const member_t *member = &members.items[i];
        good = read_member(plan, member, tool_url);
        if (!good)
            buf_printf(error, "\"tool\" has an unknown or bad member \"%.*s\"", (int)member->key.len,
                       member->key.data);
    }
    members_free(&members);
    if (good)
        plan_decode(plan);
    else
        plan_free(plan);
    return good;
}
