/* A look at MessagePack bytes before they are unpacked, since the unpacker trusts the counts of arrays and
 * maps. */
#ifndef SLUICE_COMMON_MSGPACK_CHECK_H
#define SLUICE_COMMON_MSGPACK_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the bytes are exactly one value, with every count and length within the bytes and at most
 * `max_depth` levels of arrays and maps. Runs in time proportional to `size`, on constant memory. */
bool msgpack_is_one_value(const void *bytes, size_t size, unsigned max_depth);

#endif
