/* The parts of `sluice doctor`, each a hop on the way of a task. They only look: nothing of the agent is
 * changed, no task is taken. */
#ifndef SLUICE_CLI_DOCTOR_H
#define SLUICE_CLI_DOCTOR_H

#include <sys/socket.h>

#include "cli/policy_word.h"
#include "cli/report.h"
#include "common/config.h"

/* doctor_local.c: places, key, broker, workers, gate, journal, disk: what this machine can tell. `config` is
 * as config_load() gave it. Returns whether a broker answers. */
bool doctor_local(report_t *report, const config_t *config);

/* A tool, and the rules on what tasks may call. */
typedef struct {
    url_t url;
    const policy_t *policy;
    const char *file; /* of the rules; "" for none */
    bool learns;
} tool_t;

/* Where a request goes, and how. Texts are borrowed. */
typedef struct {
    const tool_t *tool; /* NULL for AC */
    const char *what;   /* "AC" or "tool", for the texts */
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
/* The policy's word first; what it refuses is not called. Then one HEAD without any of the agent's headers,
 * and what the tool answers. */
void doctor_tool(report_t *report, const target_t *target);

/* doctor_policy.c: whether tasks may call the tool. False when in no way. */
bool doctor_policy(report_t *report, const tool_t *tool, bool by_proxy);
/* Whether an executor would connect there. */
bool doctor_policy_lets_out(const tool_t *tool, const struct sockaddr *to);

/* doctor_ac.c: one upload-url, which takes no task, under a credit of the broker's, or, when no program of
 * the agent runs here, without one; whether AC accepts the key, and its clock. */
void doctor_ac(report_t *report, const config_t *config, bool broker);

#endif
