#include "common/absence.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"

#define FIRST_MS   5000
#define AT_MOST_MS 3600000

void absence_init(absence_t *self, const char *endpoint) {
    *self = (absence_t){.since_ms = 0};
    (void)snprintf(self->endpoint, sizeof self->endpoint, "%s", endpoint);
}

int64_t absence_turn(absence_t *self, bool in_session, int64_t now_ms) {
    if (in_session) {
        self->since_ms = self->told_ms = 0;
        return 0;
    }
    if (self->since_ms == 0) self->since_ms = now_ms;
    int64_t for_ms = now_ms - self->since_ms;
    int64_t pause_ms = self->told_ms < AT_MOST_MS ? self->told_ms : AT_MOST_MS;
    if (for_ms < FIRST_MS || for_ms < self->told_ms + pause_ms) return 0;
    self->told_ms = for_ms;
    return for_ms / 1000;
}

void absence_tell(absence_t *self, bool in_session, int64_t now_ms) {
    int64_t away_s = absence_turn(self, in_session, now_ms);
    if (away_s > 0) log_warn("no_broker", "endpoint=%s for_s=%" PRId64, self->endpoint, away_s);
}
