/* Writing JSON with yajl: objects and lists into a buffer. */
#ifndef MOCK_AC_JSON_OUT_H
#define MOCK_AC_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

typedef struct json_out json_out_t;

json_out_t *json_out_new(void);

/* Appends the finished text to `out` and ends the writer. */
void json_out_finish(json_out_t **self, buf_t *out);

/* A key of NULL writes a list element. Text that is not UTF-8 is written as null. */
void json_out_open(json_out_t *self, const char *key, bool list);
void json_out_close(json_out_t *self, bool list);
void json_out_int(json_out_t *self, const char *key, int64_t value);
void json_out_bool(json_out_t *self, const char *key, bool value);
void json_out_text(json_out_t *self, const char *key, span_t value);

/* Bytes as base64. */
void json_out_bytes(json_out_t *self, const char *key, span_t value);

/* A value that is JSON already. */
void json_out_raw(json_out_t *self, const char *key, span_t value);

#endif
