#include "common/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daily_file.h"
#include "common/err.h"

/* A write of up to PIPE_BUF octets is never mixed with another process's in a pipe. */
#define LINE_MAX_BYTES PIPE_BUF
/* How long a line waits for a reader of stderr. */
#define STDERR_WAIT_MS 200

static struct {
    char program[32];
    log_level_t level;
    bool json;
    bool to_file, to_stderr;
    daily_file_t file;
    unsigned long dropped; /* lines that stderr did not take in time */
} settings = {.program = "sluice", .level = LOG_LEVEL_INFO, .to_stderr = true, .file = {.fd = -1}};

/* A line that is being built; what does not fit is left out. */
typedef struct {
    char bytes[LINE_MAX_BYTES];
    size_t len;
    size_t limit;
    bool full;
} line_t;

void log_init(const char *program, log_level_t level, bool json) {
    (void)snprintf(settings.program, sizeof settings.program, "%s", program);
    settings.level = level;
    settings.json = json;
}

int log_open(const char *path, int keep, bool also_stderr) {
    log_close();
    if (daily_file_open(&settings.file, path, keep, clock_wall_ms() / 1000) != 0) return ERR_IO;
    settings.to_file = true;
    settings.to_stderr = also_stderr;
    return 0;
}

void log_close(void) {
    daily_file_close(&settings.file);
    settings.to_file = false;
    settings.to_stderr = true;
}

void log_set_level(log_level_t level) {
    settings.level = level;
}

/* The length of the valid UTF-8 character at `at`, 0 when there is none. C1 controls count as invalid:
 * terminals obey them. */
static size_t utf8_len(const char *at, size_t left) {
    const unsigned char *s = (const unsigned char *)at;
    if (s[0] < 0x80) return 1;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > left) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (s[0] == 0xc2 && s[1] < 0xa0) return 0;
    if (s[0] == 0xe0 && s[1] < 0xa0) return 0;
    if (s[0] == 0xed && s[1] > 0x9f) return 0; /* surrogates */
    if (s[0] == 0xf0 && s[1] < 0x90) return 0;
    if (s[0] == 0xf4 && s[1] > 0x8f) return 0;
    return len;
}

/* Writes the character at `at` as it stands in a JSON string into `out` (at least 8 octets). Returns the
 * octets written and sets *used to those read. */
static size_t escape_one(const char *at, size_t left, char *out, size_t *used) {
    unsigned char c = (unsigned char)*at;
    size_t len = utf8_len(at, left);
    *used = len > 0 ? len : 1;
    if (len == 0) return (size_t)sprintf(out, "\xef\xbf\xbd"); /* U+FFFD */
    if (c == '"' || c == '\\') return (size_t)sprintf(out, "\\%c", c);
    if (c == '\n') return (size_t)sprintf(out, "\\n");
    if (c == '\t') return (size_t)sprintf(out, "\\t");
    if (c == '\r') return (size_t)sprintf(out, "\\r");
    if (c < 0x20 || c == 0x7f) return (size_t)sprintf(out, "\\u%04x", c);
    memcpy(out, at, len);
    return len;
}

/* Whether a text reads as a whole number that a JSON reader keeps exactly. */
static bool is_number(const char *text, size_t len) {
    size_t i = len > 0 && text[0] == '-' ? 1 : 0;
    if (i == len || len - i > 15 || (text[i] == '0' && len - i > 1)) return false;
    for (; i < len; i++)
        if (text[i] < '0' || text[i] > '9') return false;
    return true;
}

const char *log_quote(const char *text, char buf[LOG_QUOTED_MAX]) {
    size_t len = text != NULL ? strlen(text) : 0;
    bool plain = len > 0 && len < LOG_QUOTED_MAX && !is_number(text, len);
    for (size_t i = 0; plain && i < len; i++)
        plain = text[i] > ' ' && text[i] < 0x7f && text[i] != '"' && text[i] != '\\' && text[i] != '=';
    if (plain) return memcpy(buf, text, len + 1);

    size_t out = 0;
    buf[out++] = '"';
    for (size_t i = 0, used = 0; i < len; i += used) {
        char piece[8];
        size_t size = escape_one(text + i, len - i, piece, &used);
        if (out + size > LOG_QUOTED_MAX - 5) { /* room for the dots, the quote and the end */
            memcpy(buf + out, "...", 3);
            out += 3;
            break;
        }
        memcpy(buf + out, piece, size);
        out += size;
    }
    buf[out++] = '"';
    buf[out] = '\0';
    return buf;
}

/* Adds all of it or nothing. */
static void line_add(line_t *line, const char *bytes, size_t size) {
    if (line->full || size > line->limit - line->len) {
        line->full = true;
        return;
    }
    memcpy(line->bytes + line->len, bytes, size);
    line->len += size;
}

static void line_add_str(line_t *line, const char *text) {
    line_add(line, text, strlen(text));
}

/* The length of the escape at `at`, 0 when it is none that JSON knows. */
static size_t escape_len(const char *at, size_t left) {
    if (left < 2 || at[0] != '\\') return 0;
    if (at[1] == 'u') return left >= 6 && strspn(at + 2, "0123456789abcdefABCDEF") >= 4 ? 6 : 0;
    return strchr("\"\\/bfnrt", at[1]) != NULL ? 2 : 0;
}

