/* The field tables of docs/PROTOCOL.md, used by encoder and decoder alike. Internal to the codec. */
#ifndef SLUICE_COMMON_MESSAGE_TABLE_H
#define SLUICE_COMMON_MESSAGE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/messages.h"

typedef enum { KIND_U8, KIND_U16, KIND_U32, KIND_U64, KIND_I64, KIND_STR, KIND_HELD, KIND_NUMS } field_kind_t;

typedef struct {
    const char *name;
    field_kind_t kind;
    size_t offset;     /* in msg_t */
    uint64_t min, max; /* of a number; of a str its most octets, of a list its most items */
} field_t;

typedef struct {
    msg_type_t type;
    const char *name;
    size_t payload_max; /* 0: no payload */
    unsigned field_count;
    const field_t *fields;
} layout_t;

/* NULL for an unknown type. */
const layout_t *layout_of(unsigned type);

#endif
