#include "broker/json_put.h"

#include <string.h>

void json_key(yajl_gen g, const char *name) {
    (void)yajl_gen_string(g, (const unsigned char *)name, strlen(name));
}

void json_text(yajl_gen g, const char *name, const char *text) {
    json_key(g, name);
    if (text)
        (void)yajl_gen_string(g, (const unsigned char *)text, strlen(text));
    else
        (void)yajl_gen_null(g);
}

void json_str(yajl_gen g, const char *name, str_t text) {
    json_key(g, name);
    (void)yajl_gen_string(g, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
}

void json_number(yajl_gen g, const char *name, int64_t value) {
    json_key(g, name);
    (void)yajl_gen_integer(g, value);
}

void json_bool(yajl_gen g, const char *name, bool value) {
    json_key(g, name);
    (void)yajl_gen_bool(g, value);
}

void json_open(yajl_gen g, const char *name) {
    json_key(g, name);
    (void)yajl_gen_map_open(g);
}

doc_t *json_doc(yajl_gen g) {
    const unsigned char *json;
    size_t size;
    return yajl_gen_get_buf(g, &json, &size) == yajl_gen_status_ok ? doc_copy_of(json, size) : NULL;
}
