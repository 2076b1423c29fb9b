/* The second and later looks at a JSON text that json_walk() has accepted: it is only taken apart. */
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/json_walk.h"

static bool is_gap(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',' || c == ':';
}

static const char *skip_gap(const char *at, const char *end) {
    while (at < end && is_gap(*at))
        at++;
    return at;
}

/* Behind the string that begins at `at`; NULL when it does not end. */
static const char *string_end(const char *at, const char *end) {
    for (at++; at < end; at++) {
        if (*at == '"') return at + 1;
        if (*at == '\\') at++;
    }
    return NULL;
}

/* Behind the object or array that begins at `at`. */
static const char *nested_end(const char *at, const char *end) {
    size_t depth = 0;
    while (at && at < end) {
        char c = *at;
        at = c == '"' ? string_end(at, end) : at + 1;
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && --depth == 0) return at;
    }
    return NULL;
}

static const char *scalar_end(const char *at, const char *end) {
    while (at < end && !is_gap(*at))
        at++;
    return at;
}

static const char *value_end(const char *at, const char *end, json_kind_t *kind) {
    switch (*at) {
    case '"':
        *kind = JSON_STRING;
        return string_end(at, end);
    case '{':
    case '[':
        *kind = *at == '{' ? JSON_OBJECT : JSON_ARRAY;
        return nested_end(at, end);
    default:
        *kind = *at == 'n' ? JSON_NULL : *at == 't' || *at == 'f' ? JSON_BOOL : JSON_NUMBER;
        return scalar_end(at, end);
    }
}

/* Visits with the decoded name: its own octets, unless an escape is among them. */
static int visit_named(json_member_t *member, json_visit_fn visit, void *ctx) {
    char *decoded = NULL;
    member->name = member->key.ptr + 1;
    member->name_len = member->key.len - 2;
    if (memchr(member->name, '\\', member->name_len)) {
        int err = json_string(member->key, &decoded, &member->name_len, NULL);
        if (err) return err;
        member->name = decoded;
    }
    int result = visit(ctx, member);
    free(decoded);
    return result;
}

/* `broken`: a last value without an end goes to the end of the text, and the first thing that is no member
 * ends it. */
static int take_apart(const char *at, const char *end, bool broken, json_visit_fn visit, void *ctx) {
    int err = 0;
    for (at = skip_gap(at, end); !err && at < end; at = skip_gap(at, end)) {
        json_member_t member = {.key = {.ptr = at}};
        at = *at == '"' ? string_end(at, end) : NULL;
        if (!at) return broken ? 0 : ERR_MALFORMED;
        member.key.len = (size_t)(at - member.key.ptr);
        member.value.ptr = skip_gap(at, end);
        at = member.value.ptr < end ? value_end(member.value.ptr, end, &member.kind) : NULL;
        if (!at && broken) at = end;
        if (!at) return ERR_MALFORMED;
        member.value.len = (size_t)(at - member.value.ptr);
        err = visit_named(&member, visit, ctx);
    }
    return err;
}

int json_members(span_t object, json_visit_fn visit, void *ctx) {
    if (object.len < 2 || object.ptr[0] != '{') return ERR_MALFORMED;
    return take_apart(object.ptr + 1, object.ptr + object.len - 1, false, visit, ctx);
}

int json_members_broken(span_t text, json_visit_fn visit, void *ctx) {
    const char *end = text.ptr + text.len, *at = skip_gap(text.ptr, end);
    if (at == end || *at != '{') return 0;
    while (is_gap(end[-1]))
        end--;
    if (end[-1] == '}') end--;
    return take_apart(at + 1, end, true, visit, ctx);
}
