/* The count of AC requests in the last minute, in buckets of a second. Pure. A unit counts for 61 s after the
 * end of the second in which it was known to be over. */
#ifndef SLUICE_BROKER_RATE_WINDOW_H
#define SLUICE_BROKER_RATE_WINDOW_H

#include <stdint.h>

#define RATE_BUCKETS   64
#define RATE_WINDOW_MS 61000

typedef struct {
    int64_t second[RATE_BUCKETS]; /* boot time in s, by second % RATE_BUCKETS */
    uint32_t units[RATE_BUCKETS];
} rate_window_t;

/* Adds units used no later than now. Returns the bucket that changed. */
int rate_add(rate_window_t *window, int64_t now_ms, uint32_t units);
/* Units that count now. */
uint32_t rate_used(const rate_window_t *window, int64_t now_ms);
/* When the oldest counting units stop to count; INT64_MAX when there are none. */
int64_t rate_next_ms(const rate_window_t *window, int64_t now_ms);
/* Puts back a bucket as the journal has it. */
void rate_restore(rate_window_t *window, int64_t second, uint32_t units);

#endif
