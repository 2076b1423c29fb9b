#include "settings.h"

#include <string.h>

#define DELAY_MAX_MS 86400000

settings_t settings_default(void) {
    return (settings_t){.ac_max_concurrent = 2};
}

/* What the value should have been, or NULL when it was taken. */
static const char *set(settings_t *self, const char *name, const char *value, bool *known) {
    *known = true;
    if (strcmp(name, "longPollMs") == 0)
        return range_parse(value, DELAY_MAX_MS, &self->long_poll_ms) ? NULL : "N or A-B in milliseconds";
    if (strcmp(name, "acDelayMs") == 0)
        return number_parse(value, 0, DELAY_MAX_MS, &self->ac_delay_ms) ? NULL : "milliseconds";
    if (strcmp(name, "acMaxConcurrent") == 0)
        return number_parse(value, 1, INT32_MAX, &self->ac_max_concurrent) ? NULL : "a number from 1";
    if (strcmp(name, "acRateLimit") == 0)
        return number_parse(value, 0, INT32_MAX, &self->ac_rate_limit)
                   ? NULL
                   : "requests per minute, 0 for no limit";
    if (strcmp(name, "ghosts") == 0) return bool_parse(value, &self->ghosts) ? NULL : "true or false";
    if (strcmp(name, "paused") == 0) return bool_parse(value, &self->paused) ? NULL : "true or false";
    *known = false;
    return NULL;
}

bool settings_set(settings_t *self, const char *name, const char *value, bool *known, buf_t *error) {
    const char *right = set(self, name, value, known);
    if (right) buf_printf(error, "%s \"%s\" should be %s", name, value, right);
    return !right;
}
