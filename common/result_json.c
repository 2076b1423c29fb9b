#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"
#include "common/json_walk.h"
#include "common/task_json.h"

typedef struct {
    const result_parts_t *parts;
    text_t *out;
} writer_t;

/* Without a status the result adds to what stands there already (a logs task, or a result that gets its
 * s3Url). */
static bool has_status(const result_parts_t *parts) {
    return parts->error || parts->status_code != 0;
}

static bool has_headers(const result_parts_t *parts) {
    return parts->headers || (has_status(parts) && !parts->error);
}

/* Whether the result sets the member, so that the task's own of that name gives way. */
static bool is_replaced(const result_parts_t *parts, const json_member_t *member) {
    return json_named(member, "version") || (has_status(parts) && json_named(member, "statusCode")) ||
           (has_headers(parts) && json_named(member, "responseHeaders")) ||
           ((parts->body || parts->error) && json_named(member, "output")) ||
           (parts->body && json_named(member, "responseBase64")) ||
           (parts->zipped && json_named(member, "responseZipped")) ||
           (parts->s3_url && json_named(member, "s3Url"));
}

static int copy_member(void *ctx, const json_member_t *member) {
    writer_t *self = ctx;

    if (is_replaced(self->parts, member)) return 0;
    text_add(self->out, member->key.ptr, (size_t)(member->value.ptr + member->value.len - member->key.ptr));
    text_add(self->out, ",", 1);
    return self->out->failed ? ERR_NOMEM : 0;
}

static bool same_name(const pair_t *a, const pair_t *b) {
    return a->name_len == b->name_len && strncasecmp(a->name, b->name, a->name_len) == 0;
}

/* The header's value, and those of the later ones of the same name. */
static int add_joined(text_t *out, const result_parts_t *parts, size_t first, bool *done) {
    text_t value = {0};

    for (size_t i = first; i < parts->header_count; i++) {
        if (done[i] || !same_name(&parts->headers[i], &parts->headers[first])) continue;
        if (i > first) text_add(&value, ", ", 2);
        text_add(&value, parts->headers[i].value, parts->headers[i].value_len);
        done[i] = true;
    }
    text_add_json(out, value.ptr, value.len);
    if (value.failed) out->failed = true;
    text_clear(&value);
    return out->failed ? ERR_NOMEM : 0;
}

static int add_headers(text_t *out, const result_parts_t *parts) {
    bool *done = calloc(parts->header_count + 1, sizeof *done);
    int err = done ? 0 : ERR_NOMEM;

    text_add_str(out, ",\"responseHeaders\":{");
    for (size_t i = 0, written = 0; !err && i < parts->header_count; i++) {
        if (done[i]) continue;
        if (written++ > 0) text_add(out, ",", 1);
        text_add_json(out, parts->headers[i].name, parts->headers[i].name_len);
        text_add(out, ":", 1);
        err = add_joined(out, parts, i, done);
    }
    text_add(out, "}", 1);
    free(done);
    return err;
}

static int add_parts(text_t *out, const result_parts_t *parts) {
    char status[64];
    int err = 0;

    text_add_str(out, "\"version\":\"" SLUICE_VERSION "\"");
    if (has_status(parts)) {
        (void)snprintf(status, sizeof status, ",\"statusCode\":%d", parts->error ? 500 : parts->status_code);
        text_add_str(out, status);
    }
    if (has_headers(parts)) err = add_headers(out, parts);
    if (parts->error) {
        text_add_str(out, ",\"output\":");
        text_add_json(out, parts->error, strlen(parts->error));
    } else if (parts->body) {
        text_add_str(out, ",\"responseBase64\":true,\"output\":\"");
        text_add_base64(out, parts->body, parts->body_bytes);
        text_add(out, "\"", 1);
    }
    if (parts->zipped) text_add_str(out, ",\"responseZipped\":true");
    if (parts->s3_url) {
        text_add_str(out, ",\"s3Url\":");
        text_add_json(out, parts->s3_url, strlen(parts->s3_url));
    }
    text_add(out, "}", 1);
    return err;
}

/* Of a task that is `known` to be JSON, or not yet. */
static int write_result(span_t task, bool known, const result_parts_t *parts, text_t *out) {
    size_t before = out->len;
    writer_t writer = {.parts = parts, .out = out};
    char why[JSON_WHY_MAX];
    int err;

    text_add(out, "{", 1);
    err = known ? json_members(task, copy_member, &writer)
                : json_walk(task.ptr, task.len, JSON_OBJECT, copy_member, &writer, NULL, why);
    if (!err) err = add_parts(out, parts);
    if (!err && out->failed) err = ERR_NOMEM;
    if (err && out->ptr && out->len >= before) {
        out->len = before;
        out->ptr[before] = '\0';
    }
    return err;
}

int result_json_write(const char *task, size_t task_bytes, const result_parts_t *parts, text_t *out) {
    return write_result((span_t){task, task_bytes}, false, parts, out);
}

int result_json_write_known(span_t task, const result_parts_t *parts, text_t *out) {
    return write_result(task, true, parts, out);
}
