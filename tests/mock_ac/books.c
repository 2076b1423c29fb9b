#include "books.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define NOTES_KEPT 20

struct books {
    int64_t counters[BOOK_COUNT];
    char *notes[NOTE_COUNT][NOTES_KEPT];
    histogram_t timings[TIMING_COUNT];
    uint64_t version;
};

#define BOOKS_NAME(constant, name) [constant] = name,
static const char *const NAMES[BOOK_COUNT] = {BOOKS_COUNTERS(BOOKS_NAME)};
#undef BOOKS_NAME

books_t *books_new(void) {
    return mem_new(1, sizeof(books_t));
}

void books_destroy(books_t **self) {
    if (!*self) return;
    for (int list = 0; list < NOTE_COUNT; list++)
        for (int i = 0; i < NOTES_KEPT; i++)
            free((*self)->notes[list][i]);
    free(*self);
    *self = NULL;
}

void books_add(books_t *self, book_t counter, int64_t change) {
    self->counters[counter] += change;
    self->version += change != 0;
}

void books_max(books_t *self, book_t counter, int64_t value) {
    if (value > self->counters[counter]) books_add(self, counter, value - self->counters[counter]);
}

int64_t books_get(const books_t *self, book_t counter) {
    return self->counters[counter];
}

const char *book_name(book_t counter) {
    return NAMES[counter];
}

book_t book_named(span_t name) {
    int counter = 0;
    while (counter < BOOK_COUNT && !span_is(name, NAMES[counter]))
        counter++;
    return (book_t)counter;
}

static char **free_note(books_t *self, note_t list) {
    for (int i = 0; i < NOTES_KEPT; i++)
        if (!self->notes[list][i]) return &self->notes[list][i];
    return NULL;
}

void books_note(books_t *self, note_t list, const char *format, ...) {
    char **note = free_note(self, list);
    if (!note) return;
    va_list args;
    va_start(args, format);
    if (vasprintf(note, format, args) < 0) *note = NULL;
    va_end(args);
}

void books_note_once(books_t *self, note_t list, const char *text) {
    for (size_t i = 0; i < NOTES_KEPT && self->notes[list][i]; i++)
        if (strcmp(self->notes[list][i], text) == 0) return;
    books_note(self, list, "%s", text);
}

const char *books_noted(const books_t *self, note_t list, size_t index) {
    return index < NOTES_KEPT ? self->notes[list][index] : NULL;
}

void books_time(books_t *self, timing_t timing, int64_t duration_us) {
    histogram_add(&self->timings[timing], duration_us);
}

const histogram_t *books_timing(const books_t *self, timing_t timing) {
    return &self->timings[timing];
}

uint64_t books_version(const books_t *self) {
    return self->version;
}
