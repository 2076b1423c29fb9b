#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/task_json.h"
#include "common/utf8.h"

/* Makes room for `more` octets and a terminator. */
static bool text_reserve(text_t *text, size_t more) {
    size_t need, size;
    char *grown;

    if (text->failed) return false;
    if (more > SIZE_MAX / 2 - text->len - 1) {
        text->failed = true;
        return false;
    }
    need = text->len + more + 1;
    if (need <= text->size) return true;
    size = text->size + text->size / 2;
    if (size < need) size = need < 64 ? 64 : need;
    grown = realloc(text->ptr, size);
    if (!grown) {
        text->failed = true;
        return false;
    }
    text->ptr = grown;
    text->size = size;
    return true;
}

void text_add(text_t *text, const char *bytes, size_t size) {
    if (!text_reserve(text, size)) return;
    if (size > 0) memcpy(text->ptr + text->len, bytes, size);
    text->len += size;
    text->ptr[text->len] = '\0';
}

void text_add_str(text_t *text, const char *str) {
    text_add(text, str, strlen(str));
}

static void add_escape(text_t *text, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    char code[7] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15], '\0'};
    const char *from = "\"\\\b\f\n\r\t", *to = "\"\\bfnrt";
    const char *found = c ? strchr(from, c) : NULL;

    if (found)
        text_add(text, (char[]){'\\', to[found - from]}, 2);
    else
        text_add(text, code, 6);
}

void text_add_json(text_t *text, const char *bytes, size_t size) {
    const unsigned char *at = (const unsigned char *)bytes;
    size_t done = 0, i = 0;

    text_add(text, "\"", 1);
    while (i < size) {
        size_t len = at[i] < 0x80 ? 1 : utf8_sequence(at + i, size - i);
        if (at[i] >= 0x20 && at[i] != '"' && at[i] != '\\' && len > 0) {
            i += len;
            continue;
        }
        text_add(text, bytes + done, i - done);
        if (len == 0)
            text_add_str(text, UTF8_REPLACEMENT);
        else
            add_escape(text, at[i]);
        done = ++i;
    }
    if (i > done) text_add(text, bytes + done, i - done);
    text_add(text, "\"", 1);
}

void text_add_utf8(text_t *text, const char *bytes, size_t size) {
    while (size > 0) {
        size_t valid = utf8_valid(bytes, size);
        text_add(text, bytes, valid);
        if (valid < size) text_add_str(text, UTF8_REPLACEMENT);
        if (valid < size) valid++;
        bytes += valid;
        size -= valid;
    }
}

void text_add_base64(text_t *text, const void *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes;
    size_t whole = size / 3 * 3;
    char *out;

    if (!text_reserve(text, (size / 3 + 1) * 4)) return;
    out = text->ptr + text->len;
    for (size_t i = 0; i < whole; i += 3, out += 4) {
        uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
        out[0] = digits[bits >> 18];
        out[1] = digits[bits >> 12 & 63];
        out[2] = digits[bits >> 6 & 63];
        out[3] = digits[bits & 63];
    }
    if (size > whole) {
        uint32_t bits = (uint32_t)in[whole] << 16 | (size - whole == 2 ? (uint32_t)in[whole + 1] << 8 : 0);
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = size - whole == 2 ? digits[bits >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = '\0';
    text->len = (size_t)(out - text->ptr);
}

void text_clear(text_t *text) {
    free(text->ptr);
    *text = (text_t){0};
}
