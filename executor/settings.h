/* What holds for every request to a tool: TLS, proxies, time-outs. Made from the configuration and the
 * environment at the start; CONFIG messages change `verify`. */
#ifndef SLUICE_EXECUTOR_SETTINGS_H
#define SLUICE_EXECUTOR_SETTINGS_H

#include <stdbool.h>

#include "common/config.h"

/* The proxy for one scheme. */
typedef struct {
    char *url;      /* "" for none */
    char *no_proxy; /* hosts that go without it, in curl's notation; "" for none */
} proxy_t;

typedef struct {
    bool verify;
    char *ca_file, *ca_dir; /* "" for the system's own; at most one is set */
    char *client_cert, *client_key;
    proxy_t http, https;
    int connect_timeout_ms;
} settings_t;

/* ERR_NOMEM. */
int settings_init(settings_t *self, const config_t *config);
void settings_clear(settings_t *self);

#endif