/* The inside of a JSON string; `quoted` text has its escapes already. */
static void line_add_json(line_t *line, const char *text, size_t len, bool quoted) {
    for (size_t i = 0, used = 0; i < len; i += used) {
        char piece[8];
        size_t escape = quoted ? escape_len(text + i, len - i) : 0;
        if (escape > 0) {
            line_add(line, text + i, escape);
            used = escape;
        } else {
            size_t size = escape_one(text + i, len - i, piece, &used);
            line_add(line, piece, size);
        }
    }
}

/* The text form: as it is, but for octets that would break the line or reach the terminal. */
static void line_add_plain(line_t *line, const char *text) {
    for (size_t size; *text != '\0' && !line->full; text += size) {
        size = utf8_len(text, strnlen(text, 4));
        if (size != 0 && (unsigned char)*text >= 0x20 && *text != 0x7f) {
            line_add(line, text, size);
        } else {
            line_add(line, "?", 1);
            size = 1;
        }
    }
}

/* One pair of the JSON form. Returns where the next begins. A word without '=' becomes "note". */
static const char *line_add_pair(line_t *line, const char *at) {
    size_t start = line->len;
    size_t key = strcspn(at, "= ");
    const char *value = at[key] == '=' ? at + key + 1 : at;
    bool quoted = value[0] == '"';
    const char *end = value;
    if (quoted) {
        for (end++; *end != '\0' && *end != '"'; end++)
            if (*end == '\\' && end[1] != '\0') end++;
        value++;
    } else {
        end += strcspn(value, " ");
    }
    size_t len = (size_t)(end - value);

    line_add(line, ",\"", 2);
    if (at[key] == '=')
        line_add_json(line, at, key, false);
    else
        line_add_str(line, "note");
    line_add(line, "\":", 2);
    if (!quoted && is_number(value, len)) {
        line_add(line, value, len);
    } else {
        line_add(line, "\"", 1);
        line_add_json(line, value, len, quoted);
        line_add(line, "\"", 1);
    }
    if (line->full) line->len = start;
    if (quoted && *end == '"') end++;
    return end + strspn(end, " ");
}

static void format_json(line_t *line, const char *when, const char *level, const char *event,
                        const char *pairs) {
    line_add_str(line, "{\"time\":\"");
    line_add_str(line, when);
    line_add_str(line, "\",\"level\":\"");
    line_add_str(line, level);
    line_add_str(line, "\",\"program\":\"");
    line_add_json(line, settings.program, strlen(settings.program), false);
    line_add_str(line, "\",\"event\":\"");
    line_add_json(line, event, strnlen(event, 64), false);
    line_add_str(line, "\"");
    for (const char *at = pairs + strspn(pairs, " "); *at != '\0' && !line->full;)
        at = line_add_pair(line, at);
    line->limit = LINE_MAX_BYTES;
    bool cut = line->full;
    line->full = false;
    line_add_str(line, cut ? ",\"cut\":true}\n" : "}\n");
}

static void format_text(line_t *line, const char *when, const char *level, const char *event,
                        const char *pairs) {
    line_add_str(line, when);
    line_add_str(line, " ");
    line_add_str(line, level);
    line_add_str(line, " ");
    line_add_plain(line, settings.program);
    line_add_str(line, " event=");
    line_add_plain(line, event);
    if (pairs[0] != '\0') line_add_str(line, " ");
    line_add_plain(line, pairs);
    line->limit = LINE_MAX_BYTES;
    bool cut = line->full;
    line->full = false;
    line_add_str(line, cut ? "...\n" : "\n");
}

/* The time as "2026-01-02T03:04:05.678Z". */
static void format_time(char *buf, size_t size) {
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    size_t used = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(buf + used, size - used, ".%03uZ", (unsigned)(now_ms % 1000));
}

/* Whoever reads stderr may have stopped: a line is dropped rather than waited for, and the drop told later.
 */
static void write_stderr(const line_t *line) {
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&fd, 1, settings.dropped > 0 ? 0 : STDERR_WAIT_MS) == 0) {
        settings.dropped++;
        return;
    }
    ssize_t wrote;
    do
        wrote = write(STDERR_FILENO, line->bytes, line->len);
    while (wrote < 0 && errno == EINTR);
    if (settings.dropped == 0) return;
    unsigned long dropped = settings.dropped;
    settings.dropped = 0;
    log_warn("log_lines_dropped", "count=%lu why=\"nobody read stderr\"", dropped);
}

/* A line that the file does not take, on a full disk for one, goes to stderr. */
static void write_line(const line_t *line) {
    bool filed = settings.to_file &&
                 daily_file_write(&settings.file, line->bytes, line->len, clock_wall_ms() / 1000) == 0;
    if (filed && !settings.to_stderr) return;
    write_stderr(line);
}

void log_line(log_level_t level, const char *event, const char *fmt, ...) {
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if (level > settings.level) return;
    int saved = errno;
    char pairs[LINE_MAX_BYTES];
    pairs[0] = '\0';
    if (fmt != NULL) {
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(pairs, sizeof pairs, fmt, args);
        va_end(args);
    }
    char when[40];
    format_time(when, sizeof when);
    line_t line;
    line.len = 0;
    line.full = false;
    line.limit = LINE_MAX_BYTES - 16; /* room for the end */
    if (settings.json)
        format_json(&line, when, names[level], event, pairs);
    else
        format_text(&line, when, names[level], event, pairs);
    write_line(&line);
    errno = saved;
}
