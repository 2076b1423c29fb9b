/* Durations in buckets that are at most an eighth wide: quantiles of any number of them in 4 KiB. */
#ifndef MOCK_AC_HISTOGRAM_H
#define MOCK_AC_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 512

/* All zero is empty. */
typedef struct {
    int64_t counts[HISTOGRAM_BUCKETS];
    int64_t count;
    int64_t max_us;
} histogram_t;

void histogram_add(histogram_t *self, int64_t value_us);

/* The lower bound of the bucket where `share` (0 to 1) of all values is reached; 0 when empty. */
int64_t histogram_quantile(const histogram_t *self, double share);

#endif
