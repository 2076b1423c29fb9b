#include "cli/json_copy.h"

#include <string.h>

void json_put_name(yajl_gen gen, const char *name) {
    (void)yajl_gen_string(gen, (const unsigned char *)name, strlen(name));
}

static void put_list(yajl_gen gen, yajl_val list) {
    (void)yajl_gen_array_open(gen);
    for (size_t i = 0; i < list->u.array.len; i++)
        json_put_value(gen, list->u.array.values[i]);
    (void)yajl_gen_array_close(gen);
}

static void put_object(yajl_gen gen, yajl_val object) {
    (void)yajl_gen_map_open(gen);
    for (size_t i = 0; i < object->u.object.len; i++) {
        json_put_name(gen, object->u.object.keys[i]);
        json_put_value(gen, object->u.object.values[i]);
    }
    (void)yajl_gen_map_close(gen);
}

void json_put_value(yajl_gen gen, yajl_val value) {
    if (YAJL_IS_OBJECT(value))
        put_object(gen, value);
    else if (YAJL_IS_ARRAY(value))
        put_list(gen, value);
    else if (YAJL_IS_STRING(value))
        json_put_name(gen, YAJL_GET_STRING(value));
    else if (YAJL_IS_NUMBER(value))
        (void)yajl_gen_number(gen, YAJL_GET_NUMBER(value), strlen(YAJL_GET_NUMBER(value)));
    else if (YAJL_IS_NULL(value))
        (void)yajl_gen_null(gen);
    else
        (void)yajl_gen_bool(gen, YAJL_IS_TRUE(value));
}
