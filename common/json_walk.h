/* Walks the members of a JSON object, or the elements of an array, one level deep, and hands out their raw
 * text. Nothing below that level is kept, so depth and size cost nothing but time. */
#ifndef SLUICE_COMMON_JSON_WALK_H
#define SLUICE_COMMON_JSON_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/task_json.h"

#define JSON_WHY_MAX 256

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_OBJECT, JSON_ARRAY } json_kind_t;

/* A member or element, borrowed for the call; `raw` and `value` point into the walked text. */
typedef struct {
    const char *name; /* decoded, not terminated; NULL for an element. A lone surrogate in it reads as '?' */
    size_t name_len;
    span_t key; /* the name as it is written, with its quotes */
    span_t value;
    json_kind_t kind;
} json_member_t;

/* Returns 0 to go on, or a project error that ends the walk and is returned by it. */
typedef int (*json_visit_fn)(void *ctx, const json_member_t *member);

/* Walks `json`, which must hold one value of kind `root` (JSON_OBJECT or JSON_ARRAY) and white space only.
 * `value` (may be NULL) gets the value without that white space, on success only. ERR_MALFORMED with `why`
 * (no content of the text in it), ERR_NOMEM, or what `visit` returned. */
int json_walk(const char *json, size_t size, json_kind_t root, json_visit_fn visit, void *ctx, span_t *value,
              char why[JSON_WHY_MAX]);

/* Walks the members of an object that json_walk() has accepted, as a whole or as part of a text, without
 * checking it anew: a fifth of the cost. Same members, but that a lone surrogate in a name reads as three
 * octets. What `visit` returned, ERR_NOMEM, or ERR_MALFORMED, by which nothing is read beyond its end. */
int json_members(span_t object, json_visit_fn visit, void *ctx);

/* Walks what can be told apart of an object that json_walk() has refused, up to the first octets that are no
 * member. A value may be anything, also cut off at the end; nothing is read beyond that. 0, ERR_NOMEM, or
 * what `visit` returned. */
int json_members_broken(span_t text, json_visit_fn visit, void *ctx);

/* Whether the member's name is `name`. */
bool json_named(const json_member_t *member, const char *name);

/* Decodes a string as it is written (with its quotes) into newly allocated memory, terminated; freed by the
 * caller. A lone surrogate is written as three octets as if it were a character, and *lone (may be NULL) set.
 * ERR_NOMEM, or ERR_MALFORMED when it is no string. */
int json_string(span_t raw, char **text, size_t *len, bool *lone);

#endif
