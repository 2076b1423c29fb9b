/* Keeps the programs of an agent running: starts them as children, restarts what dies, drains them in order.
 */
#ifndef SLUICE_CLI_SUPERVISE_H
#define SLUICE_CLI_SUPERVISE_H

#include <stdbool.h>

typedef struct supervisor_t supervisor_t;

/* The order in which a drain ends them: those of a group together, the next group when the former has gone.
 */
typedef enum { GROUP_WORKERS, GROUP_UPLOADER, GROUP_BROKER, GROUP_COUNT } group_t;

typedef struct {
    const char *path; /* of the executable */
    const char *name; /* for the log */
    group_t group;
    bool secret; /* gets the key */
} program_spec_t;

/* `config_fd` and `key_fd` are handed to the children as descriptors 3 and, to those with `secret`, 4 (with
 * --apiKeyFile). The drain ends with SIGKILL `drain_ms` after its beginning. NULL when out of memory. */
supervisor_t *supervisor_new(int config_fd, int key_fd, int drain_ms);
void supervisor_destroy(supervisor_t **self);
/* ERR_FULL. The spec's texts are borrowed. */
int supervisor_add(supervisor_t *self, const program_spec_t *spec);
/* Runs until a drain is complete or a child cannot run. Returns the exit status. */
int supervisor_run(supervisor_t *self);

#endif
