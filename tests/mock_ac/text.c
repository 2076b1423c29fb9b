#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "mem.h"

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

span_t span_of(const char *text) {
    return (span_t){text, text ? strlen(text) : 0};
}

span_t span_buf(const buf_t *buf) {
    return (span_t){buf->data ? buf->data : "", buf->len};
}

bool span_same(span_t a, span_t b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool span_is(span_t span, const char *text) {
    return span_same(span, span_of(text));
}

bool span_starts(span_t span, const char *prefix) {
    size_t len = strlen(prefix);
    return span.len >= len && memcmp(span.data, prefix, len) == 0;
}

bool span_contains(span_t span, const char *part) {
    return span.len && memmem(span.data, span.len, part, strlen(part)) != NULL;
}

static void buf_reserve(buf_t *buf, size_t more) {
    size_t need = buf->len + more + 1;
    if (need <= buf->cap) return;
    size_t cap = buf->cap ? buf->cap * 2 : 128;
    buf->cap = cap < need ? need : cap;
    buf->data = mem_resize(buf->data, buf->cap, 1);
}

void buf_add(buf_t *buf, const void *data, size_t len) {
    buf_reserve(buf, len);
    if (len) memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_text(buf_t *buf, const char *text) {
    buf_add(buf, text, strlen(text));
}

void buf_printf(buf_t *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len >= 0) buf_add(buf, text, (size_t)len);
    free(text);
}

void buf_base64(buf_t *buf, span_t data) {
    buf_reserve(buf, (data.len + 2) / 3 * 4);
    const unsigned char *in = (const unsigned char *)data.data;
    char *out = buf->data + buf->len;
    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        uint32_t bits = (uint32_t)in[i] << 16;
        bits |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        bits |= left > 2 ? in[i + 2] : 0;
        *out++ = BASE64[bits >> 18];
        *out++ = BASE64[(bits >> 12) & 63];
        *out++ = left > 1 ? BASE64[(bits >> 6) & 63] : '=';
        *out++ = left > 2 ? BASE64[bits & 63] : '=';
    }
    buf->len = (size_t)(out - buf->data);
    *out = '\0';
}

void buf_clear(buf_t *buf) {
    buf->len = 0;
}

void buf_free(buf_t *buf) {
    free(buf->data);
    *buf = (buf_t){0};
}

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(span_t text, buf_t *out) {
    if (text.len % 4) return false;
    buf_reserve(out, text.len / 4 * 3);
    char *to = out->data + out->len;
    for (size_t i = 0; i < text.len; i += 4) {
        const char *in = text.data + i;
        size_t pad = i + 4 < text.len || in[3] != '=' ? 0 : in[2] == '=' ? 2 : 1;
        int32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k >= 4 - pad ? 0 : base64_value(in[k]);
            if (value < 0) return false;
            bits = bits << 6 | value;
        }
        if ((pad == 1 && (bits & 0xff)) || (pad == 2 && (bits & 0xffff))) return false;
        *to++ = (char)(bits >> 16);
        *to++ = (char)(bits >> 8);
        *to++ = (char)bits;
        out->len += 3 - pad;
    }
    out->data[out->len] = '\0';
    return true;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void uri_decode(span_t text, buf_t *out) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        int high = c == '%' && i + 2 < text.len ? hex_value(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text.data[i + 2]) : -1;
        if (low >= 0) {
            c = (char)(high << 4 | low);
            i += 2;
        }
        buf_add(out, &c, 1);
    }
}

bool number_parse(const char *text, int64_t low, int64_t high, int64_t *out) {
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits = text[0] == '-' ? text[1] >= '0' && text[1] <= '9' : text[0] >= '0' && text[0] <= '9';
    if (!digits || errno || *end || value < low || value > high) return false;
    *out = value;
    return true;
}

bool range_parse(const char *text, int64_t high, range_t *out) {
    const char *dash = strchr(text, '-');
    range_t range = {0, 0};
    if (!dash) {
        if (!number_parse(text, 0, high, &range.low)) return false;
        range.high = range.low;
    } else {
        char *first = mem_copy(text, (size_t)(dash - text));
        bool good =
            number_parse(first, 0, high, &range.low) && number_parse(dash + 1, range.low, high, &range.high);
        free(first);
        if (!good) return false;
    }
    *out = range;
    return true;
}

bool bool_parse(const char *text, bool *out) {
    static const char *const YES[] = {"yes", "true", "t", "1"};
    static const char *const NO[] = {"no", "false", "f", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(text, YES[i]) == 0 || strcasecmp(text, NO[i]) == 0) {
            *out = strcasecmp(text, YES[i]) == 0;
            return true;
        }
    }
    return false;
}

int64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t mix64(uint64_t a, uint64_t b) {
    uint64_t z = a + (b + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t range_pick(range_t range, uint64_t random) {
    return range.low + (int64_t)(random % (uint64_t)(range.high - range.low + 1));
}
