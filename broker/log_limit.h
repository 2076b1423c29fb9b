/* Keeps what peers do from filling the log: so many lines in a window of time, the rest is counted. Pure. */
#ifndef SLUICE_BROKER_LOG_LIMIT_H
#define SLUICE_BROKER_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t since_ms; /* the window's begin */
    unsigned lines;   /* of this window */
    uint64_t left_out;
} log_limit_t;

/* Whether a line may be written now: the first `most` of each `window_ms` may. */
bool log_limit_take(log_limit_t *self, int64_t now_ms, unsigned most, int64_t window_ms);
/* How many have been left out, once their window is over; then 0 again. */
uint64_t log_limit_left_out(log_limit_t *self, int64_t now_ms, int64_t window_ms);

#endif
