#include "common/config_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"

#define NAME_MAX_BYTES  64 /* of a name in HELLO */
#define INDEX_MAX_BYTES 64
#define AT(field)       offsetof(config_t, field)
#define RUN             PROGRAM_RUN
#define TO_AC           (PROGRAM_RUN | PROGRAM_FETCHER | PROGRAM_UPLOADER | PROGRAM_DOCTOR)
#define TO_TOOLS        (PROGRAM_RUN | PROGRAM_EXECUTOR | PROGRAM_DOCTOR)
#define MEASURED        (PROGRAM_RUN | PROGRAM_FETCHER | PROGRAM_EXECUTOR | PROGRAM_UPLOADER)
#define IN_BROKER       (PROGRAM_RUN | PROGRAM_BROKER)
#define DAEMONS         (PROGRAM_ALL & ~PROGRAM_TOOL & ~PROGRAM_DOCTOR)
#define TEXT(n, o, e, f, d, p, v, h)                                                                         \
    { n, o, e, OPTION_TEXT, AT(f), d, 0, 0, NULL, p, v, h }
#define INT(n, o, e, f, d, lo, hi, p, v, h)                                                                  \
    { n, o, e, OPTION_INT, AT(f), d, lo, hi, NULL, p, v, h }
#define BOOL(n, o, e, f, d, p, h)                                                                            \
    { n, o, e, OPTION_BOOL, AT(f), d, 0, 0, NULL, p, "true|false", h }

