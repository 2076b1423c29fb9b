/* What the broker's status says of the workers of one role. */
#ifndef SLUICE_CLI_WORKERS_H
#define SLUICE_CLI_WORKERS_H

#include <yajl/yajl_tree.h>

typedef struct {
    unsigned count, silent, slots; /* silent: not heard for three heartbeats */
    const char *silent_name;       /* of one that is not heard, NULL when all are; of the status's memory */
    const char *version;           /* of one that is not of the broker's, NULL when all are; likewise */
} workers_t;

workers_t workers_of(yajl_val status, const char *role);

#endif
