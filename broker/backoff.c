#include "broker/backoff.h"

uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_below(uint64_t *state, uint64_t below) {
    return random_next(state) % below;
}

static int64_t doubling(uint32_t count, int64_t first_ms, int64_t cap_ms) {
    int64_t wait = first_ms;
    for (uint32_t i = 1; i < count && wait < cap_ms; i++)
        wait *= 2;
    return wait < cap_ms ? wait : cap_ms;
}

int64_t backoff_fetch_ms(uint32_t failures) {
    return doubling(failures, 5000, 600000);
}

int64_t backoff_result_ms(uint32_t tries, uint64_t *random) {
    return doubling(tries, 5000, tries > 5 ? 600000 : 120000) + (int64_t)random_below(random, 2001);
}

int64_t backoff_probe_ms(uint32_t failures) {
    return doubling(failures, 5000, 30000);
}
