/* The configuration of all programs: one typed table (config_table.c) of names, old names, environment,
 * defaults, bounds and help. Read from a file, then the environment, then the command line, the last one
 * winning. */
#ifndef SLUICE_COMMON_CONFIG_H
#define SLUICE_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRAM_RUN      0x01u /* bits: which programs an option is for */
#define PROGRAM_BROKER   0x02u
#define PROGRAM_FETCHER  0x04u
#define PROGRAM_EXECUTOR 0x08u
#define PROGRAM_UPLOADER 0x10u
#define PROGRAM_TOOL     0x20u /* sluice status and the like */
#define PROGRAM_DOCTOR   0x40u
#define PROGRAM_ALL      0x7fu

#define CONFIG_SYSTEM_DIR  "/etc/sluice"
#define CONFIG_SYSTEM_FILE CONFIG_SYSTEM_DIR "/sluice.conf"

/* Where a value comes from. */
typedef enum {
    ORIGIN_DEFAULT,
    ORIGIN_FILE,
    ORIGIN_ENVIRONMENT,
    ORIGIN_ARGUMENT,
    ORIGIN_CREDENTIAL
} origin_kind_t;
typedef struct {
    origin_kind_t kind;
    unsigned line; /* ORIGIN_FILE: of config_file */
} config_origin_t;

struct config_section; /* a line of a section of the file, for the children of `sluice run` */

/* Texts are owned by the config, never NULL unless said; an unset text is "". */
typedef struct config_t {
    /* AC */
    char *server_url; /* without a trailing slash */
    char *api_key;    /* from --apiKeyFile, $api_key, a systemd credential or --apiKey; wiped on destroy */
    char *api_key_file;
    char *env_name;
    int connect_timeout_s;  /* to tools, 15 */
    int read_timeout_s;     /* of AC calls, 100 */
    int rate_limit_per_min; /* 250 */
    int ac_max_concurrent;  /* 1 or 2 */
    bool verify;            /* TLS certificates, true */
    bool upload_to_ac;      /* true */
    char *ca_bundle, *tool_ca_bundle, *client_cert, *client_key;
    char *inward_proxy_https, *inward_proxy_http, *outgoing_proxy_https, *outgoing_proxy_http;
    bool ipv4_fallback;
    /* queues and slots */
    int executor_pool_size;       /* slots per executor process, 10 */
    int executors;                /* processes started by `sluice run`, 1 */
    int task_queue_size;          /* 100 */
    int response_queue_size;      /* 100 */
    int response_queue_threshold; /* percent, 80 */
    int dead_letter_days;         /* buried results are kept so long, 7; 0: for ever */
    int dead_letter_mb;           /* and no more of them, 1024 */
    int spool_mb;                 /* bound of the spool of large bodies, 10240 */
    int lookahead;                /* READY tasks at which fetching pauses; 0: as many as all slots together */
    char *redeliver;              /* idempotent | always | never */
    int drain_timeout_s;          /* 25 */
    /* places */
    char *state_dir, *runtime_dir, *log_dir;
    char *lock_dir;    /* locks of executors, runtime_dir */
    char *bind;        /* broker: where it listens beside ipc in runtime_dir: "", or tcp://HOST:PORT */
    char *broker;      /* workers and tools: "" for ipc in runtime_dir, or tcp://HOST:PORT */
    char *keys_dir;    /* the broker's key and the allowed ones; keys of this machine */
    char *policy_file; /* executors: rules on what may be called; "" for the usual place, if it is there */
    char *policy_mode; /* enforce | learn */
    char *key;         /* executors and tools: a name in keys_dir or a file; "" for none */
    char *broker_key;  /* the broker's public key, or a file with it; "" for a plain link */
    int worker_ports;  /* 128 */
    char *name;        /* of this process in status; "" for automatic */
    /* logs and the old agent's rest */
    char *index;   /* "_prod" */
    int timeout_s; /* accepted, ignored */
    bool debug_mode;
    bool stdout_logging;
    bool metrics;
    int metrics_retention_days; /* 7 */
    char *log_format;           /* --logFormat: text or json */
    bool log_json;              /* of log_format */
    bool check_only;            /* --check-config */
    char *config_file;
    /* how it was read */
    config_origin_t *origins; /* of each option, in the order of the table */
    struct config_section *sections;
    size_t section_count;
    int argc;
    char **argv; /* borrowed */
    unsigned program;
    bool words;
    struct config_t *latest; /* that config_take_fresh() has kept; NULL before */
} config_t;

/* Reads everything for a program: `program` is one PROGRAM_ bit, `argv` as main() got it (from argv[0]).
 * Wipes the value of --apiKey from argv. On failure writes one line to `why` (what was wrong, and what would
 * be right) and returns ERR_INVALID. --help and --version are printed and reported by *done = true with a
 * return of 0. `rest` (may be NULL) gets the index in argv of the first word that is no option (argc if
 * none); words are refused when NULL. */
int config_load(unsigned program, int argc, char **argv, config_t **config, bool *done, int *rest,
                char why[512]);
/* Reads everything once more, as config_load() has done for `self`, whose argv must still be there; all but
 * the API key. ERR_INVALID with `why`. */
int config_reload(const config_t *self, config_t **fresh, char why[512]);

/* What a fresh configuration of a program changes: "name=value ..." of what it can change while it runs,
 * since the latest one, and the names of what it has read at its start only. */
typedef struct {
    char live[512], later[512];
} config_changes_t;
void config_compare(const config_t *self, const config_t *fresh, config_changes_t *changes);
/* Keeps it for the next comparison; nulls the pointer. */
void config_take_fresh(config_t *self, config_t **fresh);

/* Accepts NULL; nulls the pointer; wipes secrets. */
void config_destroy(config_t **self);

/* All values but the key, its file, --config, --check-config and --name, as the text of a configuration
 * file; for children, which have to have the option variables taken out of their environment first (this does
 * it). NULL when out of memory; freed by the caller. */
char *config_write(const config_t *self);

/* The file of the rules, "" for none. */
const char *config_policy_file(const config_t *self);
/* Where it is, or will be. */
const char *config_policy_place(const config_t *self);

/* The base endpoint of the broker for workers and tools: "ipc://RUNTIME" or "tcp://HOST:PORT". */
void config_broker_endpoint(const config_t *self, char *buf, size_t size);

#endif
