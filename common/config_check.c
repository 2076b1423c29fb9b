/* What belongs together, and where things are by default. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/config_table.h"
#include "common/err.h"
#include "common/key.h"
#include "common/policy.h"
#include "common/proxy.h"

#define KEY_MAX 8192
/* The longest name under runtimeDir: the PUSH of a worker. */
#define LONGEST_SOCKET "/worker-18446744073709551615"

static int fail(char *why, const char *text) {
    (void)snprintf(why, CONFIG_WHY_MAX, "%s", text);
    return ERR_INVALID;
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

static int settle_places(config_t *config, char *why) {
    int err = config->state_dir[0] ? 0 : default_state(config);
    if (!err && !config->runtime_dir[0]) err = default_runtime(config);
    const char *logs = variable("LOGS_DIRECTORY");
    if (!err && !config->log_dir[0])
        err = set_place(&config->log_dir, logs ? logs : config->state_dir, logs ? "" : "/logs");
    if (!err && !config->lock_dir[0]) err = set_place(&config->lock_dir, config->runtime_dir, "");
    if (!err && !config->keys_dir[0]) err = set_place(&config->keys_dir, config->state_dir, "/keys");
    if (err) return err;
    if (strchr(config->index, '/'))
        return fail(why, "index holds a slash; it is a part of file names, like _prod");
    size_t most = sizeof((struct sockaddr_un){0}.sun_path) - sizeof LONGEST_SOCKET;
    if (strlen(config->runtime_dir) <= most) return 0;
    (void)snprintf(
        why, CONFIG_WHY_MAX,
        "runtimeDir is %zu characters long; socket paths allow %zu: name a shorter one with --runtimeDir",
        strlen(config->runtime_dir), most);
    return ERR_INVALID;
}

/* --- endpoints --- */

static bool loopback(const char *host, size_t len) {
    char name[64];
    if (len >= sizeof name) return false;
    memcpy(name, host, len);
    name[len] = '\0';
    struct in_addr v4;
    if (inet_pton(AF_INET, name, &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    return strcmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0;
}

/* Whether it leads off this machine goes to *remote. */
static int check_endpoint(const char *option, const char *text, int ports, bool *remote, char *why) {
    *remote = false;
    if (text[0] == '\0') return 0;
    const char *rest = strncmp(text, "tcp://", 6) == 0 ? text + 6 : NULL,
               *colon = rest ? strrchr(rest, ':') : NULL;
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : 0;
    if (!colon || colon == rest || end == colon + 1 || *end != '\0' || port < 1 || port + 8 + ports > 65536) {
        (void)snprintf(
            why, CONFIG_WHY_MAX,
            "%s is \"%.100s\"; it must be tcp://HOST:PORT with PORT from 1 to %d (PORT + 8 + workerPorts"
            " must be a port)",
            option, text, 65528 - ports);
        return ERR_INVALID;
    }
    *remote = !loopback(rest, (size_t)(colon - rest));
    return 0;
}

static int refuse_plain(const char *option, const char *text, const char *remedy, char *why) {
    (void)snprintf(why, CONFIG_WHY_MAX,
                   "%s is \"%.100s\"; plain tcp is allowed on loopback addresses only (127.0.0.0/8, [::1], "
                   "localhost), since it is "
                   "neither encrypted nor authenticated: %s",
                   option, text, remedy);
    return ERR_INVALID;
}

/* Off this machine both ends need a key; what is there must be right on loopback as well. */
static int check_links(const config_t *config, unsigned program, char *why) {
    bool bind_remote, broker_remote;
    int err = check_endpoint("bind", config->bind, config->worker_ports, &bind_remote, why);
    if (!err) err = check_endpoint("broker", config->broker, 0, &broker_remote, why);
    if (!err && (program & (PROGRAM_BROKER | PROGRAM_RUN)) && config->bind[0]) {
        key_pair_t key;
        err = key_load_broker(config, &key, why);
        key_wipe(&key, sizeof key);
        if (err == ERR_NOT_FOUND)
            err = bind_remote
                      ? refuse_plain("bind", config->bind,
                                     "make the broker's key with `sluice key new NAME --role broker`", why)
                      : 0;
        else if (!err && program == PROGRAM_RUN && config->broker[0])
            err =
                fail(why, "broker is for a plain link here; since the broker has a key, the programs of this "
                          "machine reach it by ipc: leave it out");
    }
    if (err || program == PROGRAM_BROKER || config->broker[0] == '\0') return err ? ERR_INVALID : 0;
    if (broker_remote && !(program & (PROGRAM_EXECUTOR | PROGRAM_TOOL)))
        return refuse_plain("broker", config->broker, "this program belongs on the broker's machine", why);
    if (broker_remote && config->broker_key[0] == '\0')
        return refuse_plain(
            "broker", config->broker,
            "name the broker's public key with --brokerKey, and this program's own with --key", why);
    if (program != PROGRAM_EXECUTOR) return 0; /* a tool that asks the broker nothing needs no key */
    link_key_t key;
    bool found;
    err = key_load_link(config, KEY_EXECUTOR, &key, &found, why);
    key_wipe(&key, sizeof key);
    return err ? ERR_INVALID : 0;
}

/* --- AC --- */

/* For an error text: nothing of user:password@. */
static const char *without_user(const char *url) {
    const char *at = strrchr(url, '@');
    return at ? at + 1 : url;
}

static int check_url(config_t *config, unsigned program, char *why) {
    bool needed = program & (PROGRAM_RUN | PROGRAM_FETCHER | PROGRAM_UPLOADER);
    char *url = config->server_url;
    if (url[0] == '\0')
        return needed ? fail(why, "no server URL: give --serverUrl URL or set $server_url") : 0;
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
    if (ok) return 0;
    (void)snprintf(
        why, CONFIG_WHY_MAX,
        "serverUrl is \"%.120s\"; it must be http://HOST or https://HOST, without a user or a query",
        without_user(url));
    return ERR_INVALID;
}

static int check_proxies(const config_t *config, char *why) {
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
        if (!err) continue;
        (void)snprintf(why, CONFIG_WHY_MAX, "%s is no URL; it must be like http://proxy.example:3128",
                       proxies[i].name);
        return ERR_INVALID;
    }
    return 0;
}

/* A file that is named has to be there when the program starts, not when the first request needs it. */
static int check_files(const config_t *config, char *why) {
    const struct {
        const char *name, *path;
    } files[] = {{"caBundle", config->ca_bundle},
                 {"toolCaBundle", config->tool_ca_bundle},
                 {"clientCert", config->client_cert},
                 {"clientKey", config->client_key}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i].path[0] == '\0' || access(files[i].path, R_OK) == 0) continue;
        (void)snprintf(why, CONFIG_WHY_MAX, "%s: cannot read %.300s: %s", files[i].name, files[i].path,
                       strerror(errno));
        return ERR_INVALID;
    }
    if (config->client_key[0] && !config->client_cert[0])
        return fail(why, "clientKey is given without clientCert; both are needed");
    return 0;
}

