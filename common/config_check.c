/* What belongs together, and where things are by default. */
#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/config_table.h"
#include "common/err.h"
#include "common/key.h"
#include "common/link_wire.h"
#include "common/policy.h"
#include "common/proxy.h"

/* The longest name under runtimeDir: the PUSH of a worker. */
#define LONGEST_SOCKET "/worker-18446744073709551615"

typedef struct {
    config_t *config;
    unsigned program;
    config_told_fn told; /* NULL: the first fault ends it */
    void *ctx;
    char *why;
    int err;
} check_t;

void config_blame(const config_t *config, const char *option, char why[CONFIG_WHY_MAX]) {
    char text[CONFIG_WHY_MAX];
    config_origin_t origin = *config_origin(config, option);
    const char *variable = config_option(option, strlen(option))->environment;
    (void)snprintf(text, sizeof text, "%s", why);
    if (origin.kind == ORIGIN_FILE)
        (void)snprintf(why, CONFIG_WHY_MAX, "%.150s, line %u: %.340s", config->config_file, origin.line,
                       text);
    else if (origin.kind == ORIGIN_ENVIRONMENT && variable)
        (void)snprintf(why, CONFIG_WHY_MAX, "environment variable %s: %.440s", variable, text);
    else if (origin.kind == ORIGIN_ARGUMENT && strncmp(text, option, strlen(option)) == 0)
        (void)snprintf(why, CONFIG_WHY_MAX, "--%.509s", text);
}

/* `why` has been written, of this option, or of none (NULL). */
static void fault(check_t *self, const char *option) {
    if (option) config_blame(self->config, option, self->why);
    if (self->told) self->told(self->ctx, false, self->why);
    self->err = ERR_INVALID;
}

__attribute__((format(printf, 3, 4))) static void say(check_t *self, const char *option, const char *format,
                                                      ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(self->why, CONFIG_WHY_MAX, format, args);
    va_end(args);
    fault(self, option);
}

/* Whether the option is for this program. What another one reads may be readable for that one alone. */
static bool concerns(const check_t *self, const char *option) {
    return (config_option(option, strlen(option))->programs & self->program) != 0;
}

/* --- places --- */

static int set_place(char **field, const char *base, const char *rest) {
    char *path = NULL;
    if (asprintf(&path, "%s%s", base, rest) < 0) return ERR_NOMEM;
    free(*field);
    *field = path;
    return 0;
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : NULL;
}

static int default_state(config_t *config) {
    const char *dir;
    if ((dir = variable("STATE_DIRECTORY"))) return set_place(&config->state_dir, dir, "");
    if (geteuid() == 0) return set_place(&config->state_dir, "/var/lib/sluice", "");
    if ((dir = variable("XDG_STATE_HOME"))) return set_place(&config->state_dir, dir, "/sluice");
    if ((dir = variable("HOME"))) return set_place(&config->state_dir, dir, "/.local/state/sluice");
    return set_place(&config->state_dir, "/var/lib/sluice", "");
}

static int default_runtime(config_t *config) {
    const char *dir;
    char own[64];
    if ((dir = variable("RUNTIME_DIRECTORY"))) return set_place(&config->runtime_dir, dir, "");
    if (geteuid() == 0) return set_place(&config->runtime_dir, "/run/sluice", "");
    if ((dir = variable("XDG_RUNTIME_DIR"))) return set_place(&config->runtime_dir, dir, "/sluice");
    (void)snprintf(own, sizeof own, "/tmp/sluice-%u", (unsigned)geteuid());
    return set_place(&config->runtime_dir, own, "");
}

