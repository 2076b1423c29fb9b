/*
 * JSON at the level of its text: whether a document is well formed (yajl says so), and the raw
 * bytes of each member, so that what an agent echoes can be compared byte for byte.
 */
#ifndef MOCK_AC_JSON_TEXT_H
#define MOCK_AC_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

typedef struct {
    span_t key;   /* without its quotes, escapes as written */
    span_t value; /* as written, without the space around it */
} member_t;

typedef struct {
    member_t *items;
    size_t count;
} members_t;

/* True when the text is exactly one JSON value in valid UTF-8. */
bool json_valid(span_t text);

/*
 * The members of an object or the elements of an array (keys empty), in order, borrowed from
 * `text`, which must be valid. False, and an empty list, when it is something else.
 */
bool json_members(span_t text, members_t *out);
bool json_elements(span_t text, members_t *out);
void members_free(members_t *members);

/* The value of the first member with this name, or a span of length 0. */
span_t member_value(const members_t *members, const char *name);
span_t member_find(const members_t *members, span_t key);

/* Appends the decoded string; false when the value is no string. */
bool json_string(span_t value, buf_t *out);

/* A string or number as C text, for settings; NULL for anything else. The caller frees it. */
char *json_scalar(span_t value);

bool json_is_string(span_t value);
bool json_is_object(span_t value);
bool json_is_integer(span_t value);

#endif
