/* How long a worker has had no session with its broker, and when that is worth a line of the log: after 5 s,
 * and then each time it has lasted twice as long, at least once in an hour. */
#ifndef SLUICE_COMMON_ABSENCE_H
#define SLUICE_COMMON_ABSENCE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    char endpoint[512];        /* the broker's, for the log */
    int64_t since_ms, told_ms; /* 0: it is there; how long it had lasted when it was told */
} absence_t;

void absence_init(absence_t *self, const char *endpoint);
/* The seconds to tell of, 0 for nothing; to be called once in a second or oftener. */
int64_t absence_turn(absence_t *self, bool in_session, int64_t now_ms);
/* The same, told in the log. */
void absence_tell(absence_t *self, bool in_session, int64_t now_ms);

#endif
