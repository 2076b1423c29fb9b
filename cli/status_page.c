#include "cli/status_page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 1100

static const char *const codes[] = {"", "\033[1m", "\033[32m", "\033[33m", "\033[1;31m", "\033[2m"};

/* U+061C, U+200E and F, U+202A to E, U+2066 to 9: what follows would show in another order than it has. */
static bool turns_text(const unsigned char c[static 3]) {
    if (c[0] == 0xd8) return c[1] == 0x9c;
    if (c[0] != 0xe2) return false;
    return (c[1] == 0x80 && (c[2] == 0x8e || c[2] == 0x8f || (c[2] >= 0xaa && c[2] <= 0xae))) ||
           (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9);
}

/* Octets of the character at `s`, 0 when it is no valid UTF-8 or one that a terminal would obey. */
static size_t character(const char *s) {
    const unsigned char *c = (const unsigned char *)s;
    size_t len = c[0] < 0x80 ? 1 : c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
    if (c[0] < 0x20 || c[0] == 0x7f || (c[0] >= 0x80 && (c[0] < 0xc2 || c[0] > 0xf4))) return 0;
    for (size_t i = 1; i < len; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    bool wrong = (c[0] == 0xc2 && c[1] < 0xa0) ||                                  /* C1 controls */
                 (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90) || /* written too long */
                 (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf4 && c[1] > 0x8f); /* surrogates, and beyond */
    return wrong || turns_text(c) ? 0 : len;
}

void page_clean(char *text) {
    for (char *c = text; *c != '\0';) {
        size_t len = character(c);
        if (len == 0) *c = '?';
        c += len ? len : 1;
    }
}

/* Columns that a text of valid characters takes, one each. */
static unsigned columns_of(const char *text) {
    unsigned columns = 0;
    for (const char *c = text; *c != '\0'; c++)
        columns += ((unsigned char)*c & 0xc0) != 0x80;
    return columns;
}

/* Copies at most `columns` characters, what is harmful as '?', cut with dots. */
static void clean(const char *text, unsigned columns, char buf[TEXT_MAX]) {
    size_t out = 0, cut = 0;
    unsigned used = 0;
    if (columns < 4) columns = 4;
    for (const char *c = text; *c != '\0' && used <= columns && out < TEXT_MAX - 8; used++) {
        size_t len = character(c);
        if (used == columns - 3) cut = out;
        if (len == 0) {
            buf[out++] = '?';
            c++;
            continue;
        }
        memcpy(buf + out, c, len);
        out += len;
        c += len;
    }
    if (used > columns) {
        memcpy(buf + cut, "...", 3);
        out = cut + 3;
    }
    buf[out] = '\0';
}

static void put(page_t *self, style_t style, const char *text) {
    if (self->colour && style != STYLE_PLAIN)
        (void)fprintf(self->out, "%s%s\033[0m", codes[style], text);
    else
        (void)fputs(text, self->out);
    self->used += columns_of(text);
}

page_t page_of_stdout(void) {
    struct winsize size;
    bool terminal = isatty(STDOUT_FILENO) == 1;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40;
    return (page_t){.out = stdout,
                    .whole = !terminal,
                    .colour = terminal && getenv("NO_COLOR") == NULL,
                    .width = known && size.ws_col < 200 ? size.ws_col
                             : known                    ? 200
                                                        : 80};
}

void page_fill(page_t *self, unsigned column) {
    while (self->used < column)
        put(self, STYLE_PLAIN, " ");
}

void page_label(page_t *self, const char *label) {
    self->used = 0;
    if (label != NULL) put(self, STYLE_STRONG, label);
    page_fill(self, PAGE_INDENT);
}

void page_end(page_t *self) {
    (void)fputc('\n', self->out);
    self->used = 0;
}

void page_add(page_t *self, style_t style, const char *fmt, ...) {
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    put(self, style, text);
}

void page_add_text(page_t *self, style_t style, const char *text, unsigned columns) {
    char buf[TEXT_MAX];
    unsigned left = self->used < self->width ? self->width - self->used : 0;
    if (columns == 0 && self->whole) left = TEXT_MAX;
    clean(text, columns != 0 && columns < left ? columns : left, buf);
    put(self, style, buf);
}

void page_add_words(page_t *self, style_t style, const char *text) {
    page_add_words_at(self, style, text, PAGE_INDENT);
}

void page_add_words_at(page_t *self, style_t style, const char *text, unsigned indent) {
    char words[TEXT_MAX];
    clean(text, TEXT_MAX, words);
    for (char *word = words; *word != '\0';) {
        size_t len = strcspn(word, " ");
        char after = word[len];
        word[len] = '\0';
        if (self->used > indent && self->used + columns_of(word) > self->width) {
            page_end(self);
            page_fill(self, indent);
        }
        page_add_text(self, style, word, 0); /* cut where it is longer than a line */
        if (after == '\0') break;
        if (self->used < self->width) put(self, STYLE_PLAIN, " ");
        word += len + 1;
    }
}

void page_add_cell(page_t *self, style_t style, const char *text, unsigned columns) {
    unsigned end = self->used + columns;
    page_add_text(self, style, text, columns - 2);
    while (self->used < end)
        put(self, STYLE_PLAIN, " ");
}

void page_add_item(page_t *self, const char *name, const char *value) {
    char item[TEXT_MAX], text[TEXT_MAX];
    (void)snprintf(item, sizeof item, "%.60s %.120s", name, value);
    clean(item, self->width - PAGE_INDENT, text);
    if (self->used > PAGE_INDENT) {
        if (self->used + 3 + columns_of(text) > self->width) {
            page_end(self);
            page_label(self, NULL);
        } else {
            put(self, STYLE_PLAIN, "   ");
        }
    }
    put(self, STYLE_PLAIN, text);
}

const char *page_number(int64_t value, char buf[PAGE_SHORT_MAX]) {
    char digits[PAGE_SHORT_MAX];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    size_t out = 0;
    if (value < 0) buf[out++] = '-';
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) buf[out++] = ',';
        buf[out++] = digits[i];
    }
    buf[out] = '\0';
    return buf;
}

