#include "cli/json_read.h"

#include <string.h>

#define DEPTH_MAX 32

/* The tree is freed by recursion, so that its depth has to be bounded before it is built. */
static bool too_deep(const char *json, size_t size) {
    unsigned depth = 0;
    bool inside = false;
    for (size_t i = 0; i < size; i++) {
        char c = json[i];
        if (inside) {
            if (c == '\\')
                i++;
            else if (c == '"')
                inside = false;
        } else if (c == '"') {
            inside = true;
        } else if (c == '[' || c == '{') {
            if (++depth > DEPTH_MAX) return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

yajl_val json_read(const char *json, size_t size) {
    char why[128];
    if (too_deep(json, size)) return NULL;
    yajl_val root = yajl_tree_parse(json, why, sizeof why);
    if (YAJL_IS_OBJECT(root)) return root;
    yajl_tree_free(root);
    return NULL;
}

yajl_val json_member(yajl_val node, const char *name) {
    if (!YAJL_IS_OBJECT(node)) return NULL;
    for (size_t i = 0; i < node->u.object.len; i++)
        if (strcmp(node->u.object.keys[i], name) == 0) return node->u.object.values[i];
    return NULL;
}

const char *json_text(yajl_val node, const char *name) {
    const char *text = YAJL_GET_STRING(json_member(node, name));
    return text != NULL ? text : "";
}

bool json_is(yajl_val node, const char *name, const char *value) {
    return strcmp(json_text(node, name), value) == 0;
}

bool json_has_number(yajl_val node, const char *name) {
    return YAJL_IS_INTEGER(json_member(node, name));
}

int64_t json_number(yajl_val node, const char *name) {
    yajl_val value = json_member(node, name);
    return YAJL_IS_INTEGER(value) ? (int64_t)YAJL_GET_INTEGER(value) : 0;
}

bool json_true(yajl_val node, const char *name) {
    return YAJL_IS_TRUE(json_member(node, name));
}

size_t json_count(yajl_val node, const char *name) {
    yajl_val list = json_member(node, name);
    return YAJL_IS_ARRAY(list) ? list->u.array.len : 0;
}

yajl_val json_item(yajl_val node, const char *name, size_t at) {
    return json_member(node, name)->u.array.values[at];
}
