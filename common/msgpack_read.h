/* Reads MessagePack bytes in place, one value after the other, once msgpack_is_one_value() has accepted them:
 * no tree is built, nothing is copied. Each returns false, and stays where it is, when the next value is of
 * another kind. */
#ifndef SLUICE_COMMON_MSGPACK_READ_H
#define SLUICE_COMMON_MSGPACK_READ_H

#include <stdbool.h>
#include <stdint.h>

/* Where the next value begins, and the end of the bytes. */
typedef struct {
    const unsigned char *at, *end;
} msgpack_at_t;

/* The head of an array; its elements are the next values. */
bool msgpack_read_array(msgpack_at_t *self, uint32_t *count);
/* A number that is not negative, whatever its encoding. */
bool msgpack_read_uint(msgpack_at_t *self, uint64_t *value);
/* A number within 64 bits with sign. */
bool msgpack_read_int(msgpack_at_t *self, int64_t *value);
/* A str; `ptr` points into the bytes. */
bool msgpack_read_str(msgpack_at_t *self, const char **ptr, uint32_t *len);

#endif