/* clang-format off */
const option_t config_options[] = {
    TEXT("serverUrl", NULL, "server_url", server_url, "", TO_AC, "URL",
         "the ArmorCode server, e.g. https://app.armorcode.com"),
    TEXT("apiKeyFile", NULL, NULL, api_key_file, "", TO_AC, "FILE",
         "file with the API key (else $api_key, the credential api_key of systemd, or --apiKey)"),
    {"apiKey", NULL, "api_key", OPTION_SECRET, AT(api_key), "", 0, 0, NULL, TO_AC, "KEY",
     "the API key itself; wiped from the visible arguments at once, but a file is safer"},
    TEXT("envName", NULL, NULL, env_name, "", TO_AC, "NAME", "environment name told to AC"),
    BOOL("verify", NULL, "verify", verify, "true", TO_AC | TO_TOOLS, "verify TLS certificates of AC and of tools"),
    TEXT("policy.file", NULL, NULL, policy_file, "", TO_TOOLS, "FILE",
         "rules on what tasks may call, and headers for it (default: /etc/sluice/policy.conf, if there is one)"),
    {"policy.mode", NULL, NULL, OPTION_CHOICE, AT(policy_mode), "enforce", 0, 0, "enforce|learn", TO_TOOLS, "enforce|learn",
     "enforce the rules, or learn: let pass, and note what is used for `sluice policy suggest`"},
    TEXT("caBundle", NULL, NULL, ca_bundle, "", TO_AC, "FILE", "certificates to trust for AC and the store (PEM)"),
    TEXT("toolCaBundle", NULL, NULL, tool_ca_bundle, "", TO_TOOLS, "FILE", "certificates to trust for tools (PEM)"),
    TEXT("clientCert", NULL, NULL, client_cert, "", TO_TOOLS, "FILE", "client certificate for tools (PEM)"),
    TEXT("clientKey", NULL, NULL, client_key, "", TO_TOOLS, "FILE", "its key (PEM)"),
    TEXT("inwardProxyHttps", NULL, NULL, inward_proxy_https, "", TO_TOOLS, "URL", "proxy for https tools"),
    TEXT("inwardProxyHttp", NULL, NULL, inward_proxy_http, "", TO_TOOLS, "URL", "proxy for http tools"),
    TEXT("outgoingProxyHttps", NULL, NULL, outgoing_proxy_https, "", TO_AC, "URL", "proxy for AC and the store over https"),
    TEXT("outgoingProxyHttp", NULL, NULL, outgoing_proxy_http, "", TO_AC, "URL", "proxy for AC and the store over http"),
    INT("connectTimeout", NULL, NULL, connect_timeout_s, "15", 1, 3600, TO_TOOLS, "SECONDS",
        "to connect to a tool"),
    INT("readTimeoutSeconds", NULL, NULL, read_timeout_s, "100", 1, 3600, TO_AC, "SECONDS", "for an answer of AC"),
    INT("rateLimitPerMin", NULL, NULL, rate_limit_per_min, "250", 1, 100000000, IN_BROKER, "N",
        "AC requests in any 60 s, all calls together"),
    INT("acMaxConcurrent", NULL, NULL, ac_max_concurrent, "2", 1, 2, IN_BROKER, "N", "AC requests at the same time"),
    INT("executorPoolSize", "poolSize", "EXECUTOR_POOL_SIZE", executor_pool_size, "10", 1, 1000, TO_TOOLS, "N",
        "tasks an executor process runs at the same time"),
    INT("executors", NULL, NULL, executors, "1", 0, 64, RUN, "N", "executor processes that `sluice run` starts"),
    INT("taskQueueSize", NULL, NULL, task_queue_size, "100", 1, 10000000, IN_BROKER, "N",
        "most tasks waiting for an executor"),
    INT("responseQueueSize", NULL, NULL, response_queue_size, "100", 1, 10000000, IN_BROKER, "N",
        "results waiting for AC that count as a full queue"),
    INT("responseQueueThreshold", NULL, NULL, response_queue_threshold, "80", 1, 100, IN_BROKER, "PERCENT",
        "of the response queue at which fetching pauses; it resumes 10 points below"),
    INT("lookahead", NULL, NULL, lookahead, "0", 0, 1000000, IN_BROKER, "N",
        "waiting tasks at which fetching pauses; 0: as many as all executor slots together"),
    INT("spoolMb", NULL, NULL, spool_mb, "10240", 1, 100000000, IN_BROKER, "MB",
        "of the state directory for bodies over 512,000 bytes; fetching pauses when they are used up"),
    INT("deadLetterDays", NULL, NULL, dead_letter_days, "7", 0, 36500, IN_BROKER, "DAYS",
        "buried results (`sluice dead`) are kept so long; 0: for ever"),
    INT("deadLetterMb", NULL, NULL, dead_letter_mb, "1024", 1, 100000000, IN_BROKER, "MB",
        "of memory and disk for buried results, about 2 kB for a small one; beyond that the oldest are dropped, but never the latest"),
    {"redeliver", NULL, NULL, OPTION_CHOICE, AT(redeliver), "idempotent", 0, 0, "idempotent|always|never", IN_BROKER,
     "idempotent|always|never", "tasks to run again when their executor is lost while they run: idempotent, always or never"},
    BOOL("uploadToAc", NULL, NULL, upload_to_ac, "true", IN_BROKER,
         "large results go to AC itself, not to a presigned URL"),
    INT("drainTimeout", NULL, NULL, drain_timeout_s, "25", 0, 3600, DAEMONS, "SECONDS",
        "for work under way after SIGTERM"),
    TEXT("stateDir", NULL, NULL, state_dir, NULL, DAEMONS | PROGRAM_DOCTOR, "DIR",
         "journal, inbox, spool and logs (/var/lib/sluice, or $XDG_STATE_HOME/sluice for an ordinary user)"),
    TEXT("runtimeDir", NULL, NULL, runtime_dir, NULL, PROGRAM_ALL, "DIR",
         "sockets and locks (/run/sluice, or $XDG_RUNTIME_DIR/sluice for an ordinary user)"),
    TEXT("logDir", NULL, NULL, log_dir, "", DAEMONS, "DIR",
         "log files, renamed at midnight to .YYYY-MM-DD, 7 kept (default: logs in stateDir)"),
    TEXT("lockDir", NULL, NULL, lock_dir, "", TO_TOOLS, "DIR",
         "locks of executors, when they may not write in runtimeDir (default: runtimeDir)"),
    TEXT("bind", NULL, NULL, bind, "", IN_BROKER, "tcp://HOST:PORT",
         "where the broker listens as well, beside runtimeDir: encrypted, for keys of `sluice key allow`, once it has "
         "a key of its own; without one on loopback addresses only"),
    TEXT("broker", NULL, NULL, broker, "", PROGRAM_ALL & ~PROGRAM_BROKER & ~RUN, "tcp://HOST:PORT",
         "the broker to connect to (default: runtimeDir)"),
    TEXT("brokerKey", NULL, NULL, broker_key, "", PROGRAM_EXECUTOR | PROGRAM_TOOL, "KEY",
         "the broker's public key, which makes the link encrypted: as `sluice key new` has printed it there, or a FILE "
         "with it"),
    TEXT("key", NULL, NULL, key, "", PROGRAM_EXECUTOR | PROGRAM_TOOL, "NAME",
         "this program's own key: NAME in keysDir, or a file (else the credential executor_key of systemd)"),
    TEXT("keysDir", NULL, NULL, keys_dir, "", IN_BROKER | PROGRAM_EXECUTOR | PROGRAM_TOOL, "DIR",
         "keys of this machine and, for the broker, the allowed ones (default: keys in stateDir)"),
    INT("workerPorts", NULL, NULL, worker_ports, "128", 1, 4096, IN_BROKER, "N",
        "ports from PORT+8 upwards for workers, with --bind"),
    {"name", NULL, NULL, OPTION_TEXT, AT(name), "", 0, NAME_MAX_BYTES, NULL,
     PROGRAM_EXECUTOR | PROGRAM_FETCHER | PROGRAM_UPLOADER, "NAME",
     "of this process in `sluice status` (default: its role and a number)"},
    BOOL("ipv4Fallback", NULL, NULL, ipv4_fallback, "false", TO_AC | TO_TOOLS,
         "after a name lookup that failed, look the name up for IPv4 alone, for an hour"),
    BOOL("debugMode", NULL, NULL, debug_mode, "false", PROGRAM_ALL, "log more"),
    {"logFormat", NULL, NULL, OPTION_CHOICE, AT(log_format), "text", 0, 0, "text|json", PROGRAM_ALL, "text|json",
     "text (key=value) or json"},
    TEXT("config", NULL, NULL, config_file, "", PROGRAM_ALL, "FILE", "read options from FILE (name = value lines)"),
    BOOL("check-config", NULL, NULL, check_only, "false", PROGRAM_ALL, "check all options, then end"),
    {"index", NULL, NULL, OPTION_TEXT, AT(index), "_prod", 0, INDEX_MAX_BYTES, NULL, DAEMONS,
     "TEXT", "end of the names of log and metrics files, e.g. sluice-broker_prod.log"},
    INT("timeout", NULL, "timeout", timeout_s, "30", 0, 1000000, 0, "SECONDS",
        "accepted and ignored, as in the old agent"),
    BOOL("enableStdoutLogging", NULL, NULL, stdout_logging, "false", DAEMONS,
         "log to stderr as well as to the log file, as under `sluice run` and systemd in any case"),
    BOOL("metrics", NULL, NULL, metrics, "false", MEASURED, "write logDir/metrics/metricsINDEX.json"),
    INT("metricsRetentionDays", NULL, "metricsRetentionDays", metrics_retention_days, "7", 0, 36500, MEASURED, "DAYS",
        "metrics files kept beside today's; 0: all"),
    {"help", NULL, NULL, OPTION_HELP, 0, NULL, 0, 0, NULL, PROGRAM_ALL, NULL, "show this and end"},
    {"version", NULL, NULL, OPTION_VERSION, 0, NULL, 0, 0, NULL, PROGRAM_ALL, NULL, "show the version and end"},
};
/* clang-format on */