/* Mistakes in the rules are found at the start. */
static int check_policy(const config_t *config, unsigned program, char *why) {
    policy_t *policy = NULL;
    int err = program & (PROGRAM_RUN | PROGRAM_EXECUTOR)
                  ? policy_read(config_policy_file(config), &policy, why)
                  : 0;
    policy_release(&policy);
    return err ? ERR_INVALID : 0;
}

int config_settle(config_t *config, unsigned program, char why[CONFIG_WHY_MAX]) {
    int err = settle_places(config, why);
    if (!err) err = check_url(config, program, why);
    if (!err) err = check_proxies(config, why);
    if (!err) err = check_files(config, why);
    if (!err) err = check_links(config, program, why);
    if (!err) err = check_policy(config, program, why);
    if (!err && program == PROGRAM_RUN && config->broker[0] && strcmp(config->broker, config->bind) != 0)
        err = fail(why,
                   "broker is for programs that are started alone: `sluice run` starts its own broker, and "
                   "--bind says where that listens");
    config->log_json = config->log_format && strcmp(config->log_format, "json") == 0;
    return err;
}

/* --- the key --- */

/* What a header may carry, and a NUL ends no text unseen. */
static bool plain(const char *key, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (key[i] < ' ' || key[i] >= 0x7f) return false;
    return true;
}

static int key_from_file(config_t *config, const char *path, char *why) {
    char key[KEY_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, key, sizeof key);
    int error = errno, err = ERR_INVALID;
    if (fd >= 0) (void)close(fd);
    size_t blanks = 0;
    while (n > 0 && strchr(" \t\r\n", key[n - 1]))
        n--;
    while ((ssize_t)blanks < n && strchr(" \t", key[blanks]))
        blanks++;
    if (blanks > 0) memmove(key, key + blanks, (size_t)(n -= (ssize_t)blanks));
    if (n < 0)
        (void)snprintf(why, CONFIG_WHY_MAX, "cannot read the API key file %.200s: %s", path, strerror(error));
    else if (n == 0)
        (void)snprintf(why, CONFIG_WHY_MAX,
                       "the API key file %.200s is empty; it must hold the key on one line", path);
    else if (n > KEY_MAX)
        (void)snprintf(why, CONFIG_WHY_MAX, "the API key file %.200s is longer than %d bytes", path, KEY_MAX);
    else if (!plain(key, (size_t)n))
        (void)snprintf(
            why, CONFIG_WHY_MAX,
            "the API key file %.200s holds a character that no header may carry; it must hold the key on "
            "one line of ASCII",
            path);
    else
        err = 0;
    if (!err) {
        key[n] = '\0';
        char *copy = strdup(key);
        err = copy ? 0 : ERR_NOMEM;
        free(config->api_key);
        config->api_key = copy;
    }
    explicit_bzero(key, sizeof key);
    return err;
}

static config_origin_t *origin_of(const config_t *config, const char *name) {
    return &config->origins[config_option(name, strlen(name)) - config_options];
}

static void set_key_origin(const config_t *config, config_origin_t origin) {
    *origin_of(config, "apiKey") = origin;
}

int config_read_key(config_t *config, unsigned program, char why[CONFIG_WHY_MAX]) {
    bool needed = program & (PROGRAM_RUN | PROGRAM_FETCHER | PROGRAM_UPLOADER);
    char credential[512];
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    int err = 0;
    if (!needed && program != PROGRAM_DOCTOR) { /* who needs no key neither reads nor keeps one */
        explicit_bzero(config->api_key, strlen(config->api_key));
        return 0;
    }
    if (config->api_key_file[0] != '\0') {
        err = key_from_file(config, config->api_key_file, why);
        if (!err) set_key_origin(config, *origin_of(config, "apiKeyFile"));
    } else if (config->api_key[0] == '\0' && dir) {
        (void)snprintf(credential, sizeof credential, "%s/api_key", dir);
        err = key_from_file(config, credential, why);
        if (!err) set_key_origin(config, (config_origin_t){ORIGIN_CREDENTIAL, 0});
    }
    if (err) return err;
    if (config->api_key[0] == '\0' && !needed) return 0;
    if (config->api_key[0] == '\0')
        return fail(why, "no API key: give --apiKeyFile FILE, set $api_key, or load the credential api_key");
    if (plain(config->api_key, strlen(config->api_key))) return 0;
    return fail(why, "the API key has a character that no header may carry; it must be one line of ASCII");
}
