#include "executor/url_quote.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_unreserved(unsigned char c) {
    return (c < 0x80 && isalnum(c)) || (c && strchr("._-~", c));
}

static bool is_path_char(unsigned char c) {
    return is_unreserved(c) || (c && strchr("!$&'()*+,;=:@/", c));
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The octet that the escape at `at` stands for, or -1. */
static int escaped_octet(const char *at, const char *end) {
    int high, low;

    if (end - at < 3 || at[0] != '%') return -1;
    high = hex_value(at[1]);
    low = hex_value(at[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool escapes_are_whole(const char *text, size_t size) {
    const char *end = text + size;

    for (const char *at = text; at < end; at++) {
        if (*at != '%') continue;
        if (escaped_octet(at, end) < 0) return false;
        at += 2;
    }
    return true;
}

static void add_escape(text_t *out, unsigned char c) {
    static const char hex[] = "0123456789ABCDEF";

    text_add(out, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
}

static void add_quoted(text_t *out, const char *text, size_t size, const char *more) {
    const char *end = text + size;
    bool whole = escapes_are_whole(text, size);

    for (const char *at = text; at < end; at++) {
        unsigned char c = (unsigned char)*at;
        int octet = escaped_octet(at, end);
        if (octet >= 0 && whole) {
            if (is_unreserved((unsigned char)octet))
                text_add(out, (char[]){(char)octet}, 1);
            else
                add_escape(out, (unsigned char)octet);
            at += 2;
        } else if (octet >= 0) {
            char upper[5] = {'%', '2', '5', (char)toupper(at[1]), (char)toupper(at[2])};
            text_add(out, upper, 5);
            at += 2;
        } else if (is_path_char(c) || (c && strchr(more, c))) {
            text_add(out, at, 1);
        } else {
            add_escape(out, c);
        }
    }
}

/* Writes `path` without its dot segments into `buf`, which holds `size` + 2 octets; returns the length. */
static size_t remove_dots(const char *path, size_t size, char *buf) {
    const char *at = path, *end = path + size;
    size_t len = 0;
    bool slash = false; /* whether a "/" is due at the end */

    while (at < end) {
        const char *next = memchr(at + 1, '/', (size_t)(end - at - 1));
        const char *stop = next ? next : end;
        size_t segment = (size_t)(stop - at - 1);
        slash = false;
        if (segment == 1 && at[1] == '.') {
            slash = true;
        } else if (segment == 2 && at[1] == '.' && at[2] == '.') {
            while (len > 0 && buf[--len] != '/')
                ;
            slash = true;
        } else {
            memcpy(buf + len, at, segment + 1);
            len += segment + 1;
        }
        at = stop;
    }
    if (slash) buf[len++] = '/';
    return len;
}

void url_quote_path(text_t *out, const char *path, size_t size, bool resolve_dots) {
    char *buf;

    if (!resolve_dots || size == 0 || path[0] != '/' || !memchr(path, '.', size)) {
        add_quoted(out, path, size, "");
        return;
    }
    buf = malloc(size + 2);
    if (!buf) {
        out->failed = true;
        return;
    }
    add_quoted(out, buf, remove_dots(path, size, buf), "");
    free(buf);
}

void url_quote_query(text_t *out, const char *query, size_t size) {
    add_quoted(out, query, size, "?");
}

void url_quote_reference(text_t *out, const char *reference, size_t size) {
    const char *end = reference + size;
    bool whole = escapes_are_whole(reference, size);

    for (const char *at = reference; at < end; at++) {
        unsigned char c = (unsigned char)*at;
        int octet = whole ? escaped_octet(at, end) : -1;
        if (octet >= 0 && is_unreserved((unsigned char)octet)) {
            text_add(out, (char[]){(char)octet}, 1);
            at += 2;
        } else if (is_path_char(c) || (c && strchr("?#%[]", c))) {
            text_add(out, at, 1);
        } else {
            add_escape(out, c);
        }
    }
}

char *url_unquote(const char *text, size_t size) {
    const char *end = text + size;
    bool whole = escapes_are_whole(text, size);
    char *result = malloc(size + 1), *out = result;

    if (!result) return NULL;
    for (const char *at = text; at < end; at++) {
        int octet = whole ? escaped_octet(at, end) : -1;
        *out++ = octet >= 0 ? (char)octet : *at;
        if (octet >= 0) at += 2;
    }
    *out = '\0';
    return result;
}
