#include "common/task_json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/form.h"
#include "common/json_walk.h"

typedef enum {
    IN_TASK_ID,
    IN_URL,
    IN_METHOD,
    IN_HEADERS,
    IN_INPUT,
    IN_EXPIRY,
    IN_CONFIG,
    IN_COUNT
} member_id_t;

/* Where the members stand that we read; of several with one name the last one, as the old agent does. */
typedef struct {
    struct {
        span_t raw;
        json_kind_t kind;
    } member[IN_COUNT];
} found_t;

typedef struct {
    task_t_json *task;
    size_t size;
    char *why;
} headers_t;

/* Keeps the first complaint. */
static int complain(char *why, const char *text) {
    if (!why[0]) (void)snprintf(why, JSON_WHY_MAX, "%s", text);
    return ERR_MALFORMED;
}

static int visit_member(void *ctx, const json_member_t *member) {
    static const char *const names[IN_COUNT] = {"taskId", "url",        "method",      "requestHeaders",
                                                "input",  "expiryTsMs", "globalConfig"};
    found_t *found = ctx;

    for (int i = 0; i < IN_COUNT; i++) {
        if (json_named(member, names[i])) {
            found->member[i].raw = member->value;
            found->member[i].kind = member->kind;
            break;
        }
    }
    return 0;
}

/* A text that has to be there. One with a NUL cannot be a C string and is refused. */
static int read_text(const found_t *found, member_id_t id, const char *name, char **text, char *why) {
    char complaint[80], *value;
    size_t len;
    int err;

    if (!found->member[id].raw.ptr || found->member[id].kind != JSON_STRING) {
        (void)snprintf(complaint, sizeof complaint, "the task has no %s, or it is no string", name);
        return complain(why, complaint);
    }
    err = json_string(found->member[id].raw, &value, &len, NULL);
    if (err) return err;
    if (len == 0 || memchr(value, '\0', len)) {
        free(value);
        (void)snprintf(complaint, sizeof complaint, "the task's %s is empty or holds a NUL character", name);
        return complain(why, complaint);
    }
    *text = value;
    return 0;
}

static bool is_idempotent(const char *method) {
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};

    for (size_t i = 0; i < sizeof safe / sizeof *safe; i++) {
        if (strcmp(method, safe[i]) == 0) return true;
    }
    return false;
}

static int read_method(const found_t *found, task_t_json *task, char *why) {
    int err = read_text(found, IN_METHOD, "method", &task->method, why);

    if (err) return err;
    for (char *c = task->method; *c; c++) {
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
    }
    task->idempotent = is_idempotent(task->method);
    return 0;
}

static int visit_header(void *ctx, const json_member_t *member) {
    headers_t *self = ctx;
    task_t_json *task = self->task;
    pair_t *pair;
    int err;

    if (member->kind != JSON_STRING && member->kind != JSON_NULL)
        return complain(self->why, "a value in requestHeaders is no string");
    if (task->header_count == self->size) {
        size_t size = self->size ? self->size * 2 : 8;
        pair_t *grown = realloc(task->headers, size * sizeof *grown);
        if (!grown) return ERR_NOMEM;
        task->headers = grown;
        self->size = size;
    }
    pair = &task->headers[task->header_count];
    *pair = (pair_t){0};
    err = json_string(member->key, &pair->name, &pair->name_len, NULL);
    if (err) return err;
    if (member->kind == JSON_STRING) err = json_string(member->value, &pair->value, &pair->value_len, NULL);
    if (err) {
        free(pair->name);
        return err;
    }
    task->header_count++;
    return 0;
}

static int read_headers(const found_t *found, task_t_json *task, char *why) {
    headers_t headers = {.task = task, .why = why};
    span_t raw = found->member[IN_HEADERS].raw;

    if (!raw.ptr || found->member[IN_HEADERS].kind == JSON_NULL) return 0;
    if (found->member[IN_HEADERS].kind != JSON_OBJECT)
        return complain(why, "requestHeaders is no object of strings");
    return json_members(raw, visit_header, &headers);
}

