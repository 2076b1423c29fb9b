/* Reading the broker's JSON: members that are missing or of another kind are 0 or "". */
#ifndef SLUICE_CLI_JSON_READ_H
#define SLUICE_CLI_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yajl/yajl_tree.h>

/* The tree of an object, freed by yajl_tree_free(); NULL when it is none, or nests too deep. */
yajl_val json_read(const char *json, size_t size);
yajl_val json_member(yajl_val node, const char *name); /* NULL when there is none */
const char *json_text(yajl_val node, const char *name);
/* Whether the member is this text. */
bool json_is(yajl_val node, const char *name, const char *value);
bool json_has_number(yajl_val node, const char *name);
int64_t json_number(yajl_val node, const char *name);
bool json_true(yajl_val node, const char *name);
/* The items of a member that is a list; 0 when it is none. */
size_t json_count(yajl_val node, const char *name);
yajl_val json_item(yajl_val node, const char *name, size_t at);

#endif
