/* How long to wait before the next try (AC contract, section 1, "Retry"). Pure: randomness comes as an
 * argument. */
#ifndef SLUICE_BROKER_BACKOFF_H
#define SLUICE_BROKER_BACKOFF_H

#include <stdint.h>

/* A small seeded generator (splitmix64). */
uint64_t random_next(uint64_t *state);
/* Even over 0 ... below - 1; `below` at least 1. */
uint64_t random_below(uint64_t *state, uint64_t below);

/* get-task after `failures` 5xx answers in a row (from 1): 5 s doubling to 600 s. */
int64_t backoff_fetch_ms(uint32_t failures);
/* A result after `tries` failed tries (from 1): 5 s doubling to 120 s, after the fifth to 600 s, plus 0 to 2
 * s. */
int64_t backoff_result_ms(uint32_t tries, uint64_t *random);
/* A closed gate's next probe after `failures` failed ones (from 1): 5 s doubling to 30 s. */
int64_t backoff_probe_ms(uint32_t failures);

#endif