static void settle_places(check_t *self) {
    config_t *config = self->config;
    int err = config->state_dir[0] ? 0 : default_state(config);
    if (!err && !config->runtime_dir[0]) err = default_runtime(config);
    const char *logs = variable("LOGS_DIRECTORY");
    if (!err && !config->log_dir[0])
        err = set_place(&config->log_dir, logs ? logs : config->state_dir, logs ? "" : "/logs");
    if (!err && !config->lock_dir[0]) err = set_place(&config->lock_dir, config->runtime_dir, "");
    if (!err && !config->keys_dir[0]) err = set_place(&config->keys_dir, config->state_dir, "/keys");
    self->err = err;
    if (!err && strchr(config->index, '/'))
        say(self, "index", "index holds a slash; it is a part of file names, like _prod");
    size_t len = strlen(config->runtime_dir),
           most = sizeof((struct sockaddr_un){0}.sun_path) - sizeof LONGEST_SOCKET;
    if (!self->err && len > most)
        say(self, "runtimeDir",
            "runtimeDir is %zu characters long; socket paths allow %zu: name a shorter one with --runtimeDir",
            len, most);
}

/* --- endpoints --- */

/* Whether it leads off this machine goes to *remote. */
static bool check_endpoint(check_t *self, const char *option, const char *text, int ports, bool *remote) {
    *remote = false;
    if (text[0] == '\0') return true;
    const char *rest = strncmp(text, "tcp://", 6) == 0 ? text + 6 : NULL,
               *colon = rest ? strrchr(rest, ':') : NULL;
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : 0;
    if (!colon || colon == rest || end == colon + 1 || *end != '\0' || port < 1 || port + 8 + ports > 65536) {
        say(self, option,
            "%s is \"%.100s\"; it must be tcp://HOST:PORT with PORT from 1 to %d (PORT + 8 + workerPorts "
            "must "
            "be a port)",
            option, text, 65528 - ports);
        return false;
    }
    *remote = !wire_is_loopback(rest, (size_t)(colon - rest));
    return true;
}

static void refuse_plain(check_t *self, const char *option, const char *text, const char *remedy) {
    say(self, option,
        "%s is \"%.100s\"; plain tcp is allowed on loopback addresses only (127.0.0.0/8, [::1], localhost), "
        "since it is neither encrypted nor authenticated: %s",
        option, text, remedy);
}

/* Off this machine both ends need a key; what is there must be right on loopback as well. */
static void check_bind(check_t *self) {
    const config_t *config = self->config;
    bool remote;
    if (!check_endpoint(self, "bind", config->bind, config->worker_ports, &remote)) return;
    if (!(self->program & (PROGRAM_BROKER | PROGRAM_RUN)) || config->bind[0] == '\0') return;
    key_pair_t key;
    int err = key_load_broker(config, &key, self->why);
    key_wipe(&key, sizeof key);
    if (err == ERR_NOT_FOUND && remote)
        refuse_plain(self, "bind", config->bind,
                     "make the broker's key with `sluice key new NAME --role broker`");
    else if (err && err != ERR_NOT_FOUND)
        fault(self, NULL);
    else if (!err && self->program == PROGRAM_RUN && config->broker[0])
        say(self, "broker",
            "broker is for a plain link here; since the broker has a key, the programs of this machine reach "
            "it by ipc: leave it out");
}

static void check_broker(check_t *self) {
    const config_t *config = self->config;
    bool remote;
    if (!check_endpoint(self, "broker", config->broker, 0, &remote)) return;
    if (self->program == PROGRAM_BROKER || config->broker[0] == '\0') return;
    if (self->program == PROGRAM_RUN && strcmp(config->broker, config->bind) != 0) {
        say(self, "broker",
            "broker is for programs that are started alone: `sluice run` starts its own broker, and --bind "
            "says where that listens");
    } else if (remote && !(self->program & (PROGRAM_EXECUTOR | PROGRAM_TOOL))) {
        refuse_plain(self, "broker", config->broker, "this program belongs on the broker's machine");
    } else if (remote && config->broker_key[0] == '\0') {
        refuse_plain(self, "broker", config->broker,
                     "name the broker's public key with --brokerKey, and this program's own with --key");
    } else if (self->program == PROGRAM_EXECUTOR && (config->key[0] || !config_before_reload(config))) {
        /* a tool that asks the broker nothing needs no key */
        link_key_t key;
        bool found;
        if (key_load_link(config, KEY_EXECUTOR, &key, &found, self->why) != 0)
            fault(self, strncmp(self->why, "brokerKey", 9) == 0 ? "brokerKey" : "key");
        key_wipe(&key, sizeof key);
    }
}

