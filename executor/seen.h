/* What the executors of a machine have used, for `sluice policy suggest`: lines of "METHOD
 * SCHEME://HOST:PORT/FIRST" in the file `policy-seen` of the state directory, each once a process, and never
 * more than 1 MiB of them. Of the path only the first segment is kept, of the query nothing. */
#ifndef SLUICE_EXECUTOR_SEEN_H
#define SLUICE_EXECUTOR_SEEN_H

#include "executor/request.h"

#define SEEN_FILE      "policy-seen"
#define SEEN_BYTES_MAX (1024L * 1024)
#define SEEN_MAX       4096 /* remembered by a process */

typedef struct seen_t seen_t;

/* NULL when out of memory. */
seen_t *seen_new(const char *state_dir);
void seen_destroy(seen_t **self);
void seen_note(seen_t *self, const request_t *request);

#endif
