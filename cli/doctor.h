/* The parts of `sluice doctor`, each a hop on the way of a task. They only look: nothing of the agent is
 * changed, no task is taken. */
#ifndef SLUICE_CLI_DOCTOR_H
#define SLUICE_CLI_DOCTOR_H

#include "cli/report.h"
#include "common/config.h"

/* doctor_local.c: places, key, broker, workers, gate, journal, disk: what this machine can tell. `config` is
 * as config_load() gave it. Returns whether a broker answers. */
bool doctor_local(report_t *report, const config_t *config);

/* Where a request goes, and how. Texts are borrowed. */
typedef struct {
    const char *what; /* "AC" or "tool", for the texts */
    const char *url;
    const char *proxy_http, *proxy_https, *ca_bundle, *client_cert, *client_key;
    const char *proxy_option; /* "outgoing" or "inward" */
    const char *ca_option;    /* "caBundle" or "toolCaBundle" */
    int connect_timeout_s;
    bool verify, ipv4_fallback;
} target_t;

/* doctor_net.c: name lookup, proxy, connection and TLS chain up to, but without, a request. Returns whether
 * the target can be reached. */
bool doctor_net(report_t *report, const target_t *target);
/* Then one HEAD without any of the agent's headers, and what the tool answers. */
void doctor_tool(report_t *report, const target_t *target);

/* doctor_ac.c: one upload-url, which takes no task, under a credit of the broker's, or, when no program of
 * the agent runs here, without one; whether AC accepts the key, and its clock. */
void doctor_ac(report_t *report, const config_t *config, bool broker);

#endif
