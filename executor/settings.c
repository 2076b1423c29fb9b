#include "executor/settings.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"

int settings_init(settings_t *self, const config_t *config, const char **why) {
    int err;

    *self = (settings_t){.verify = config->verify,
                         .upload_to_ac = config->upload_to_ac,
                         .ipv4_fallback = config->ipv4_fallback,
                         .connect_timeout_ms = config->connect_timeout_s * 1000};
    err = trust_choose(&self->trust, config->tool_ca_bundle);
    if (!err) err = proxy_choose(&self->http, config->inward_proxy_http, false, why);
    if (!err) err = proxy_choose(&self->https, config->inward_proxy_https, true, why);
    self->client_cert = strdup(config->client_cert);
    self->client_key = strdup(config->client_key);
    self->state_dir = strdup(config->state_dir);
    if (!err && (!self->client_cert || !self->client_key || !self->state_dir)) err = ERR_NOMEM;
    if (err == ERR_NOMEM) *why = err_str(err);
    if (err) settings_clear(self);
    return err;
}

void settings_clear(settings_t *self) {
    trust_clear(&self->trust);
    free(self->client_cert);
    free(self->client_key);
    free(self->state_dir);
    proxy_clear(&self->http);
    proxy_clear(&self->https);
    *self = (settings_t){0};
}
