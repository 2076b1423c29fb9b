/* The way of TASKs to one worker: a pipe that carries them in order, so that what says that one has come says
 * so of those before it, and one waits behind them. A task cannot be judged by itself: on a slow way it is
 * late through no fault of the worker. No I/O; times are CLOCK_BOOTTIME. */
#ifndef SLUICE_BROKER_WAY_H
#define SLUICE_BROKER_WAY_H

#include <stdbool.h>
#include <stdint.h>

#define WAY_MOST   ((uint64_t)262144) /* octets under way: no more is sent after them */
#define WAY_SLOW   ((uint64_t)64000)  /* octets a second of a way that is still waited for */
#define WAY_HEADER ((uint64_t)128)    /* of a TASK, about; with its taskId */

typedef struct {
    uint64_t sent;   /* octets so far */
    uint64_t come;   /* of these, as far as is known */
    int64_t come_ms; /* when anything was known to have come */
} way_t;

/* Returns how far the way reaches with these octets: the mark of what was sent. */
uint64_t way_send(way_t *self, uint64_t octets);
/* Something has come; all up to the mark has. 0 for what was sent long ago. */
void way_came(way_t *self, uint64_t mark, int64_t now_ms);
/* Until when what was sent is waited for: PROTOCOL_CLAIM_MS after the latest that came, or after it was sent,
 * and the time of what is before it and its own. What later ones have passed has that from its sending alone.
 */
int64_t way_due_ms(const way_t *self, uint64_t mark, int64_t sent_ms);
/* Whether what was sent later has come before it, or the way was given up: it will not come. */
bool way_is_past(const way_t *self, uint64_t mark);
/* What is under way is not waited for any more. */
void way_give_up(way_t *self);
bool way_has_room(const way_t *self);

#endif
