#include "common/messages.h"

#define MSGPACK_SBUFFER_INIT_SIZE 512 /* of a header; 8 KB where nothing is said */
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/message_table.h"
#include "common/msgpack_check.h"

str_t str_of(const char *text) {
    return (str_t){text ? text : "", text ? (uint32_t)strlen(text) : 0};
}

char *str_copy(str_t text, char *buf, size_t size) {
    size_t n = text.len < size ? text.len : size - 1;
    if (n > 0) memcpy(buf, text.ptr, n);
    buf[n] = '\0';
    return buf;
}

const char *msg_type_name(unsigned type) {
    const layout_t *layout = layout_of(type);
    return layout ? layout->name + strlen("MSG_") : "?";
}

bool msg_has_payload(msg_type_t type, size_t *max_bytes) {
    const layout_t *layout = layout_of((unsigned)type);
    *max_bytes = layout ? layout->payload_max : 0;
    return layout && layout->payload_max > 0;
}

/* A number field as it stands in the struct. */
static uint64_t number_get(const field_t *field, const msg_t *msg) {
    const char *at = (const char *)msg + field->offset;
    uint64_t value = 0;
    switch (field->kind) {
    case KIND_U8:
        return *(const uint8_t *)at;
    case KIND_U16: {
        uint16_t v;
        memcpy(&v, at, sizeof v);
        return v;
    }
    case KIND_U32: {
        uint32_t v;
        memcpy(&v, at, sizeof v);
        return v;
    }
    default:
        memcpy(&value, at, sizeof value);
        return value;
    }
}

static void number_set(const field_t *field, msg_t *msg, uint64_t value) {
    char *at = (char *)msg + field->offset;
    uint8_t v8 = (uint8_t)value;
    uint16_t v16 = (uint16_t)value;
    uint32_t v32 = (uint32_t)value;
    switch (field->kind) {
    case KIND_U8:
        memcpy(at, &v8, sizeof v8);
        break;
    case KIND_U16:
        memcpy(at, &v16, sizeof v16);
        break;
    case KIND_U32:
        memcpy(at, &v32, sizeof v32);
        break;
    default:
        memcpy(at, &value, sizeof value);
    }
}

static void pack_held(msgpack_packer *packer, const msg_held_list_t *list) {
    msgpack_pack_array(packer, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        msgpack_pack_array(packer, 4);
        msgpack_pack_uint64(packer, list->items[i].session);
        msgpack_pack_uint64(packer, list->items[i].number);
        msgpack_pack_uint64(packer, list->items[i].attempt);
        msgpack_pack_uint64(packer, list->items[i].phase);
    }
}

static bool pack_field(msgpack_packer *packer, const field_t *field, const msg_t *msg) {
    const char *at = (const char *)msg + field->offset;
    switch (field->kind) {
    case KIND_STR: {
        const str_t *s = (const str_t *)(const void *)at;
        if (s->len > field->max) return false;
        msgpack_pack_str(packer, s->len);
        msgpack_pack_str_body(packer, s->ptr ? s->ptr : "", s->len);
        return true;
    }
    case KIND_HELD: {
        const msg_held_list_t *list = (const msg_held_list_t *)(const void *)at;
        if (list->count > field->max) return false;
        pack_held(packer, list);
        return true;
    }
    case KIND_NUMS: {
        const msg_nums_t *list = (const msg_nums_t *)(const void *)at;
        if (list->count > field->max) return false;
        msgpack_pack_array(packer, list->count);
        for (uint32_t i = 0; i < list->count; i++)
            msgpack_pack_uint64(packer, list->items[i]);
        return true;
    }
    case KIND_I64:
        msgpack_pack_int64(packer, (int64_t)number_get(field, msg));
        return true;
    default: {
        uint64_t value = number_get(field, msg);
        if (value < field->min || value > field->max) return false;
        msgpack_pack_uint64(packer, value);
        return true;
    }
    }
}

/* Once a write has failed all later ones do: the packer goes on regardless, and would leave a hole. */
typedef struct {
    msgpack_sbuffer buffer;
    bool failed;
} sink_t;

static int sink_write(void *ctx, const char *bytes, size_t size) {
    sink_t *sink = ctx;
    if (!sink->failed && size > 0) sink->failed = msgpack_sbuffer_write(&sink->buffer, bytes, size) != 0;
    return sink->failed ? -1 : 0;
}

