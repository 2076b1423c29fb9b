/* Text for a terminal: labelled lines, numbers and times as people read them, and words from elsewhere made
 * harmless. */
#ifndef SLUICE_CLI_STATUS_PAGE_H
#define SLUICE_CLI_STATUS_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
    FILE *out;
    bool colour;
    bool whole;     /* nothing that stands last in its line is cut: no terminal */
    unsigned width; /* columns */
    unsigned used;  /* columns of the present line */
} page_t;

typedef enum { STYLE_PLAIN, STYLE_STRONG, STYLE_GOOD, STYLE_WARN, STYLE_BAD, STYLE_DIM } style_t;

#define PAGE_INDENT 11 /* columns before the text of a line */

/* Standard output: as wide as its terminal (at least 40, at most 200), in colour unless NO_COLOR is set; 80
 * columns and whole when it is none. */
page_t page_of_stdout(void);
/* Begins a line with a label, or NULL for one that goes on. The line before has been ended. */
void page_label(page_t *self, const char *label);
void page_end(page_t *self);
/* Text of ours, as it is. */
void page_add(page_t *self, style_t style, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Text from elsewhere: no control characters, at most `columns` wide (0: the rest of the line, or
 * all of it when the page is whole), cut with "...". */
void page_add_text(page_t *self, style_t style, const char *text, unsigned columns);
/* The same, but broken into lines at its spaces, further lines at PAGE_INDENT or at `indent`. */
void page_add_words(page_t *self, style_t style, const char *text);
void page_add_words_at(page_t *self, style_t style, const char *text, unsigned indent);
/* Blanks up to a column. */
void page_fill(page_t *self, unsigned column);
/* A column of a table: filled up to `columns`, two of them the gap to the next. */
void page_add_cell(page_t *self, style_t style, const char *text, unsigned columns);
/* Adds an item of a list and breaks the line where it does not fit. */
void page_add_item(page_t *self, const char *name, const char *value);

/* Makes text from elsewhere harmless in its place: valid UTF-8 without control characters. */
void page_clean(char *text);

#define PAGE_SHORT_MAX 40
/* "1,234,567". */
const char *page_number(int64_t value, char buf[PAGE_SHORT_MAX]);
/* "0.4 s", "12 s", "5 min", "2 h 13 min", "3 d 4 h". */
const char *page_duration(int64_t ms, char buf[PAGE_SHORT_MAX]);
/* A difference that cannot overflow, whatever a broker sent. */
int64_t page_since(int64_t now_ms, int64_t then_ms);
/* "10:12:03" of the same local day as `now_ms`, else "2026-11-21 10:12:03"; both in Unix ms. */
const char *page_time(int64_t at_ms, int64_t now_ms, char buf[PAGE_SHORT_MAX]);
/* The same, but "12 ms" under a second. */
const char *page_span(int64_t ms, char buf[PAGE_SHORT_MAX]);
/* "512 B", "1.2 MB". */
const char *page_bytes(int64_t bytes, char buf[PAGE_SHORT_MAX]);

#endif
