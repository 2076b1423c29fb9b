#include "common/form.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

#define FORM_NUMBER_MAX 400 /* octets of a number that is no integer */

/* A member of an object; `name` is decoded. */
typedef struct {
    char *name;
    size_t name_len;
    size_t order;
    span_t value;
    json_kind_t kind;
    bool replaced; /* a later member of that name took its place */
} field_t;

typedef struct {
    field_t *items;
    size_t count, size;
    char *why;
} fields_t;

/* What a walk over a list or a nested object needs. */
typedef struct {
    text_t *out;
    const field_t *field;
    int depth; /* of lists */
    char *why;
} values_t;

static int fail(char *why, const char *text) {
    (void)snprintf(why, JSON_WHY_MAX, "%s", text);
    return ERR_MALFORMED;
}

static void add_quoted(text_t *out, const char *bytes, size_t size) {
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
            c == '.' || c == '-' || c == '~')
            text_add(out, bytes + i, 1);
        else if (c == ' ')
            text_add(out, "+", 1);
        else
            text_add(out, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}

static void add_pair(text_t *out, const field_t *field, const char *value, size_t size) {
    if (out->len > 0) text_add(out, "&", 1);
    add_quoted(out, field->name, field->name_len);
    text_add(out, "=", 1);
    add_quoted(out, value, size);
}

/* A double as Python prints it: the shortest digits that read back the same. */
static void print_double(double value, char buf[40]) {
    char digits[40], *mark;
    int exponent, precision = 0;

    if (isinf(value)) {
        (void)snprintf(buf, 40, value < 0 ? "-inf" : "inf");
        return;
    }
    do
        (void)snprintf(digits, sizeof digits, "%.*e", precision, value);
    while (strtod(digits, NULL) != value && ++precision < 17);
    mark = strchr(digits, 'e');
    exponent = mark ? (int)strtol(mark + 1, NULL, 10) : 0;
    if (exponent >= -4 && exponent < 16) {
        int places = precision - exponent;
        (void)snprintf(buf, 40, "%.*f", places < 1 ? 1 : places, value);
    } else {
        (void)snprintf(buf, 40, "%s", digits);
    }
}

static int add_number(text_t *out, const field_t *field, span_t raw, char *why) {
    char text[FORM_NUMBER_MAX + 1], printed[40];

    if (!memchr(raw.ptr, '.', raw.len) && !memchr(raw.ptr, 'e', raw.len) && !memchr(raw.ptr, 'E', raw.len)) {
        if (raw.len == 2 && memcmp(raw.ptr, "-0", 2) == 0)
            add_pair(out, field, "0", 1);
        else
            add_pair(out, field, raw.ptr, raw.len);
        return 0;
    }
    if (raw.len > FORM_NUMBER_MAX) return fail(why, "a number in input has too many digits");
    memcpy(text, raw.ptr, raw.len);
    text[raw.len] = '\0';
    print_double(strtod(text, NULL), printed);
    add_pair(out, field, printed, strlen(printed));
    return 0;
}

static int add_string(text_t *out, const field_t *field, span_t raw, char *why) {
    char *text;
    size_t len;
    bool lone;
    int err = json_string(raw, &text, &len, &lone);

    if (err) return err;
    if (lone)
        err = fail(why, "input holds half of a surrogate pair, which UTF-8 cannot carry");
    else
        add_pair(out, field, text, len);
    free(text);
    return err;
}

static int add_keys(text_t *out, const field_t *field, span_t object, char *why);

static int add_scalar(text_t *out, const field_t *field, span_t value, json_kind_t kind, char *why) {
    if (kind == JSON_STRING) return add_string(out, field, value, why);
    if (kind == JSON_NUMBER) return add_number(out, field, value, why);
    if (value.ptr[0] == 't')
        add_pair(out, field, "True", 4);
    else
        add_pair(out, field, "False", 5);
    return 0;
}

static int visit_value(void *ctx, const json_member_t *member) {
    values_t *self = ctx;
    values_t inner = {.out = self->out, .field = self->field, .depth = self->depth + 1, .why = self->why};

    if (self->out->failed) return ERR_NOMEM;
    switch (member->kind) {
    case JSON_NULL:
        if (self->depth > 1) add_pair(self->out, self->field, "None", 4);
        return 0;
    case JSON_ARRAY:
        if (self->depth > 1)
            return fail(self->why, "input nests lists more than twice, which a form cannot carry");
        return json_walk(member->value.ptr, member->value.len, JSON_ARRAY, visit_value, &inner, NULL,
                         self->why);
    case JSON_OBJECT:
        if (self->depth > 1)
            return fail(self->why, "input has an object in a list of a list, which a form cannot carry");
        return add_keys(self->out, self->field, member->value, self->why);
    default:
        return add_scalar(self->out, self->field, member->value, member->kind, self->why);
    }
}

