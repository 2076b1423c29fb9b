#include "broker/trail.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX  200
#define ENTRY_MAX 512  /* of an entry, written */
#define HEAD_KEPT 1024 /* the beginning stays when the middle goes */
#define GONE_STEP 1024

enum { HAS_A = 1, HAS_B = 2, HAS_C = 4, HAS_TEXT = 8, HAS_WORKER = 16 };

static const unsigned char parts[TRAIL_KINDS] = {
    [TRAIL_PUSHED] = HAS_A | HAS_WORKER,
    [TRAIL_KEPT] = HAS_WORKER,
    [TRAIL_LOST] = HAS_TEXT,
    [TRAIL_RESULT] = HAS_A | HAS_B | HAS_C,
    [TRAIL_FAILED] = HAS_TEXT,
    [TRAIL_TRY] = HAS_A | HAS_B | HAS_C | HAS_TEXT,
    [TRAIL_BURIED] = HAS_TEXT,
    [TRAIL_DELIVERED] = HAS_A | HAS_B,
    [TRAIL_DROPPED] = HAS_TEXT,
    [TRAIL_OMITTED] = HAS_A,
    [TRAIL_NOT_DONE] = HAS_A | HAS_TEXT,
    [TRAIL_UNCLAIMED] = HAS_TEXT,
};

/* --- numbers of 7 bits an octet, the lowest first --- */

static size_t put_number(unsigned char *out, uint64_t value) {
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        out[n++] = (unsigned char)(value | 0x80);
    out[n++] = (unsigned char)value;
    return n;
}

static bool get_number(const unsigned char *bytes, size_t len, size_t *at, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < len; shift += 7) {
        unsigned char octet = bytes[(*at)++];
        *value |= (uint64_t)(octet & 0x7f) << shift;
        if (octet < 0x80) return true;
    }
    return false;
}

static size_t put_text(unsigned char *out, str_t text) {
    unsigned len = text.len < TEXT_MAX ? text.len : TEXT_MAX;
    size_t n = put_number(out, len);
    if (len > 0) memcpy(out + n, text.ptr, len);
    return n + len;
}

static bool get_text(const unsigned char *bytes, size_t len, size_t *at, str_t *text) {
    uint64_t size;
    if (!get_number(bytes, len, at, &size) || size > TEXT_MAX || size > len - *at) return false;
    *text = (str_t){(const char *)bytes + *at, (uint32_t)size};
    *at += (size_t)size;
    return true;
}

/* A time before or after the base: small numbers either way. */
static uint64_t fold(int64_t ms) {
    return ms < 0 ? ~((uint64_t)ms << 1) : (uint64_t)ms << 1;
}

static int64_t unfold(uint64_t value) {
    return (int64_t)(value & 1 ? ~(value >> 1) : value >> 1);
}

/* --- entries --- */

static size_t write_entry(unsigned char *out, int64_t base_ms, const trail_entry_t *entry) {
    unsigned has = parts[entry->kind];
    size_t n = 0;
    out[n++] = (unsigned char)entry->kind;
    n += put_number(out + n, fold((int64_t)((uint64_t)entry->at_wall_ms - (uint64_t)base_ms)));
    if (has & HAS_A) n += put_number(out + n, entry->a);
    if (has & HAS_B) n += put_number(out + n, entry->b);
    if (has & HAS_C) n += put_number(out + n, entry->c);
    if (has & (HAS_TEXT | HAS_WORKER)) n += put_text(out + n, entry->text);
    if (has & HAS_WORKER) {
        n += put_number(out + n, entry->pid);
        n += put_text(out + n, entry->host);
    }
    return n;
}

bool trail_next(const void *bytes, size_t len, int64_t base_ms, size_t *at, trail_entry_t *entry) {
    const unsigned char *in = bytes;
    size_t next = *at;
    if (next >= len || in[next] == 0 || in[next] >= TRAIL_KINDS) return false;
    *entry = (trail_entry_t){.kind = (trail_kind_t)in[next++]};
    unsigned has = parts[entry->kind];
    uint64_t when;
    if (!get_number(in, len, &next, &when)) return false;
    entry->at_wall_ms = (int64_t)((uint64_t)base_ms + (uint64_t)unfold(when));
    if ((has & HAS_A) && !get_number(in, len, &next, &entry->a)) return false;
    if ((has & HAS_B) && !get_number(in, len, &next, &entry->b)) return false;
    if ((has & HAS_C) && !get_number(in, len, &next, &entry->c)) return false;
    if ((has & (HAS_TEXT | HAS_WORKER)) && !get_text(in, len, &next, &entry->text)) return false;
    if ((has & HAS_WORKER) &&
        (!get_number(in, len, &next, &entry->pid) || !get_text(in, len, &next, &entry->host)))
        return false;
    *at = next;
    return true;
}

/* --- the whole --- */

/* Leaves out entries behind the head; those left out before count along. */
static void shorten(trail_t *self, int64_t base_ms) {
    unsigned char mark[ENTRY_MAX];
    trail_entry_t entry, omitted = {.kind = TRAIL_OMITTED};
    size_t at = 0, from = 0;
    while (at < HEAD_KEPT && trail_next(self->bytes, self->len, base_ms, &at, &entry)) {
        if (entry.kind == TRAIL_OMITTED) break;
        from = at;
    }
    at = from;
    while (at < from + GONE_STEP && trail_next(self->bytes, self->len, base_ms, &at, &entry)) {
        omitted.a += entry.kind == TRAIL_OMITTED ? entry.a : 1;
        omitted.at_wall_ms = entry.at_wall_ms;
    }
    size_t size = write_entry(mark, base_ms, &omitted);
    if (from + size > at) return;
    memcpy(self->bytes + from, mark, size);
    memmove(self->bytes + from + size, self->bytes + at, self->len - at);
    self->len -= (uint32_t)(at - from - size);
}

static bool make_room(trail_t *self, size_t more) {
    if (self->len + more <= self->size) return true;
    size_t size = self->size ? (size_t)self->size * 2 : 192;
    while (size < self->len + more)
        size *= 2;
    unsigned char *grown = realloc(self->bytes, size);
    if (!grown) return false;
    self->bytes = grown;
    self->size = (uint32_t)size;
    return true;
}

void trail_add(trail_t *self, int64_t base_ms, const trail_entry_t *entry) {
    unsigned char written[ENTRY_MAX];
    size_t size = write_entry(written, base_ms, entry);
    if (self->len + size > TRAIL_MAX) shorten(self, base_ms);
    if (self->len + size > TRAIL_MAX || !make_room(self, size)) return;
    memcpy(self->bytes + self->len, written, size);
    self->len += (uint32_t)size;
    self->unwritten = true;
}

void trail_load(trail_t *self, const void *bytes, size_t len) {
    trail_entry_t entry;
    size_t sound = 0;
    if (len > TRAIL_MAX) return;
    while (trail_next(bytes, len, 0, &sound, &entry))
        continue;
    if (sound == 0 || !make_room(self, sound)) return;
    memcpy(self->bytes, bytes, sound);
    self->len = (uint32_t)sound;
}

void trail_clear(trail_t *self) {
    free(self->bytes);
    *self = (trail_t){0};
}