static int read_form(task_t_json *task, span_t raw, char *why) {
    text_t form = {0};
    char complaint[JSON_WHY_MAX];
    size_t members = 0;
    int err = form_encode(raw, &form, &members, complaint);

    if (err || members == 0) {
        text_clear(&form);
        return err == ERR_MALFORMED ? complain(why, complaint) : err;
    }
    task->input = INPUT_FORM;
    task->body = form.ptr;
    task->body_bytes = form.len;
    return 0;
}

static int read_input(const found_t *found, task_t_json *task, char *why) {
    span_t raw = found->member[IN_INPUT].raw;
    bool lone;
    int err;

    if (!raw.ptr || found->member[IN_INPUT].kind == JSON_NULL) return 0;
    if (found->member[IN_INPUT].kind == JSON_OBJECT) return read_form(task, raw, why);
    if (found->member[IN_INPUT].kind != JSON_STRING) {
        task->input = INPUT_OTHER;
        return 0;
    }
    err = json_string(raw, &task->body, &task->body_bytes, &lone);
    if (err) return err;
    if (lone) {
        free(task->body);
        task->body = NULL;
        task->body_bytes = 0;
        return complain(why, "input holds half of a surrogate pair, which UTF-8 cannot carry");
    }
    if (task->body_bytes > 0) {
        task->input = INPUT_STRING;
        return 0;
    }
    free(task->body);
    task->body = NULL;
    return 0;
}

/* Digits to a whole number, held within 64 bits. */
static int64_t clamped(const char *digits, size_t len, bool negative) {
    int64_t value = 0;

    for (size_t i = 0; i < len; i++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digits[i] - '0', &value))
            return negative ? INT64_MIN : INT64_MAX;
    }
    return negative ? -value : value;
}

/* An integer as it is; anything else truncated; out of range the nearest. */
static int read_expiry(const found_t *found, task_t_json *task, char *why) {
    span_t raw = found->member[IN_EXPIRY].raw;
    char text[64];
    bool negative;
    double value;
    size_t digits;

    if (!raw.ptr || found->member[IN_EXPIRY].kind == JSON_NULL) return 0;
    if (found->member[IN_EXPIRY].kind != JSON_NUMBER) return complain(why, "expiryTsMs is no number");
    task->has_expiry = true;
    negative = raw.ptr[0] == '-';
    for (digits = negative ? 1 : 0; digits < raw.len && isdigit((unsigned char)raw.ptr[digits]); digits++)
        ;
    if (digits == raw.len) {
        task->expiry_ms = clamped(raw.ptr + negative, raw.len - negative, negative);
        return 0;
    }
    if (raw.len >= sizeof text) {
        task->has_expiry = false;
        return complain(why, "expiryTsMs is no time in milliseconds");
    }
    memcpy(text, raw.ptr, raw.len);
    text[raw.len] = '\0';
    value = strtod(text, NULL);
    if (value >= 9.2e18)
        task->expiry_ms = INT64_MAX;
    else if (value <= -9.2e18)
        task->expiry_ms = INT64_MIN;
    else
        task->expiry_ms = (int64_t)value;
    return 0;
}

typedef int (*read_fn)(const found_t *found, task_t_json *task, char *why);

static int read_task_id(const found_t *found, task_t_json *task, char *why) {
    span_t raw = found->member[IN_TASK_ID].raw;
    json_kind_t kind = found->member[IN_TASK_ID].kind;
    bool is_empty = kind == JSON_STRING && raw.len == strlen("\"\"");
    int err;

    if (raw.ptr && kind == JSON_NUMBER) {
        task->task_id = strndup(raw.ptr, raw.len);
        return task->task_id ? 0 : ERR_NOMEM;
    }
    err = read_text(found, IN_TASK_ID, "taskId", &task->task_id, why);
    if (err && raw.ptr && kind != JSON_NULL && !is_empty) task->odd_id = raw;
    return err;
}

