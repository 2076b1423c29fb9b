#include "broker/log_limit.h"

static bool is_over(const log_limit_t *self, int64_t now_ms, int64_t window_ms) {
    return self->lines == 0 || now_ms - self->since_ms >= window_ms;
}

bool log_limit_take(log_limit_t *self, int64_t now_ms, unsigned most, int64_t window_ms) {
    if (is_over(self, now_ms, window_ms)) {
        self->since_ms = now_ms;
        self->lines = 0;
    }
    if (self->lines < most) {
        self->lines++;
        return true;
    }
    self->left_out++;
    return false;
}

uint64_t log_limit_left_out(log_limit_t *self, int64_t now_ms, int64_t window_ms) {
    uint64_t left_out = self->left_out;
    if (left_out == 0 || !is_over(self, now_ms, window_ms)) return 0;
    self->left_out = 0;
    return left_out;
}
