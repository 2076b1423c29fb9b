#include "check_expect.h"

#include <string.h>

static bool same_text(span_t a, span_t b) {
    buf_t a_text = {0};
    buf_t b_text = {0};
    bool same =
        json_string(a, &a_text) && json_string(b, &b_text) && span_same(span_buf(&a_text), span_buf(&b_text));
    buf_free(&a_text);
    buf_free(&b_text);
    return same;
}

static bool holds(span_t expected, span_t value);

static bool holds_members(span_t expected, span_t value) {
    members_t wanted = {0};
    members_t found = {0};
    bool good = json_members(expected, &wanted) && json_members(value, &found);
    for (size_t i = 0; good && i < wanted.count; i++)
        good = holds(wanted.items[i].value, member_find(&found, wanted.items[i].key));
    members_free(&wanted);
    members_free(&found);
    return good;
}

/* As deep as the script's own text, which is a tester's. NOLINTNEXTLINE(misc-no-recursion) */
static bool holds(span_t expected, span_t value) {
    if (json_is_object(expected)) return json_is_object(value) && holds_members(expected, value);
    if (json_is_string(expected)) return same_text(expected, value);
    return span_same(expected, value);
}

static bool all_absent(span_t list, const members_t *result) {
    members_t names;
    bool good = json_elements(list, &names);
    for (size_t i = 0; good && i < names.count; i++) {
        buf_t name = {0};
        json_string(names.items[i].value, &name);
        good = !member_find(result, span_buf(&name)).len;
        buf_free(&name);
    }
    members_free(&names);
    return good;
}

static bool class_is(span_t wanted, result_class_t class) {
    if (span_is(wanted, "\"network\"")) return class == RESULT_ERROR_NETWORK;
    if (span_is(wanted, "\"error\"")) return class == RESULT_ERROR_OTHER;
    if (span_is(wanted, "\"outcome unknown\"")) return class == RESULT_OUTCOME_UNKNOWN;
    return span_is(wanted, "true") ? class != RESULT_PLAIN : class == RESULT_PLAIN;
}

static bool output_fits(span_t key, span_t wanted, const members_t *result) {
    buf_t text = {0};
    buf_t output = {0};
    buf_t decoded = {0};
    bool good = json_string(wanted, &text) && json_string(member_value(result, "output"), &output);
    if (good && span_is(key, "outputText"))
        good = base64_decode(span_buf(&output), &decoded) && span_same(span_buf(&decoded), span_buf(&text));
    else if (good && span_is(key, "outputPrefix"))
        good = span_starts(span_buf(&output), text.data);
    else if (good)
        good = span_contains(span_buf(&output), text.data);
    buf_free(&text);
    buf_free(&output);
    buf_free(&decoded);
    return good;
}

void check_expect(span_t expect, const members_t *result, result_class_t class, buf_t *reason) {
    members_t wanted;
    if (!json_members(expect, &wanted)) buf_text(reason, "\"expect\" is no object");
    for (size_t i = 0; i < wanted.count && !reason->len; i++) {
        span_t key = wanted.items[i].key;
        span_t value = wanted.items[i].value;
        bool good = false;
        if (span_is(key, "unlessFault"))
            good = true;
        else if (span_is(key, "absent"))
            good = all_absent(value, result);
        else if (span_is(key, "error"))
            good = class_is(value, class);
        else if (span_is(key, "outputText") || span_is(key, "outputPrefix") || span_is(key, "outputContains"))
            good = output_fits(key, value, result);
        else
            good = holds(value, member_find(result, key));
        if (!good)
            buf_printf(reason, "expected \"%.*s\": %.*s", (int)key.len, key.data,
                       (int)(value.len > 120 ? 120 : value.len), value.data);
    }
    members_free(&wanted);
}

static bool has_member(span_t expect, const char *name) {
    members_t members;
    if (!expect.len) return false;
    json_members(expect, &members);
    bool found = member_value(&members, name).len > 0;
    members_free(&members);
    return found;
}

bool expect_covers_status(span_t expect) {
    return has_member(expect, "statusCode") || has_member(expect, "error");
}

bool expect_covers_body(span_t expect) {
    return has_member(expect, "output") || has_member(expect, "outputText") ||
           has_member(expect, "outputPrefix") || has_member(expect, "outputContains") ||
           has_member(expect, "absent") || has_member(expect, "error");
}

bool expect_covers_headers(span_t expect) {
    return has_member(expect, "responseHeaders") || has_member(expect, "error");
}

bool expect_is_waived(span_t expect, const task_t *task, result_class_t class) {
    members_t members;
    size_t faults = 0;
    if (!expect.len) return false;
    json_members(expect, &members);
    bool waives = span_is(member_value(&members, "unlessFault"), "true");
    members_free(&members);
    task_faults(task, &faults);
    return waives && (faults > 0 || class != RESULT_PLAIN);
}
