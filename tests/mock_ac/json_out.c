#include "json_out.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "mem.h"

struct json_out {
    yajl_gen gen;
};

json_out_t *json_out_new(void) {
    json_out_t *self = mem_new(1, sizeof *self);
    self->gen = yajl_gen_alloc(NULL);
    yajl_gen_config(self->gen, yajl_gen_validate_utf8, 1);
    return self;
}

void json_out_finish(json_out_t **self, buf_t *out) {
    const unsigned char *text = NULL;
    size_t len = 0;
    if (yajl_gen_get_buf((*self)->gen, &text, &len) == yajl_gen_status_ok) buf_add(out, text, len);
    yajl_gen_free((*self)->gen);
    free(*self);
    *self = NULL;
}

static void put_string(json_out_t *self, span_t value) {
    const unsigned char *bytes = (const unsigned char *)(value.data ? value.data : "");
    if (yajl_gen_string(self->gen, bytes, value.len) == yajl_gen_invalid_string) yajl_gen_null(self->gen);
}

static void put_key(json_out_t *self, const char *key) {
    if (key) put_string(self, span_of(key));
}

void json_out_open(json_out_t *self, const char *key, bool list) {
    put_key(self, key);
    if (list)
        yajl_gen_array_open(self->gen);
    else
        yajl_gen_map_open(self->gen);
}

void json_out_close(json_out_t *self, bool list) {
    if (list)
        yajl_gen_array_close(self->gen);
    else
        yajl_gen_map_close(self->gen);
}

void json_out_int(json_out_t *self, const char *key, int64_t value) {
    put_key(self, key);
    yajl_gen_integer(self->gen, value);
}

void json_out_bool(json_out_t *self, const char *key, bool value) {
    put_key(self, key);
    yajl_gen_bool(self->gen, value);
}

void json_out_text(json_out_t *self, const char *key, span_t value) {
    put_key(self, key);
    put_string(self, value);
}

void json_out_bytes(json_out_t *self, const char *key, span_t value) {
    buf_t text = {0};
    buf_base64(&text, value);
    json_out_text(self, key, span_buf(&text));
    buf_free(&text);
}

void json_out_raw(json_out_t *self, const char *key, span_t value) {
    put_key(self, key);
    yajl_gen_number(self->gen, value.data, value.len);
}
