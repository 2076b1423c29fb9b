/* Whole files in and out. */
#ifndef MOCK_AC_FILES_H
#define MOCK_AC_FILES_H

#include <stdbool.h>

#include "text.h"

/* Appends the file's bytes. False with the reason appended to `error`. */
bool file_read(const char *name, buf_t *out, buf_t *error);

/* Puts the line into the file in one step, so that a reader finds all of it or none. */
bool file_write(const char *name, const buf_t *line, buf_t *error);

#endif