/* --- AC --- */

/* For an error text: nothing of user:password@. */
static const char *without_user(const char *url) {
    const char *at = strrchr(url, '@');
    return at ? at + 1 : url;
}

static void check_url(check_t *self) {
    char *url = self->config->server_url;
    if (!concerns(self, "serverUrl")) return;
    if (url[0] == '\0') {
        if (self->program != PROGRAM_DOCTOR)
            say(self, "serverUrl", "no server URL: give --serverUrl URL or set $server_url");
        return;
    }
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        url[--len] = '\0';
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *query = NULL, *fragment = NULL, *user = NULL;
    bool ok = parts && curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0) &&
              curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_QUERY, &query, 0) != CURLUE_OK &&
              curl_url_get(parts, CURLUPART_FRAGMENT, &fragment, 0) != CURLUE_OK &&
              curl_url_get(parts, CURLUPART_USER, &user, 0) != CURLUE_OK;
    curl_free(scheme);
    curl_free(host);
    curl_free(query);
    curl_free(fragment);
    curl_free(user);
    curl_url_cleanup(parts);
    if (ok) return;
    say(self, "serverUrl",
        "serverUrl is \"%.120s\"; it must be http://HOST or https://HOST, without a user or a query",
        without_user(url));
}

static void check_proxies(check_t *self) {
    const config_t *config = self->config;
    const struct {
        const char *name, *value;
    } proxies[] = {{"inwardProxyHttps", config->inward_proxy_https},
                   {"inwardProxyHttp", config->inward_proxy_http},
                   {"outgoingProxyHttps", config->outgoing_proxy_https},
                   {"outgoingProxyHttp", config->outgoing_proxy_http}};
    for (size_t i = 0; i < sizeof proxies / sizeof proxies[0]; i++) {
        proxy_t proxy;
        const char *complaint;
        int err = proxies[i].value[0] ? proxy_choose(&proxy, proxies[i].value, false, &complaint) : 0;
        if (proxies[i].value[0]) proxy_clear(&proxy);
        if (err)
            say(self, proxies[i].name, "%s is no URL; it must be like http://proxy.example:3128",
                proxies[i].name);
    }
}

/* A file that is named has to be there when the program starts, not when the first request needs it. */
static void check_files(check_t *self) {
    const config_t *config = self->config;
    const struct {
        const char *name, *path;
    } files[] = {{"caBundle", config->ca_bundle},
                 {"toolCaBundle", config->tool_ca_bundle},
                 {"clientCert", config->client_cert},
                 {"clientKey", config->client_key}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i].path[0] == '\0' || !concerns(self, files[i].name) || access(files[i].path, R_OK) == 0)
            continue;
        say(self, files[i].name, "%s: cannot read %.200s: %s", files[i].name, files[i].path, strerror(errno));
    }
    if (config->client_key[0] && !config->client_cert[0] && concerns(self, "clientKey"))
        say(self, "clientKey", "clientKey is given without clientCert; both are needed");
}

/* Mistakes in the rules are found at the start. */
static void check_policy(check_t *self) {
    policy_t *policy = NULL;
    if ((self->program & (PROGRAM_RUN | PROGRAM_EXECUTOR)) &&
        policy_read(config_policy_file(self->config), &policy, self->why) != 0)
        fault(self, NULL);
    policy_release(&policy);
}

int config_settle(config_t *config, unsigned program, config_told_fn told, void *ctx,
                  char why[CONFIG_WHY_MAX]) {
    static void (*const checks[])(check_t * self) = {settle_places, check_url,    check_proxies, check_files,
                                                     check_bind,    check_broker, check_policy};
    check_t self = {.config = config, .program = program, .told = told, .ctx = ctx};
    self.why = why;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (self.err == ERR_NOMEM || (self.err && !told)) return self.err;
        checks[i](&self);
    }
    config->log_json = config->log_format && strcmp(config->log_format, "json") == 0;
    return self.err;
}
