/*
 * What the tool answers: literal bytes, or bytes computed from a seed, so that a body of any
 * length can be sent and checked piece by piece without being held in memory.
 */
#ifndef MOCK_AC_BODY_H
#define MOCK_AC_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

typedef struct {
    char *bytes; /* owned; NULL when computed from the seed */
    uint64_t len;
    uint64_t seed;
    unsigned zeros; /* of a hundred pieces of a computed one, so many hold nothing but zeros */
} body_t;

body_t body_literal(span_t bytes);
body_t body_computed(uint64_t seed, uint64_t len);
void body_free(body_t *body);

/* Writes `count` bytes of the body from `offset` on; the range must lie inside the body. */
void body_copy(const body_t *body, uint64_t offset, char *out, size_t count);

/* True when `piece` is what the body holds at `offset`. */
bool body_matches(const body_t *body, uint64_t offset, span_t piece);

#endif
