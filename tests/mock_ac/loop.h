/*
 * The one loop of the process: epoll for descriptors, a heap for timers, hooks that run once a
 * turn. A turn handles descriptors, then timers, then hooks; it sleeps when nobody asks for
 * another turn and no timer is due.
 */
#ifndef MOCK_AC_LOOP_H
#define MOCK_AC_LOOP_H

#include <stdint.h>

typedef struct loop loop_t;
typedef struct loop_timer loop_timer_t;
typedef struct loop_watch loop_watch_t;

loop_t *loop_new(void); /* NULL when the kernel gives no epoll descriptor */
void loop_destroy(loop_t **self);

/* Monotonic microseconds, read from the clock. */
int64_t loop_now_us(void);

/* Calls `due` once at `due_us`; the timer is gone by then. */
loop_timer_t *loop_at(loop_t *self, int64_t due_us, void (*due)(void *ctx), void *ctx);

/* Forgets the timer and sets the pointer to NULL; NULL is allowed. */
void loop_cancel(loop_t *self, loop_timer_t **timer);

/*
 * Calls `ready` with the epoll events of `fd`. NULL when it cannot be watched. A watch may be
 * ended at any time outside of `ready` callbacks of other watches.
 */
loop_watch_t *loop_watch(loop_t *self, int fd, uint32_t events, void (*ready)(void *ctx, uint32_t events),
                         void *ctx);

/* Ends the watch before its descriptor is closed and sets the pointer to NULL; NULL is allowed. */
void loop_unwatch(loop_t *self, loop_watch_t **watch);

/* Calls `turn` in every turn, in the order of registration. */
void loop_each_turn(loop_t *self, void (*turn)(void *ctx), void *ctx);

/* Makes the next turn start without sleeping. */
void loop_kick(loop_t *self);

/* Turns until loop_stop. */
void loop_run(loop_t *self);
void loop_stop(loop_t *self);

#endif
