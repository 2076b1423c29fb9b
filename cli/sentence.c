#include "cli/sentence.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "cli/json_read.h"

void sentence_add(sentence_t *self, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(self->text + self->len, sizeof self->text - self->len, fmt, args);
    va_end(args);
    if (n > 0) self->len += (size_t)n;
    if (self->len >= sizeof self->text) self->len = sizeof self->text - 1;
}

void sentence_add_worker(sentence_t *self, yajl_val node, const char *name) {
    sentence_add(self, "%.64s (pid %" PRId64, json_text(node, name), json_number(node, "pid"));
    if (json_text(node, "host")[0] != '\0') sentence_add(self, " on %.64s", json_text(node, "host"));
    sentence_add(self, ")");
}