const size_t config_option_count = sizeof config_options / sizeof config_options[0];

static bool is(const char *candidate, const char *name, size_t len) {
    return candidate && strlen(candidate) == len && strncmp(candidate, name, len) == 0;
}

const option_t *config_option(const char *name, size_t len) {
    for (size_t i = 0; i < config_option_count; i++)
        if (is(config_options[i].name, name, len) || is(config_options[i].old_name, name, len))
            return &config_options[i];
    return NULL;
}

const char *config_name(const option_t *option, const char *word, size_t len) {
    return is(option->old_name, word, len) ? option->old_name : option->name;
}

/* Levenshtein's distance, without case, of short names. */
static unsigned distance(const char *a, const char *b) {
    enum { MOST = 40 };
    unsigned row[MOST + 1];
    size_t la = strlen(a), lb = strlen(b);
    if (la > MOST || lb > MOST) return MOST;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned cost = diagonal + (strncasecmp(a + i - 1, b + j - 1, 1) != 0);
            diagonal = row[j];
            unsigned least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = cost < least ? cost : least;
        }
    }
    return row[lb];
}

const option_t *config_nearest(const char *name) {
    const option_t *nearest = NULL;
    unsigned least = (unsigned)strlen(name) / 3 + 2;
    for (size_t i = 0; i < config_option_count; i++) {
        const char *old_name = config_options[i].old_name;
        unsigned d = distance(name, config_options[i].name), old = old_name ? distance(name, old_name) : d;
        if (old < d) d = old;
        if (d < least) {
            least = d;
            nearest = &config_options[i];
        }
    }
    return nearest;
}

