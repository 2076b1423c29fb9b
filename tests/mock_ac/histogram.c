#include "histogram.h"

/* Values below 8 have a bucket each; above, every power of two is cut into 8. */
static int bucket_of(int64_t value) {
    if (value < 8) return value < 0 ? 0 : (int)value;
    int power = 63 - __builtin_clzll((unsigned long long)value);
    return (power - 2) * 8 + (int)((value >> (power - 3)) & 7);
}

static int64_t bucket_start(int bucket) {
    if (bucket < 8) return bucket;
    int power = bucket / 8 + 2;
    return (INT64_C(8) + bucket % 8) << (power - 3);
}

void histogram_add(histogram_t *self, int64_t value_us) {
    self->counts[bucket_of(value_us)]++;
    self->count++;
    if (value_us > self->max_us) self->max_us = value_us;
}

int64_t histogram_quantile(const histogram_t *self, double share) {
    double wanted = share * (double)self->count;
    int64_t seen = 0;
    for (int bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += self->counts[bucket];
        if (seen && (double)seen >= wanted) return bucket_start(bucket);
    }
    return 0;
}
