#include "broker/flow.h"

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

void flow_begin(flow_t *self, int64_t now_ms) {
    *self = (flow_t){.window = FLOW_BEGIN,
                     .fastest_ms = FLOW_GROWS_MS,
                     .narrowed_ms = now_ms,
                     .heard_ms = now_ms,
                     .chunk_ms = now_ms};
}

void flow_heard(flow_t *self, int64_t now_ms) {
    self->heard_ms = now_ms;
}

/* To what comes within FLOW_GROWS_MS at this speed; once for all that was under way. */
static void narrow(flow_t *self, int64_t given_ms, int64_t took_ms, int64_t now_ms) {
    if (given_ms < self->narrowed_ms) return;
    self->narrowed_ms = now_ms;
    uint64_t chunks = self->window / FLOW_CHUNK * FLOW_GROWS_MS / (uint64_t)took_ms;
    self->window = (chunks > 1 ? chunks : 1) * FLOW_CHUNK;
}

void flow_arrived(flow_t *self, int64_t given_ms, bool full, int64_t now_ms) {
    int64_t took_ms = later(now_ms - given_ms, 0);
    self->heard_ms = self->chunk_ms = now_ms;
    self->come_ms = later(self->come_ms, given_ms);
    if (took_ms < self->fastest_ms) self->fastest_ms = took_ms;
    took_ms -= self->fastest_ms;
    if (took_ms >= FLOW_SLOW_MS)
        narrow(self, given_ms, took_ms, now_ms);
    else if (took_ms < FLOW_GROWS_MS && full && self->window < FLOW_MOST)
        self->window += FLOW_CHUNK;
}

uint64_t flow_step(const flow_t *self) {
    return self->window < FLOW_WIDE ? FLOW_CHUNK : 2 * FLOW_CHUNK;
}

bool flow_lost(const flow_t *self, int64_t given_ms, int64_t now_ms) {
    return now_ms - later(self->heard_ms, given_ms) > FLOW_STALL_MS ||
           now_ms - later(self->chunk_ms, given_ms) > FLOW_ALONE_MS ||
           self->come_ms - given_ms > FLOW_PASS_MS;
}