const char *page_duration(int64_t ms, char buf[PAGE_SHORT_MAX]) {
    int64_t s = ms / 1000;
    if (ms < 0)
        (void)snprintf(buf, PAGE_SHORT_MAX, "0 s");
    else if (ms < 10000)
        (void)snprintf(buf, PAGE_SHORT_MAX, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
    else if (s < 120)
        (void)snprintf(buf, PAGE_SHORT_MAX, "%" PRId64 " s", s);
    else if (s < 3600)
        (void)snprintf(buf, PAGE_SHORT_MAX, "%" PRId64 " min", s / 60);
    else if (s < 86400)
        (void)snprintf(buf, PAGE_SHORT_MAX, "%" PRId64 " h %" PRId64 " min", s / 3600, s % 3600 / 60);
    else
        (void)snprintf(buf, PAGE_SHORT_MAX, "%" PRId64 " d %" PRId64 " h", s / 86400, s % 86400 / 3600);
    return buf;
}

int64_t page_since(int64_t now_ms, int64_t then_ms) {
    int64_t ms;
    return __builtin_sub_overflow(now_ms, then_ms, &ms) ? 0 : ms;
}

const char *page_time(int64_t at_ms, int64_t now_ms, char buf[PAGE_SHORT_MAX]) {
    time_t at = (time_t)(at_ms / 1000), now = (time_t)(now_ms / 1000);
    struct tm then, today;
    if (localtime_r(&at, &then) == NULL || localtime_r(&now, &today) == NULL) {
        (void)snprintf(buf, PAGE_SHORT_MAX, "%" PRId64 " ms", at_ms);
        return buf;
    }
    bool same = then.tm_year == today.tm_year && then.tm_yday == today.tm_yday;
    if (strftime(buf, PAGE_SHORT_MAX, same ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &then) == 0) buf[0] = '\0';
    return buf;
}

const char *page_span(int64_t ms, char buf[PAGE_SHORT_MAX]) {
    if (ms < 0 || ms >= 1000) return page_duration(ms, buf);
    (void)snprintf(buf, PAGE_SHORT_MAX, "%" PRId64 " ms", ms);
    return buf;
}

const char *page_bytes(int64_t bytes, char buf[PAGE_SHORT_MAX]) {
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000) {
        (void)snprintf(buf, PAGE_SHORT_MAX, "%" PRId64 " B", bytes);
        return buf;
    }
    double value = (double)bytes / 1000;
    size_t unit = 0;
    while (value >= 999.95 && unit < 5) {
        value /= 1000;
        unit++;
    }
    (void)snprintf(buf, PAGE_SHORT_MAX, "%.1f %s", value, units[unit]);
    return buf;
}
