#include "executor/settings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/err.h"

/* A variable of the environment, its lower-case name before the upper-case one; "" for none. */
static const char *environment(const char *name) {
    char upper[32];
    const char *value = getenv(name);
    size_t len = strlen(name);

    if (value || len >= sizeof upper) return value ? value : "";
    for (size_t i = 0; i <= len; i++)
        upper[i] = (char)toupper((unsigned char)name[i]);
    value = getenv(upper);
    return value ? value : "";
}

/* A proxy that was given ignores no_proxy; without one the environment applies. */
static int choose_proxy(proxy_t *proxy, const char *given, const char *variable) {
    const char *url = given, *no_proxy = "";

    if (!given[0]) {
        url = environment(variable);
        if (!url[0]) url = environment("all_proxy");
        no_proxy = environment("no_proxy");
    }
    proxy->url = strdup(url);
    proxy->no_proxy = strdup(no_proxy);
    return proxy->url && proxy->no_proxy ? 0 : ERR_NOMEM;
}

static const char *variable(const char *name) {
    const char *value = getenv(name);

    return value ? value : "";
}

static int choose_ca(settings_t *self, const char *given) {
    const char *path = given;
    struct stat status;
    bool directory;

    if (!path[0]) path = variable("REQUESTS_CA_BUNDLE");
    if (!path[0]) path = variable("CURL_CA_BUNDLE");
    directory = path[0] && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    self->ca_file = strdup(directory ? "" : path);
    self->ca_dir = strdup(directory ? path : "");
    return self->ca_file && self->ca_dir ? 0 : ERR_NOMEM;
}

int settings_init(settings_t *self, const config_t *config) {
    int err;

    *self = (settings_t){.verify = config->verify, .connect_timeout_ms = config->connect_timeout_s * 1000};
    err = choose_ca(self, config->tool_ca_bundle);
    if (!err) err = choose_proxy(&self->http, config->inward_proxy_http, "http_proxy");
    if (!err) err = choose_proxy(&self->https, config->inward_proxy_https, "https_proxy");
    self->client_cert = strdup(config->client_cert);
    self->client_key = strdup(config->client_key);
    if (!err && (!self->client_cert || !self->client_key)) err = ERR_NOMEM;
    if (err) settings_clear(self);
    return err;
}

void settings_clear(settings_t *self) {
    free(self->ca_file);
    free(self->ca_dir);
    free(self->client_cert);
    free(self->client_key);
    free(self->http.url);
    free(self->http.no_proxy);
    free(self->https.url);
    free(self->https.no_proxy);
    *self = (settings_t){0};
}
