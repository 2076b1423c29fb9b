/* The dead man's switch behind an AC credit: a kernel timer that kills this process at the end of the lease,
 * so that a stopped or wedged holder loses its connection in time. One for each lease; armed exactly while a
 * credit is held. */
#ifndef SLUICE_COMMON_DEAD_MAN_H
#define SLUICE_COMMON_DEAD_MAN_H

#include <stdint.h>

typedef struct dead_man_t dead_man_t;

/* Disarmed. NULL when the kernel has no timer for us (errno tells). */
dead_man_t *dead_man_new(void);
/* Disarms. Accepts NULL; nulls the pointer. */
void dead_man_destroy(dead_man_t **self);

/* SIGKILL to this process at `deadline_ms` of CLOCK_BOOTTIME, which replaces an earlier deadline; at once
 * when it has passed. ERR_IO: not armed, so that nothing may be done that the switch is to end. */
int dead_man_arm(dead_man_t *self, int64_t deadline_ms);
void dead_man_disarm(dead_man_t *self);

#endif