int msg_encode(const msg_t *msg, char **bytes, size_t *size) {
    const layout_t *layout = layout_of((unsigned)msg->type);
    if (!layout) return ERR_INVALID;
    sink_t sink = {.failed = false};
    msgpack_sbuffer_init(&sink.buffer);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &sink, sink_write);
    msgpack_pack_array(&packer, layout->field_count + 2);
    msgpack_pack_uint64(&packer, PROTOCOL_VERSION);
    msgpack_pack_uint64(&packer, (uint64_t)layout->type);
    bool ok = true;
    for (unsigned i = 0; ok && i < layout->field_count; i++)
        ok = pack_field(&packer, &layout->fields[i], msg);
    if (!ok || sink.failed || sink.buffer.size > MSG_HEADER_MAX) {
        msgpack_sbuffer_destroy(&sink.buffer);
        return ok && sink.failed ? ERR_NOMEM : ERR_INVALID;
    }
    *size = sink.buffer.size;
    *bytes = msgpack_sbuffer_release(&sink.buffer);
    return 0;
}

static int fail(msg_scratch_t *scratch, msg_err_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(msg_scratch_t *scratch, msg_err_t code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(scratch->text, sizeof scratch->text, fmt, args);
    va_end(args);
    scratch->error = code;
    if (code == MSG_ERR_SIZE) return ERR_TOO_LARGE;
    return code == MSG_ERR_VERSION ? ERR_VERSION : ERR_MALFORMED;
}

static bool get_uint(const msgpack_object *object, uint64_t min, uint64_t max, uint64_t *value) {
    if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER || object->via.u64 < min || object->via.u64 > max)
        return false;
    *value = object->via.u64;
    return true;
}

static bool get_held(const msgpack_object *object, msg_held_t *item) {
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != 4) return false;
    const msgpack_object *part = object->via.array.ptr;
    uint64_t attempt, phase;
    if (!get_uint(&part[0], 0, UINT64_MAX, &item->session) ||
        !get_uint(&part[1], 0, UINT64_MAX, &item->number) || !get_uint(&part[2], 0, UINT32_MAX, &attempt) ||
        !get_uint(&part[3], PHASE_UNSTARTED, PHASE_FINISHED, &phase))
        return false;
    item->attempt = (uint32_t)attempt;
    item->phase = (uint8_t)phase;
    return true;
}

static bool get_list(const field_t *field, const msgpack_object *object, msg_t *msg, msg_scratch_t *scratch) {
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size > field->max) return false;
    uint32_t count = object->via.array.size;
    char *at = (char *)msg + field->offset;
    for (uint32_t i = 0; i < count; i++) {
        const msgpack_object *item = &object->via.array.ptr[i];
        if (field->kind == KIND_HELD ? !get_held(item, &scratch->held[i])
                                     : !get_uint(item, 0, UINT64_MAX, &scratch->nums[i]))
            return false;
    }
    if (field->kind == KIND_HELD)
        *(msg_held_list_t *)(void *)at = (msg_held_list_t){count, scratch->held};
    else
        *(msg_nums_t *)(void *)at = (msg_nums_t){count, scratch->nums};
    return true;
}

static bool get_field(const field_t *field, const msgpack_object *object, msg_t *msg,
                      msg_scratch_t *scratch) {
    uint64_t value;
    switch (field->kind) {
    case KIND_STR:
        if (object->type != MSGPACK_OBJECT_STR || object->via.str.size > field->max) return false;
        *(str_t *)(void *)((char *)msg + field->offset) = (str_t){object->via.str.ptr, object->via.str.size};
        return true;
    case KIND_HELD:
    case KIND_NUMS:
        return get_list(field, object, msg, scratch);
    case KIND_I64:
        if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
            value = (uint64_t)object->via.i64;
        else if (!get_uint(object, 0, INT64_MAX, &value))
            return false;
        number_set(field, msg, value);
        return true;
    default:
        if (!get_uint(object, field->min, field->max, &value)) return false;
        number_set(field, msg, value);
        return true;
    }
}

