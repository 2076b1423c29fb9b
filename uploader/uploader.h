/* The uploader's parts, as they are wired together: results come in by from_broker.c and go to AC by
 * post_result.c under credits (common/ac_seat.h). One thread. */
#ifndef SLUICE_UPLOADER_UPLOADER_H
#define SLUICE_UPLOADER_UPLOADER_H

#include <stdint.h>

#include "common/config.h"

typedef struct uploader_t uploader_t;

/* `config` is borrowed for the call; `place` is that of the lock file held, `number` its number from 1, of at
 * most TAKEN_PARTS. NULL with `why`. */
uploader_t *uploader_new(const config_t *config, uint64_t instance, uint64_t place, unsigned number,
                         char why[256]);
/* Accepts NULL; nulls the pointer. */
void uploader_destroy(uploader_t **self);

/* Works until SIGTERM or SIGINT come through `signal_fd` and what they ask is done: the exit status. */
int uploader_run(uploader_t *self, config_t *config, int signal_fd);

#endif