static int add_field(text_t *out, const field_t *field, char *why) {
    values_t values = {.out = out, .field = field, .depth = 1, .why = why};
    char ignored[JSON_WHY_MAX];

    if (field->kind == JSON_NULL) return 0;
    if (field->kind == JSON_ARRAY) {
        int err =
            json_walk(field->value.ptr, field->value.len, JSON_ARRAY, visit_value, &values, NULL, ignored);
        return err;
    }
    if (field->kind == JSON_OBJECT) return add_keys(out, field, field->value, why);
    return add_scalar(out, field, field->value, field->kind, why);
}

static int collect(void *ctx, const json_member_t *member) {
    fields_t *self = ctx;
    field_t *field;
    bool lone;
    int err;

    if (self->count == self->size) {
        size_t size = self->size ? self->size * 2 : 16;
        field_t *grown = realloc(self->items, size * sizeof *grown);
        if (!grown) return ERR_NOMEM;
        self->items = grown;
        self->size = size;
    }
    field = &self->items[self->count];
    *field = (field_t){.order = self->count, .value = member->value, .kind = member->kind};
    err = json_string(member->key, &field->name, &field->name_len, &lone);
    if (err) return err;
    self->count++;
    return lone ? fail(self->why, "input holds half of a surrogate pair, which UTF-8 cannot carry") : 0;
}

static int by_name(const void *a, const void *b) {
    const field_t *left = a, *right = b;
    size_t len = left->name_len < right->name_len ? left->name_len : right->name_len;
    int order = memcmp(left->name, right->name, len);

    if (order == 0 && left->name_len != right->name_len) order = left->name_len < right->name_len ? -1 : 1;
    if (order == 0) order = left->order < right->order ? -1 : 1;
    return order;
}

static int by_order(const void *a, const void *b) {
    const field_t *left = a, *right = b;

    return left->order < right->order ? -1 : 1;
}

/* Of members with one name, the last value stands at the first one's place. */
static void merge(fields_t *self) {
    size_t first = 0;

    if (self->count < 2) return;
    qsort(self->items, self->count, sizeof *self->items, by_name);
    for (size_t i = 1; i < self->count; i++) {
        field_t *head = &self->items[first], *next = &self->items[i];
        if (head->name_len == next->name_len && memcmp(head->name, next->name, head->name_len) == 0) {
            head->value = next->value;
            head->kind = next->kind;
            next->replaced = true;
        } else {
            first = i;
        }
    }
    qsort(self->items, self->count, sizeof *self->items, by_order);
}

static void fields_clear(fields_t *self) {
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i].name);
    free(self->items);
}

static int fields_read(fields_t *self, span_t object) {
    char ignored[JSON_WHY_MAX];
    int err = json_walk(object.ptr, object.len, JSON_OBJECT, collect, self, NULL, ignored);

    if (!err) merge(self);
    return err;
}

/* An object as a value: its keys are the values. */
// NOLINTNEXTLINE(readability-non-const-parameter): it is written through `fields`
static int add_keys(text_t *out, const field_t *field, span_t object, char *why) {
    fields_t fields = {.why = why};
    int err = fields_read(&fields, object);

    for (size_t i = 0; !err && i < fields.count; i++) {
        if (!fields.items[i].replaced) add_pair(out, field, fields.items[i].name, fields.items[i].name_len);
    }
    fields_clear(&fields);
    return err;
}

int form_encode(span_t object, text_t *out, size_t *members, char why[JSON_WHY_MAX]) {
    fields_t fields = {.why = why};
    int err;

    why[0] = '\0';
    err = fields_read(&fields, object);
    for (size_t i = 0; !err && i < fields.count; i++) {
        if (!fields.items[i].replaced) err = add_field(out, &fields.items[i], why);
    }
    if (!err && out->failed) err = ERR_NOMEM;
    if (!err)
        *members = fields.count;
    else if (!why[0])
        (void)snprintf(why, JSON_WHY_MAX, "input cannot be read: %s", err_str(err));
    fields_clear(&fields);
    return err;
}
