#include "broker/rate_window.h"

static int64_t ends_ms(const rate_window_t *window, int i) {
    return (window->second[i] + 1) * 1000 + RATE_WINDOW_MS;
}

int rate_add(rate_window_t *window, int64_t now_ms, uint32_t units) {
    int64_t second = now_ms / 1000;
    int i = (int)(second % RATE_BUCKETS);
    if (window->second[i] != second) {
        window->second[i] = second;
        window->units[i] = 0;
    }
    window->units[i] += units;
    return i;
}

uint32_t rate_used(const rate_window_t *window, int64_t now_ms) {
    uint32_t used = 0;
    for (int i = 0; i < RATE_BUCKETS; i++)
        if (window->units[i] && now_ms < ends_ms(window, i)) used += window->units[i];
    return used;
}

int64_t rate_next_ms(const rate_window_t *window, int64_t now_ms) {
    int64_t next = INT64_MAX;
    for (int i = 0; i < RATE_BUCKETS; i++)
        if (window->units[i] && now_ms < ends_ms(window, i) && ends_ms(window, i) < next)
            next = ends_ms(window, i);
    return next;
}

void rate_restore(rate_window_t *window, int64_t second, uint32_t units) {
    if (second < 0) return;
    int i = (int)(second % RATE_BUCKETS);
    if (window->second[i] == second) {
        window->units[i] += units;
    } else if (window->second[i] < second || window->units[i] == 0) {
        window->second[i] = second;
        window->units[i] = units;
    }
}
