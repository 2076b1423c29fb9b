#include "common/json_walk.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "common/err.h"
#include "common/utf8.h"

typedef struct {
    yajl_handle parser;
    const char *json;
    size_t size;
    size_t valid; /* octets that are UTF-8, of `size` */
    json_kind_t root;
    json_visit_fn visit;
    void *ctx;
    size_t depth;
    size_t mark;       /* the end of the last token of the walked level */
    size_t start, end; /* of the whole value; end is 0 until it is closed */
    bool other_root;
    json_member_t member;
    char *name; /* a copy of the name: the parser's own does not outlive a nested value */
    size_t name_size;
    int result;
} walk_t;

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Where the next token starts after `at`. */
static size_t next_token(const walk_t *self, size_t at) {
    while (at < self->size && (is_space(self->json[at]) || self->json[at] == ',' || self->json[at] == ':'))
        at++;
    return at;
}

static span_t span_between(const walk_t *self, size_t start, size_t end) {
    return (span_t){.ptr = self->json + start, .len = end > start ? end - start : 0};
}

static int emit(walk_t *self, json_kind_t kind, size_t start) {
    size_t end = yajl_get_bytes_consumed(self->parser);

    self->member.kind = kind;
    self->member.value = span_between(self, start, end);
    self->mark = end;
    self->result = self->visit ? self->visit(self->ctx, &self->member) : 0;
    return self->result == 0;
}

static int on_scalar(walk_t *self, json_kind_t kind) {
    if (self->depth > 1) return 1;
    if (self->depth == 0) {
        self->other_root = true;
        return 0;
    }
    return emit(self, kind, next_token(self, self->mark));
}

static int on_null(void *ctx) {
    return on_scalar(ctx, JSON_NULL);
}

static int on_bool(void *ctx, int value) {
    (void)value;
    return on_scalar(ctx, JSON_BOOL);
}

static int on_number(void *ctx, const char *text, size_t len) {
    (void)text;
    (void)len;
    return on_scalar(ctx, JSON_NUMBER);
}

static int on_string(void *ctx, const unsigned char *text, size_t len) {
    (void)text;
    (void)len;
    return on_scalar(ctx, JSON_STRING);
}

static int keep_name(walk_t *self, const unsigned char *name, size_t len) {
    if (len + 1 > self->name_size) {
        char *grown = realloc(self->name, len + 64);
        if (!grown) {
            self->result = ERR_NOMEM;
            return 0;
        }
        self->name = grown;
        self->name_size = len + 64;
    }
    if (len > 0) memcpy(self->name, name, len);
    self->member.name = self->name;
    self->member.name_len = len;
    return 1;
}

static int on_key(void *ctx, const unsigned char *name, size_t len) {
    walk_t *self = ctx;
    size_t end;

    if (self->depth != 1) return 1;
    end = yajl_get_bytes_consumed(self->parser);
    self->member.key = span_between(self, next_token(self, self->mark), end);
    self->mark = end;
    return keep_name(self, name, len);
}

static int on_open(walk_t *self, json_kind_t kind) {
    size_t at = yajl_get_bytes_consumed(self->parser);

    if (self->depth == 0) {
        if (kind != self->root) {
            self->other_root = true;
            return 0;
        }
        self->start = at - 1;
        self->mark = at;
    } else if (self->depth == 1) {
        self->mark = at - 1; /* the nested value starts here */
    }
    self->depth++;
    return 1;
}

static int on_close(walk_t *self, json_kind_t kind) {
    self->depth--;
    if (self->depth == 0)
        self->end = yajl_get_bytes_consumed(self->parser);
    else if (self->depth == 1)
        return emit(self, kind, self->mark);
    return 1;
}

static int on_open_map(void *ctx) {
    return on_open(ctx, JSON_OBJECT);
}

static int on_close_map(void *ctx) {
    return on_close(ctx, JSON_OBJECT);
}

static int on_open_array(void *ctx) {
    return on_open(ctx, JSON_ARRAY);
}

static int on_close_array(void *ctx) {
    return on_close(ctx, JSON_ARRAY);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_open_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_close_map,
    .yajl_start_array = on_open_array,
    .yajl_end_array = on_close_array,
};

/* The parser's own words, without any of the text. */
static void explain(const walk_t *self, char why[JSON_WHY_MAX]) {
    unsigned char *text = yajl_get_error(self->parser, 0, (const unsigned char *)self->json, self->size);
    size_t at = yajl_get_bytes_consumed(self->parser);

    if (text) {
        size_t len = strcspn((const char *)text, "\n");
        (void)snprintf(why, JSON_WHY_MAX, "%.*s at octet %zu", (int)(len > 150 ? 150 : len),
                       (const char *)text, at);
        yajl_free_error(self->parser, text);
    } else {
        (void)snprintf(why, JSON_WHY_MAX, "no JSON at octet %zu", at);
    }
}

