/* How often a loop may turn under load. A wake-up of a thread costs more than a message, so a loop that is
 * busy lets what comes within a moment collect, and takes it together. A loop with little to do never waits:
 * a few turns in a row are free. Pure but for pace_turn(); the loop of the broker and of an executor. */
#ifndef SLUICE_COMMON_PACE_H
#define SLUICE_COMMON_PACE_H

#include <stdint.h>

/* All zero but `every_us` and `free_turns` is a loop that has not turned yet. */
typedef struct {
    int64_t every_us;   /* between two turns under load */
    int64_t free_turns; /* that may follow one another without waiting */
    int64_t due_us;     /* of a turn without free ones */
} pace_t;

/* Microseconds to wait before a turn at `now_us`, which it then counts. */
int64_t pace_wait_us(pace_t *self, int64_t now_us);

/* Sleeps as long as the next turn has to wait. */
void pace_turn(pace_t *self);

#endif
