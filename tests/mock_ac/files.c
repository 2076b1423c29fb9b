#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool file_read(const char *name, buf_t *out, buf_t *error) {
    FILE *file = fopen(name, "rbe");
    if (!file) {
        buf_printf(error, "cannot read %s: %s", name, strerror(errno));
        return false;
    }
    char piece[65536];
    size_t count = 0;
    buf_add(out, "", 0);
    while ((count = fread(piece, 1, sizeof piece, file)) > 0)
        buf_add(out, piece, count);
    bool good = !ferror(file);
    if (!good) buf_printf(error, "cannot read %s: %s", name, strerror(errno));
    fclose(file);
    return good;
}

bool file_write(const char *name, const buf_t *line, buf_t *error) {
    buf_t part = {0};
    buf_printf(&part, "%s.part", name);
    FILE *file = fopen(part.data, "wbe");
    bool good = file && fwrite(line->data, 1, line->len, file) == line->len && fputc('\n', file) != EOF;
    if (file && fclose(file) != 0) good = false;
    if (good && rename(part.data, name) != 0) good = false;
    if (!good) buf_printf(error, "cannot write %s: %s", name, strerror(errno));
    buf_free(&part);
    return good;
}