static int finish(walk_t *self, yajl_status status, span_t *value, char why[JSON_WHY_MAX]) {
    if (self->result != 0) {
        if (self->result == ERR_NOMEM) (void)snprintf(why, JSON_WHY_MAX, "%s", err_str(ERR_NOMEM));
        return self->result;
    }
    if (self->other_root) {
        (void)snprintf(why, JSON_WHY_MAX, "not a JSON %s", self->root == JSON_OBJECT ? "object" : "array");
        return ERR_MALFORMED;
    }
    if (status == yajl_status_ok && self->valid < self->size) {
        (void)snprintf(why, JSON_WHY_MAX, "invalid UTF-8 at octet %zu", self->valid);
        return ERR_MALFORMED;
    }
    if (status == yajl_status_ok && self->end == 0) {
        (void)snprintf(why, JSON_WHY_MAX, "the JSON ends too early, at octet %zu", self->size);
        return ERR_MALFORMED;
    }
    if (status != yajl_status_ok) {
        explain(self, why);
        return ERR_MALFORMED;
    }
    if (value) *value = span_between(self, self->start, self->end);
    return 0;
}

int json_walk(const char *json, size_t size, json_kind_t root, json_visit_fn visit, void *ctx, span_t *value,
              char why[JSON_WHY_MAX]) {
    walk_t self = {.json = json, .size = size, .root = root, .visit = visit, .ctx = ctx};
    int result;

    why[0] = '\0';
    if (size == 0) {
        (void)snprintf(why, JSON_WHY_MAX, "empty, not a JSON %s", root == JSON_OBJECT ? "object" : "array");
        return ERR_MALFORMED;
    }
    if (memchr(json, '\v', size) || memchr(json, '\f', size)) { /* the parser takes them for white space */
        (void)snprintf(why, JSON_WHY_MAX, "a control character that no JSON may hold");
        return ERR_MALFORMED;
    }
    self.valid = utf8_valid(json, size);
    self.parser = yajl_alloc(&callbacks, NULL, &self);
    if (!self.parser) {
        (void)snprintf(why, JSON_WHY_MAX, "%s", err_str(ERR_NOMEM));
        return ERR_NOMEM;
    }
    (void)yajl_config(self.parser, yajl_dont_validate_strings,
                      1); /* it would take overlong forms and surrogates */
    result = finish(&self, yajl_parse(self.parser, (const unsigned char *)json, self.valid), value, why);
    yajl_free(self.parser);
    free(self.name);
    return result;
}

bool json_named(const json_member_t *member, const char *name) {
    return member->name_len == strlen(name) && memcmp(member->name, name, member->name_len) == 0;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The four digits at `at`, or -1. */
static int32_t hex4(const char *at, const char *end) {
    int32_t value = 0;

    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* Decodes \uXXXX (`at` is behind the u), with the second half of a pair; NULL when there are no four digits.
 */
static const char *unicode_escape(const char *at, const char *end, char **out, bool *lone) {
    int32_t first = hex4(at, end);
    uint32_t c;

    if (first < 0) return NULL;
    at += 4;
    c = (uint32_t)first;
    if (c >= 0xd800 && c < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        int32_t second = hex4(at + 2, end);
        if (second >= 0xdc00 && second < 0xe000) {
            c = 0x10000 + ((c & 0x3ff) << 10) + ((uint32_t)second & 0x3ff);
            at += 6;
        }
    }
    if (c >= 0xd800 && c < 0xe000) *lone = true;
    *out = put_utf8(*out, c);
    return at;
}

/* Decodes the escape behind a backslash; NULL when it is none. */
static const char *escape(const char *at, const char *end, char **out, bool *lone) {
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (at == end) return NULL;
    if (*at == 'u') return unicode_escape(at + 1, end, out, lone);
    found = *at ? strchr(from, *at) : NULL;
    if (!found) return NULL;
    *(*out)++ = to[found - from];
    return at + 1;
}

int json_string(span_t raw, char **text, size_t *len, bool *lone) {
    const char *at, *end;
    char *result, *out;
    bool surrogate = false;

    if (!raw.ptr || raw.len < 2 || raw.ptr[0] != '"' || raw.ptr[raw.len - 1] != '"') return ERR_MALFORMED;
    at = raw.ptr + 1;
    end = raw.ptr + raw.len - 1;
    result = out = malloc(raw.len);
    if (!result) return ERR_NOMEM;
    while (at && at < end) {
        const char *next = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((next ? next : end) - at);
        memcpy(out, at, plain);
        out += plain;
        at = next ? escape(next + 1, end, &out, &surrogate) : end;
    }
    if (!at) {
        free(result);
        return ERR_MALFORMED;
    }
    *out = '\0';
    *text = result;
    *len = (size_t)(out - result);
    if (lone) *lone = surrogate;
    return 0;
}
