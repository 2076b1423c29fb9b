#include "common/pace.h"

#include <time.h>

#include "common/clock.h"

/* The generic cell rate algorithm (ITU-T I.371). */
int64_t pace_wait_us(pace_t *self, int64_t now_us) {
    int64_t ahead_us, wait_us;
    if (self->due_us < now_us) self->due_us = now_us;
    ahead_us = self->due_us - now_us;
    wait_us = ahead_us - self->free_turns * self->every_us;
    self->due_us += self->every_us;
    return wait_us > 0 ? wait_us : 0;
}

void pace_turn(pace_t *self) {
    int64_t wait_us = pace_wait_us(self, clock_monotonic_us());
    if (wait_us <= 0) return;
    struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    (void)nanosleep(&wait, NULL);
}