bool config_bool(const char *text, bool *value) {
    static const char *const yes[] = {"true", "yes", "t", "y", "1"}, *const no[] = {"false", "no", "f", "n",
                                                                                    "0"};
    for (size_t i = 0; i < 5; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *value = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static int set_int(int *field, const option_t *option, const char *name, const char *text, char *why) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < option->min || value > option->max) {
        (void)snprintf(why, CONFIG_WHY_MAX, "%s is \"%.60s\"; it must be a whole number from %ld to %ld",
                       name, text, option->min, option->max);
        return ERR_INVALID;
    }
    *field = (int)value;
    return 0;
}

static bool chosen(const char *choices, const char *text) {
    size_t len = strlen(text);
    for (const char *c = choices; len > 0; c++) {
        size_t n = strcspn(c, "|");
        if (n == len && strncmp(c, text, n) == 0) return true;
        c += n;
        if (*c == '\0') break;
    }
    return false;
}

static int set_text(char **field, const option_t *option, const char *name, const char *text, char *why) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c >= ' ' && *c != 0x7f) continue;
        (void)snprintf(why, CONFIG_WHY_MAX, "%s holds a control character; it must be one line of text",
                       name);
        return ERR_INVALID;
    }
    if (option->max > 0 && strlen(text) > (size_t)option->max) {
        (void)snprintf(why, CONFIG_WHY_MAX, "%s is \"%.80s\"; it must be at most %ld bytes long", name, text,
                       option->max);
        return ERR_INVALID;
    }
    char *copy = strdup(text);
    if (!copy) return ERR_NOMEM;
    if (*field) explicit_bzero(*field, strlen(*field));
    free(*field);
    *field = copy;
    return 0;
}

/* Of the key and the file with it, what was given last counts: it comes from the source that wins. */
static void forget_other_key(config_t *config, const option_t *option, const char *text) {
    char *other = option->offset == AT(api_key)        ? config->api_key_file
                  : option->offset == AT(api_key_file) ? config->api_key
                                                       : NULL;
    if (other && text[0]) explicit_bzero(other, strlen(other));
}

int config_set(config_t *config, const option_t *option, const char *name, const char *text,
               char why[CONFIG_WHY_MAX]) {
    void *field = (char *)config + option->offset;
    switch (option->kind) {
    case OPTION_INT:
        return set_int(field, option, name, text, why);
    case OPTION_BOOL:
        if (config_bool(text, field)) return 0;
        (void)snprintf(why, CONFIG_WHY_MAX,
                       "%s is \"%.60s\"; it must be true or false (also yes, t, 1, no, f, 0)", name, text);
        return ERR_INVALID;
    case OPTION_CHOICE:
        if (!chosen(option->choices, text)) {
            (void)snprintf(why, CONFIG_WHY_MAX, "%s is \"%.60s\"; it must be one of %s", name, text,
                           option->choices);
            return ERR_INVALID;
        }
        return set_text(field, option, name, text, why);
    default:
        forget_other_key(config, option, text);
        return set_text(field, option, name, text, why);
    }
}