static int decode_fields(const layout_t *layout, const msgpack_object_array *array, msg_t *msg,
                         msg_scratch_t *scratch) {
    if (array->size != layout->field_count + 2)
        return fail(scratch, MSG_ERR_ARITY, "%s has %u elements, must have %u", layout->name + 4, array->size,
                    layout->field_count + 2);
    static const char *const kinds[] = {"u8", "u16", "u32", "u64", "i64", "str", "held list", "number list"};
    for (unsigned i = 0; i < layout->field_count; i++) {
        const field_t *field = &layout->fields[i];
        if (!get_field(field, &array->ptr[i + 2], msg, scratch))
            return field->kind == KIND_I64
                       ? fail(scratch, MSG_ERR_FIELD, "%s: field %s must be i64", layout->name + 4,
                              field->name)
                       : fail(scratch, MSG_ERR_FIELD, "%s: field %s must be %s, %llu to %llu",
                              layout->name + 4, field->name, kinds[field->kind],
                              (unsigned long long)field->min, (unsigned long long)field->max);
    }
    return 0;
}

static int decode_payload_rule(const layout_t *layout, int64_t payload_bytes, msg_scratch_t *scratch) {
    if (layout->payload_max == 0 && payload_bytes >= 0)
        return fail(scratch, MSG_ERR_PAYLOAD, "%s carries no payload", layout->name + 4);
    if (layout->payload_max > 0 && payload_bytes < 0)
        return fail(scratch, MSG_ERR_PAYLOAD, "%s must carry a payload", layout->name + 4);
    if (layout->payload_max > 0 && (uint64_t)payload_bytes > layout->payload_max)
        return fail(scratch, MSG_ERR_SIZE, "%s: payload of %lld octets, at most %zu", layout->name + 4,
                    (long long)payload_bytes, layout->payload_max);
    return 0;
}

static int decode_array(const msgpack_object *root, int64_t payload_bytes, msg_t *msg,
                        msg_scratch_t *scratch) {
    if (root->type != MSGPACK_OBJECT_ARRAY || root->via.array.size < 2)
        return fail(scratch, MSG_ERR_MALFORMED, "must be an array [version, type, ...]");
    const msgpack_object_array *array = &root->via.array;
    uint64_t version, type;
    if (get_uint(&array->ptr[1], 0, UINT8_MAX, &type)) scratch->type = (uint8_t)type;
    if (!get_uint(&array->ptr[0], PROTOCOL_VERSION, PROTOCOL_VERSION, &version))
        return fail(scratch, MSG_ERR_VERSION, "this peer speaks protocol version %d", PROTOCOL_VERSION);
    const layout_t *layout = get_uint(&array->ptr[1], 0, UINT8_MAX, &type) ? layout_of((unsigned)type) : NULL;
    if (!layout) return fail(scratch, MSG_ERR_TYPE, "unknown message type");
    memset(msg, 0, sizeof *msg);
    msg->type = layout->type;
    int err = decode_fields(layout, array, msg, scratch);
    return err ? err : decode_payload_rule(layout, payload_bytes, scratch);
}

int msg_decode(const void *bytes, size_t size, int64_t payload_bytes, msg_t *msg, msg_scratch_t *scratch) {
    scratch->error = 0;
    scratch->type = 0;
    scratch->text[0] = '\0';
    if (size > MSG_HEADER_MAX)
        return fail(scratch, MSG_ERR_SIZE, "header of %zu octets, at most %d", size, MSG_HEADER_MAX);
    if (!msgpack_is_one_value(bytes, size, 4))
        return fail(scratch, MSG_ERR_MALFORMED, "header is not one MessagePack value of at most 4 levels");
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    msgpack_unpack_return got = msgpack_unpack_next(&unpacked, bytes, size, &offset);
    int err;
    if (got == MSGPACK_UNPACK_SUCCESS && offset == size) {
        msg_t decoded;
        err = decode_array(&unpacked.data, payload_bytes, &decoded, scratch);
        if (!err) *msg = decoded;
    } else if (got == MSGPACK_UNPACK_NOMEM_ERROR) {
        err = ERR_NOMEM;
    } else {
        err = fail(scratch, MSG_ERR_MALFORMED, "header is not one MessagePack value");
    }
    msgpack_unpacked_destroy(&unpacked);
    return err;
}
