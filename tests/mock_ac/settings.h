/* What can be changed while the mock runs, by option at the start and by /_control/config later. */
#ifndef MOCK_AC_SETTINGS_H
#define MOCK_AC_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

typedef struct {
    range_t long_poll_ms; /* 0-0: an idle get-task is answered at once */
    int64_t ac_delay_ms;
    int64_t ac_max_concurrent;
    int64_t ac_rate_limit; /* requests per 60 s; 0: none */
    bool ghosts;
    bool paused; /* no task is handed out */
} settings_t;

settings_t settings_default(void);

/*
 * Sets the one with this option name ("longPollMs"). False with the reason appended to `error`
 * for a bad value. An unknown name leaves `*known` false.
 */
bool settings_set(settings_t *self, const char *name, const char *value, bool *known, buf_t *error);

#endif
