/* The fetcher's parts, as they are wired together: poll_ac.c asks AC under a credit (common/ac_seat.h),
 * to_broker.c hands the tasks on and keeps them, in inbox.c on disk, until the broker has them. One thread.
 */
#ifndef SLUICE_FETCHER_FETCHER_H
#define SLUICE_FETCHER_FETCHER_H

#include <stdint.h>

#include "common/config.h"

typedef struct fetcher_t fetcher_t;

/* `config` is borrowed for the call; `place` is that of the lock file held. Reads the inbox back. NULL with
 * `why`. */
fetcher_t *fetcher_new(const config_t *config, uint64_t instance, uint64_t place, char why[256]);
/* Accepts NULL; nulls the pointer. */
void fetcher_destroy(fetcher_t **self);

/* Works until SIGTERM or SIGINT come through `signal_fd` and what they ask is done: the exit status. */
int fetcher_run(fetcher_t *self, config_t *config, int signal_fd);

#endif
