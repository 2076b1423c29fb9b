/*
 * AC's limits as AC sees them: how many requests are in flight, and how many came in the last
 * 60 s. A request is in flight from its headers until its answer is out or its client is gone;
 * with ghosts on, a request whose client is gone counts until it would have ended.
 */
#ifndef MOCK_AC_LIMITS_H
#define MOCK_AC_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "books.h"
#include "loop.h"
#include "settings.h"

typedef struct limits limits_t;
typedef struct flight flight_t;

typedef enum { ADMITTED, REFUSED_CONCURRENT, REFUSED_RATE } admission_t;

/* All arguments are borrowed. */
limits_t *limits_new(loop_t *loop, books_t *books, const settings_t *settings);
void limits_destroy(limits_t **self);

/*
 * Counts a request in, on the socket `fd`. Before it would be one too many, the sockets of the
 * others are asked whether their clients are still there. `retry_after_s` is set for REFUSED_RATE.
 */
flight_t *limits_enter(limits_t *self, int fd, admission_t *admission, int64_t *retry_after_s);

/* Says when a waiting request would end if its client stayed. */
void limits_until(flight_t *flight, int64_t end_us);

/* The client has gone. */
void limits_gone(limits_t *self, flight_t *flight);

/* The request is over; the pointer is set to NULL. */
void limits_leave(limits_t *self, flight_t **flight);

#endif