static int read_url(const found_t *found, task_t_json *task, char *why) {
    return read_text(found, IN_URL, "url", &task->url, why);
}

// NOLINTNEXTLINE(readability-non-const-parameter): one of the readers
static int read_config(const found_t *found, task_t_json *task, char *why) {
    json_kind_t kind = found->member[IN_CONFIG].kind;

    (void)why;
    if (!found->member[IN_CONFIG].raw.ptr || kind == JSON_NULL) return 0;
    if (kind == JSON_OBJECT)
        task->global_config = found->member[IN_CONFIG].raw;
    else
        task->bad_config = true;
    return 0;
}

static bool is_logs_task(const task_t_json *task) {
    return task->task_id && task->url && strstr(task->url, "agent/fetch-logs") &&
           strstr(task->task_id, "fetchLogs");
}

/* The task's members, where they stand; `result` is that of the search for them. What is wrong with those
 * that only a request needs does not matter to a logs task. */
static int read_members(const found_t *found, int result, task_t_json *task, char *why) {
    static const read_fn readers[] = {read_task_id, read_url,    read_method, read_headers,
                                      read_input,   read_expiry, read_config};

    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        char ignored[JSON_WHY_MAX] = "";
        int err = readers[i](found, task, task->logs ? ignored : why);
        if (err == ERR_NOMEM) {
            (void)snprintf(why, JSON_WHY_MAX, "%s", err_str(err));
            return err;
        }
        if (err && !result && !task->logs) result = err;
        if (readers[i] == read_method) task->logs = is_logs_task(task);
    }
    return result;
}

int task_json_read(const char *json, size_t size, task_t_json *task, char why[256]) {
    found_t found = {0};
    char complaint[JSON_WHY_MAX];
    int result;

    *task = (task_t_json){0};
    why[0] = '\0';
    result = json_walk(json, size, JSON_OBJECT, visit_member, &found, &task->raw, complaint);
    if (result) (void)complain(why, complaint);
    return read_members(&found, result, task, why);
}

int task_json_read_known(span_t json, task_t_json *task, char why[256]) {
    found_t found = {0};
    int result;

    *task = (task_t_json){.raw = json};
    why[0] = '\0';
    result = json_members(json, visit_member, &found);
    if (result) (void)complain(why, err_str(result));
    return read_members(&found, result, task, why);
}

void task_json_clear(task_t_json *task) {
    free(task->task_id);
    free(task->url);
    free(task->method);
    free(task->body);
    for (size_t i = 0; i < task->header_count; i++) {
        free(task->headers[i].name);
        free(task->headers[i].value);
    }
    free(task->headers);
    *task = (task_t_json){0};
}

typedef struct {
    span_t raw;
    json_kind_t kind;
} data_t;

static int visit_answer(void *ctx, const json_member_t *member) {
    data_t *data = ctx;

    if (json_named(member, "data")) {
        data->raw = member->value;
        data->kind = member->kind;
    }
    return 0;
}

int task_json_answer(const char *body, size_t size, span_t *task, char why[256]) {
    static const char bom[] = {'\xef', '\xbb', '\xbf'};
    data_t data = {0};
    int err;

    if (size >= sizeof bom && memcmp(body, bom, sizeof bom) == 0) {
        body += sizeof bom;
        size -= sizeof bom;
    }
    err = json_walk(body, size, JSON_OBJECT, visit_answer, &data, NULL, why);
    if (err) return err;
    if (data.raw.ptr && data.kind != JSON_NULL && data.kind != JSON_OBJECT) {
        (void)snprintf(why, JSON_WHY_MAX, "data is neither an object nor null");
        return ERR_MALFORMED;
    }
    *task = data.kind == JSON_OBJECT ? data.raw : (span_t){0};
    return 0;
}
