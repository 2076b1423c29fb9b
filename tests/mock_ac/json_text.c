#include "json_text.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "mem.h"

static bool json_parse(span_t text, const yajl_callbacks *callbacks, void *ctx) {
    yajl_handle parser = yajl_alloc(callbacks, NULL, ctx);
    const unsigned char *bytes = (const unsigned char *)text.data;
    bool good = yajl_parse(parser, bytes, text.len) == yajl_status_ok &&
                yajl_complete_parse(parser) == yajl_status_ok;
    yajl_free(parser);
    return good;
}

bool json_valid(span_t text) {
    return text.len && json_parse(text, NULL, NULL);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *skip_space(const char *at, const char *end) {
    while (at < end && is_space(*at))
        at++;
    return at;
}

/* Behind the string that starts at `at`. */
static const char *skip_string(const char *at, const char *end) {
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\') at++;
    return at < end ? at + 1 : end;
}

static const char *skip_value(const char *at, const char *end) {
    if (at < end && *at == '"') return skip_string(at, end);
    if (at == end || (*at != '{' && *at != '[')) {
        while (at < end && !is_space(*at) && *at != ',' && *at != '}' && *at != ']')
            at++;
        return at;
    }
    int depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        at++;
        if (depth == 0) break;
    }
    return at;
}

static void members_add(members_t *members, span_t key, span_t value) {
    if ((members->count & (members->count - 1)) == 0)
        members->items =
            mem_resize(members->items, members->count ? members->count * 2 : 1, sizeof(member_t));
    members->items[members->count++] = (member_t){key, value};
}

static bool split(span_t text, char open, members_t *out) {
    *out = (members_t){0};
    const char *end = text.data + text.len;
    const char *at = skip_space(text.data, end);
    if (at == end || *at != open) return false;
    at = skip_space(at + 1, end);
    while (at < end && *at != '}' && *at != ']') {
        span_t key = {"", 0};
        if (open == '{') {
            const char *after = skip_string(at, end);
            key = (span_t){at + 1, (size_t)(after - at) - 2};
            at = skip_space(after, end);
            at = skip_space(at + (at < end), end);
        }
        const char *after = skip_value(at, end);
        members_add(out, key, (span_t){at, (size_t)(after - at)});
        at = skip_space(after, end);
        if (at < end && *at == ',') at = skip_space(at + 1, end);
    }
    return true;
}

bool json_members(span_t text, members_t *out) {
    return split(text, '{', out);
}

bool json_elements(span_t text, members_t *out) {
    return split(text, '[', out);
}

void members_free(members_t *members) {
    free(members->items);
    *members = (members_t){0};
}

span_t member_find(const members_t *members, span_t key) {
    for (size_t i = 0; i < members->count; i++)
        if (span_same(members->items[i].key, key)) return members->items[i].value;
    return (span_t){"", 0};
}

span_t member_value(const members_t *members, const char *name) {
    return member_find(members, span_of(name));
}

static int on_string(void *ctx, const unsigned char *text, size_t len) {
    buf_add(ctx, text, len);
    return 1;
}

bool json_string(span_t value, buf_t *out) {
    if (!json_is_string(value)) return false;
    if (!memchr(value.data, '\\', value.len)) {
        buf_add(out, value.data + 1, value.len - 2);
        return true;
    }
    static const yajl_callbacks CALLBACKS = {.yajl_string = on_string};
    return json_parse(value, &CALLBACKS, out);
}

char *json_scalar(span_t value) {
    buf_t text = {0};
    if (json_is_string(value)) {
        buf_add(&text, "", 0);
        json_string(value, &text);
        return text.data;
    }
    if (!value.len || value.data[0] == '{' || value.data[0] == '[' || span_is(value, "null")) return NULL;
    return mem_copy(value.data, value.len);
}

bool json_is_string(span_t value) {
    return value.len >= 2 && value.data[0] == '"';
}

bool json_is_object(span_t value) {
    return value.len >= 2 && value.data[0] == '{';
}

bool json_is_integer(span_t value) {
    size_t at = value.len && value.data[0] == '-' ? 1 : 0;
    if (at == value.len) return false;
    for (; at < value.len; at++)
        if (value.data[at] < '0' || value.data[at] > '9') return false;
    return true;
}
