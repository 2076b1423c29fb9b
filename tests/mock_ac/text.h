/* Spans of borrowed bytes, growing buffers, and the encodings HTTP and JSON bring along. */
#ifndef MOCK_AC_TEXT_H
#define MOCK_AC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes; not terminated. */
typedef struct {
    const char *data;
    size_t len;
} span_t;

/* Owned bytes. All zero is an empty buffer; once it holds anything, data[len] is a NUL. */
typedef struct {
    char *data;
    size_t len;
    size_t cap;
} buf_t;

/* An inclusive range of numbers, such as the delays to draw from. */
typedef struct {
    int64_t low;
    int64_t high;
} range_t;

span_t span_of(const char *text);
span_t span_buf(const buf_t *buf);
bool span_same(span_t a, span_t b);
bool span_is(span_t span, const char *text);
bool span_starts(span_t span, const char *prefix);
bool span_contains(span_t span, const char *part);

void buf_add(buf_t *buf, const void *data, size_t len);
void buf_text(buf_t *buf, const char *text);
void buf_printf(buf_t *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_base64(buf_t *buf, span_t data);
void buf_clear(buf_t *buf);
void buf_free(buf_t *buf);

/* Appends the decoded bytes. False when the text is no canonical base64 with padding. */
bool base64_decode(span_t text, buf_t *out);

/* Appends the path with its %XX escapes decoded; broken escapes stay as they are. */
void uri_decode(span_t text, buf_t *out);

/* A whole decimal number within the bounds; nothing may follow it. */
bool number_parse(const char *text, int64_t low, int64_t high, int64_t *out);

/* "N" or "A-B" with 0 <= A <= B <= high. */
bool range_parse(const char *text, int64_t high, range_t *out);

/* yes/true/t/1 or no/false/f/0. */
bool bool_parse(const char *text, bool *out);

/* Wall clock in Unix milliseconds. */
int64_t wall_ms(void);

/* A well-mixed 64-bit value of two numbers; the one source of pseudo-random data here. */
uint64_t mix64(uint64_t a, uint64_t b);

/* A value of the range drawn by the random bits given. */
int64_t range_pick(range_t range, uint64_t random);

#endif
