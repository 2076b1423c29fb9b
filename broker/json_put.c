#include "broker/json_put.h"

#include <string.h>

#define TEXT_MAX 2048 /* of one that has to be mended; those that come from elsewhere are shorter */

yajl_gen json_begin(void) {
    yajl_gen g = yajl_gen_alloc(NULL);
    if (g) (void)yajl_gen_config(g, yajl_gen_validate_utf8, 1);
    return g;
}

/* A reader refuses a document for one octet that is no UTF-8; a text may be cut anywhere, or come from a
 * peer. */
static void put_text(yajl_gen g, const char *text, size_t len) {
    char mended[TEXT_MAX];
    if (yajl_gen_string(g, (const unsigned char *)text, len) != yajl_gen_invalid_string) return;
    if (len > sizeof mended) len = sizeof mended;
    for (size_t i = 0; i < len; i++)
        mended[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    (void)yajl_gen_string(g, (const unsigned char *)mended, len);
}

void json_key(yajl_gen g, const char *name) {
    (void)yajl_gen_string(g, (const unsigned char *)name, strlen(name));
}

void json_text(yajl_gen g, const char *name, const char *text) {
    json_key(g, name);
    if (text)
        put_text(g, text, strlen(text));
    else
        (void)yajl_gen_null(g);
}

void json_str(yajl_gen g, const char *name, str_t text) {
    json_key(g, name);
    put_text(g, text.ptr ? text.ptr : "", text.len);
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
