#include "common/msgpack_check.h"

#include <stdint.h>

#define DEPTH_MAX 16

typedef struct {
    const unsigned char *at, *end;
} cursor_t;

static bool take_uint(cursor_t *c, unsigned bytes, uint64_t *value) {
    if ((size_t)(c->end - c->at) < bytes) return false;
    *value = 0;
    while (bytes--)
        *value = *value << 8 | *c->at++;
    return true;
}

/* What follows a lead octet: `skip` octets of contents, or `items` values (`nested`). */
typedef struct {
    uint64_t skip, items;
    bool nested;
} shape_t;

static bool sized(cursor_t *c, unsigned width, uint64_t extra, shape_t *shape) {
    uint64_t n;
    if (!take_uint(c, width, &n)) return false;
    shape->skip = n + extra;
    return true;
}

static bool counted(cursor_t *c, unsigned width, unsigned per_item, shape_t *shape) {
    uint64_t n;
    if (!take_uint(c, width, &n)) return false;
    shape->items = n * per_item;
    shape->nested = true;
    return true;
}

/* Octets of the fixed-size kinds 0xca ... 0xd8 (MessagePack specification, "Formats"). */
static const unsigned char fixed_size[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17};

static bool shape_long(cursor_t *c, unsigned lead, shape_t *shape) {
    switch (lead) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return sized(c, 1u << (lead - 0xc4), 0, shape);
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return sized(c, 1u << (lead - 0xc7), 1, shape);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return sized(c, 1u << (lead - 0xd9), 0, shape);
    case 0xdc:
    case 0xdd:
        return counted(c, lead == 0xdc ? 2 : 4, 1, shape);
    case 0xde:
    case 0xdf:
        return counted(c, lead == 0xde ? 2 : 4, 2, shape);
    default:
        if (lead < 0xca || lead > 0xd8) return false; /* 0xc1 is never used */
        shape->skip = fixed_size[lead - 0xca];
        return true;
    }
}

static bool shape_of(cursor_t *c, shape_t *shape) {
    *shape = (shape_t){0};
    unsigned lead = *c->at++;
    if (lead < 0x80 || lead >= 0xe0) return true;
    if (lead < 0x90) {
        shape->items = (uint64_t)(lead & 0x0f) * 2;
        shape->nested = true;
    } else if (lead < 0xa0) {
        shape->items = lead & 0x0f;
        shape->nested = true;
    } else if (lead < 0xc0) {
        shape->skip = lead & 0x1f;
    } else {
        return shape_long(c, lead, shape);
    }
    return true;
}

bool msgpack_is_one_value(const void *bytes, size_t size, unsigned max_depth) {
    cursor_t c = {bytes, (const unsigned char *)bytes + size};
    uint64_t open[DEPTH_MAX]; /* values still to come at each level */
    unsigned depth = 0;
    if (max_depth > DEPTH_MAX) max_depth = DEPTH_MAX;
    for (;;) {
        shape_t shape;
        if (c.at == c.end || !shape_of(&c, &shape) || shape.skip > (uint64_t)(c.end - c.at)) return false;
        c.at += shape.skip;
        if (shape.nested) {
            if (depth == max_depth || shape.items > (uint64_t)(c.end - c.at)) return false;
            open[depth++] = shape.items;
        }
        while (depth > 0 && open[depth - 1] == 0)
            depth--;
        if (depth == 0) return c.at == c.end;
        open[depth - 1]--;
    }
}
