/* get-task: when the fetcher asks AC, and what it makes of the answers. It never sleeps between polls: it
 * wants the fetch credit, polls while the credit lasts, gives it back before it waits for anything, and
 * leaves it to the broker's gate when the next credit comes. */
#ifndef SLUICE_FETCHER_POLL_AC_H
#define SLUICE_FETCHER_POLL_AC_H

#include <stdbool.h>

#include "common/ac_seat.h"
#include "common/metrics.h"
#include "fetcher/to_broker.h"

typedef struct poll_ac_t poll_ac_t;

/* All are borrowed; `metrics` may be NULL. NULL when out of memory. */
poll_ac_t *poll_ac_new(ac_seat_t *seat, const ac_door_t *door, link_t *link, to_broker_t *to_broker,
                       metrics_t *metrics);
/* Accepts NULL; nulls the pointer. The seat must be destroyed before. */
void poll_ac_destroy(poll_ac_t **self);

/* No new poll while stopped; the one under way is finished. */
void poll_ac_stop(poll_ac_t *self, bool stopped);
/* Wants, polls or gives back, as things stand. */
void poll_ac_turn(poll_ac_t *self, int64_t now_ms);
/* No poll under way and no credit held. */
bool poll_ac_idle(const poll_ac_t *self);

#endif
