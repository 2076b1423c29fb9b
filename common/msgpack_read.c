#include "common/msgpack_read.h"

#include <stddef.h>

/* The `width` octets behind the lead octet, most significant first. */
static bool behind_lead(const msgpack_at_t *self, unsigned width, uint64_t *value) {
    if ((size_t)(self->end - self->at) <= width) return false;
    *value = 0;
    for (unsigned i = 1; i <= width; i++)
        *value = *value << 8 | self->at[i];
    return true;
}

/* A length or count of `width` octets; the head is skipped. */
static bool take_count(msgpack_at_t *self, unsigned width, uint32_t *count) {
    uint64_t value;
    if (!behind_lead(self, width, &value)) return false;
    *count = (uint32_t)value;
    self->at += 1 + width;
    return true;
}

bool msgpack_read_array(msgpack_at_t *self, uint32_t *count) {
    if (self->at == self->end) return false;
    unsigned lead = *self->at;
    if (lead == 0xdc || lead == 0xdd) return take_count(self, lead == 0xdc ? 2 : 4, count);
    if ((lead & 0xf0) != 0x90) return false;
    *count = lead & 0x0f;
    self->at++;
    return true;
}

/* A number as the 64 bits of its value, and whether it is below 0. */
static bool read_number(msgpack_at_t *self, uint64_t *value, bool *negative) {
    if (self->at == self->end) return false;
    unsigned lead = *self->at, width = 0;
    *negative = lead >= 0xe0;
    if (lead < 0x80 || lead >= 0xe0) {
        *value = (uint64_t)(int64_t)(int8_t)lead;
    } else {
        if (lead < 0xcc || lead > 0xd3) return false;
        width = 1u << (lead & 3);
        if (!behind_lead(self, width, value)) return false;
        unsigned unused = 64 - 8 * width;
        if (lead >= 0xd0) {
            *value = (uint64_t)((int64_t)(*value << unused) >> unused);
            *negative = *value >> 63;
        }
    }
    self->at += 1 + width;
    return true;
}

bool msgpack_read_uint(msgpack_at_t *self, uint64_t *value) {
    msgpack_at_t before = *self;
    bool negative;
    if (read_number(self, value, &negative) && !negative) return true;
    *self = before;
    return false;
}

bool msgpack_read_int(msgpack_at_t *self, int64_t *value) {
    msgpack_at_t before = *self;
    uint64_t bits;
    bool negative;
    if (read_number(self, &bits, &negative) && (negative || bits <= INT64_MAX)) {
        *value = (int64_t)bits;
        return true;
    }
    *self = before;
    return false;
}

bool msgpack_read_str(msgpack_at_t *self, const char **ptr, uint32_t *len) {
    if (self->at == self->end) return false;
    msgpack_at_t after = *self;
    unsigned lead = *self->at;
    if (lead >= 0xd9 && lead <= 0xdb) {
        if (!take_count(&after, 1u << (lead - 0xd9), len)) return false;
    } else if ((lead & 0xe0) == 0xa0) {
        *len = lead & 0x1f;
        after.at++;
    } else {
        return false;
    }
    if ((size_t)(after.end - after.at) < *len) return false;
    *ptr = (const char *)after.at;
    self->at = after.at + *len;
    return true;
}
