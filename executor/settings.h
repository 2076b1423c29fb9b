/* What holds for every request to a tool: TLS, proxies, time-outs. Made from the configuration and the
 * environment at the start; CONFIG messages change `verify`. */
#ifndef SLUICE_EXECUTOR_SETTINGS_H
#define SLUICE_EXECUTOR_SETTINGS_H

#include <stdbool.h>

#include "common/config.h"
#include "common/proxy.h"
#include "common/trust.h"

typedef struct {
    bool verify;
    bool upload_to_ac; /* large bodies: compressed for AC, or as they are for a store */
    char *state_dir;   /* one of the places for large bodies */
    bool ipv4_fallback;
    trust_t trust;
    char *client_cert, *client_key;
    proxy_t http, https;
    int connect_timeout_ms;
} settings_t;

/* ERR_INVALID: a proxy that is none; ERR_NOMEM; *why is then a constant text. */
int settings_init(settings_t *self, const config_t *config, const char **why);
void settings_clear(settings_t *self);

#endif
