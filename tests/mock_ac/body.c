#include "body.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define PIECE_BYTES 4096

body_t body_literal(span_t bytes) {
    return (body_t){mem_copy(bytes.data, bytes.len), bytes.len, 0, 0};
}

body_t body_computed(uint64_t seed, uint64_t len) {
    return (body_t){NULL, len, seed, 0};
}

void body_free(body_t *body) {
    free(body->bytes);
    *body = (body_t){0};
}

void body_copy(const body_t *body, uint64_t offset, char *out, size_t count) {
    if (body->bytes) {
        memcpy(out, body->bytes + offset, count);
        return;
    }
    while (count) {
        uint64_t word = offset / PIECE_BYTES % 100 < body->zeros ? 0 : mix64(body->seed, offset / 8);
        size_t skip = offset % 8;
        size_t take = 8 - skip < count ? 8 - skip : count;
        memcpy(out, (const char *)&word + skip, take);
        out += take;
        offset += take;
        count -= take;
    }
}

bool body_matches(const body_t *body, uint64_t offset, span_t piece) {
    if (offset > body->len || piece.len > body->len - offset) return false;
    char expected[PIECE_BYTES];
    for (size_t done = 0; done < piece.len;) {
        size_t take = piece.len - done < sizeof expected ? piece.len - done : sizeof expected;
        body_copy(body, offset + done, expected, take);
        if (memcmp(expected, piece.data + done, take) != 0) return false;
        done += take;
    }
    return true;
}
