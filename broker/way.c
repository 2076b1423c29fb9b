#include "broker/way.h"

#include "common/messages.h"

uint64_t way_send(way_t *self, uint64_t octets) {
    return self->sent += octets;
}

void way_came(way_t *self, uint64_t mark, int64_t now_ms) {
    if (mark > self->come) self->come = mark;
    self->come_ms = now_ms;
}

bool way_is_past(const way_t *self, uint64_t mark) {
    return mark <= self->come;
}

int64_t way_due_ms(const way_t *self, uint64_t mark, int64_t sent_ms) {
    if (way_is_past(self, mark)) return sent_ms + PROTOCOL_CLAIM_MS;
    int64_t from_ms = self->come_ms > sent_ms ? self->come_ms : sent_ms;
    return from_ms + PROTOCOL_CLAIM_MS + (int64_t)((mark - self->come) / WAY_SLOW) * 1000;
}

void way_give_up(way_t *self) {
    self->come = self->sent;
}

bool way_has_room(const way_t *self) {
    return self->sent - self->come < WAY_MOST;
}
