/* The executor's parts, as they are wired together: tasks come in by from_broker.c, run in run_task.c, and go
 * back by to_broker.c; slots.c holds them meanwhile and drain.c ends it all. One thread. */
#ifndef SLUICE_EXECUTOR_EXECUTOR_H
#define SLUICE_EXECUTOR_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/absence.h"
#include "common/config.h"
#include "common/http.h"
#include "common/ipv4_hosts.h"
#include "common/link.h"
#include "common/metrics.h"
#include "executor/policy_gate.h"
#include "executor/settings.h"
#include "executor/slots.h"

typedef struct {
    settings_t settings;
    link_t *link;
    absence_t absence; /* of the broker */
    http_t *http;
    slots_t *slots;
    ipv4_hosts_t ipv4_hosts;
    policy_gate_t *policy;
    metrics_t *metrics;      /* NULL for none */
    int64_t now_ms;          /* CLOCK_BOOTTIME, of this turn */
    uint16_t pool_size;      /* slots the broker knows of */
    uint16_t own_pool_size;  /* by this process's configuration; the broker may tell another */
    size_t turn_octets;      /* what all responses may still take and unpack in this turn (response.h) */
    uint32_t resumed;        /* the slot looked at last for a paused transfer */
    uint64_t streams;        /* bodies announced so far */
    int64_t answered_ms;     /* when the broker last told of what came by results-in */
    uint64_t results_sent;   /* RESULTs, repeats not counted */
    uint64_t results_stored; /* the last of these that was answered: what went before it has arrived */
    int64_t shut_ms;         /* since when RESULTs do not go out; 0: they do; below 0: that was told */
    unsigned char *chunk;    /* MSG_CHUNK_MAX octets, or NULL until it is needed */
    uint64_t generation;     /* of the CONFIG applied last */
    bool draining;
    int64_t drain_deadline_ms; /* when what still runs is ended */
    int drain_timeout_ms;
    bool debug_told; /* by the latest CONFIG */
} executor_t;

/* `config` and `key` (NULL for a plain link) are borrowed for the call. ERR_NOMEM, or ERR_INVALID with *why.
 */
int executor_new(const config_t *config, const link_key_t *key, uint64_t instance, uint64_t place,
                 executor_t **self, const char **why);
void executor_destroy(executor_t **self);

/* Runs so many tasks at a time from now on; those under way finish undisturbed. */
void executor_set_slots(executor_t *self, uint16_t slots);

/* Works until a signal in `signal_fd` (SIGTERM, SIGINT) has ended it: the exit status. SIGHUP reads `config`
 * anew. */
int executor_run(executor_t *self, config_t *config, int signal_fd);

#endif
