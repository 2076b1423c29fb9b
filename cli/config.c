/* `sluice config check` and `sluice config show`: the configuration file as each program reads it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "common/config.h"
#include "common/config_table.h"
#include "common/err.h"
#include "common/program.h"

#define NAME      "sluice"
#define PROGRAMS  4
#define WORDS_MAX 64
#define COLUMN    56 /* where origins begin */

static const unsigned programs[PROGRAMS] = {PROGRAM_BROKER, PROGRAM_FETCHER, PROGRAM_EXECUTOR,
                                            PROGRAM_UPLOADER};

typedef struct {
    char *words[WORDS_MAX + 4]; /* as given, with --config */
    int count;
    bool installed; /* the file of the units: then the rest is as they have it, too */
    char *key;      /* of the environment, where each reading wipes it */
    char **told;    /* what has been said: what one program says the next one says, too */
    size_t told_count;
    bool faulty;
} check_t;

static bool names_file(const char *word) {
    return strcmp(word, "--config") == 0 || strncmp(word, "--config=", sizeof "--config=" - 1) == 0;
}

/* The words of the programs' command line: without `check` or `show`, and with a file to read. */
static int take_words(check_t *self, int argc, char **argv) {
    static char system_file[] = "--config=" CONFIG_SYSTEM_FILE;
    bool named = false;
    if (argc > WORDS_MAX) return ERR_TOO_LARGE;
    self->words[self->count++] = argv[0];
    for (int i = 2; i < argc; i++) {
        named = named || names_file(argv[i]);
        self->words[self->count++] = argv[i];
    }
    self->installed = !named;
    if (!named) self->words[self->count++] = system_file;
    const char *key = getenv("api_key");
    self->key = key ? strdup(key) : NULL;
    return key && !self->key ? ERR_NOMEM : 0;
}

/* The environment and the command line of the program's unit. Returns the count of words. */
static int surroundings(check_t *self, unsigned program) {
    static char executor[][40] = {"--runtimeDir=/run/sluice", "--lockDir=/run/sluice-executor"};
    bool executes = program == PROGRAM_EXECUTOR;
    if (self->key) (void)setenv("api_key", self->key, 1);
    (void)setenv("CREDENTIALS_DIRECTORY", CONFIG_SYSTEM_DIR, 0); /* where the units load the key from */
    if (!self->installed) return self->count;
    (void)setenv("STATE_DIRECTORY", "/var/lib/sluice", 1);
    (void)setenv("RUNTIME_DIRECTORY", "/run/sluice", 1);
    (void)setenv("LOGS_DIRECTORY", executes ? "/var/log/sluice-executor" : "/var/log/sluice", 1);
    self->words[self->count] = executor[0];
    self->words[self->count + 1] = executor[1];
    return self->count + (executes ? 2 : 0);
}

/* A machine with executors alone has no other program, and needs no options for it. */
static bool is_here(unsigned program) {
    char path[PATH_MAX + 32];
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);
    if (len <= 0) return true;
    path[len] = '\0';
    char *name = strrchr(path, '/') + 1;
    (void)snprintf(name, (size_t)(path + sizeof path - name), "sluice-%s", config_section_name(program));
    return access(path, X_OK) == 0;
}

/* --- check --- */

static bool is_new(check_t *self, const char *text) {
    for (size_t i = 0; i < self->told_count; i++)
        if (strcmp(self->told[i], text) == 0) return false;
    char **grown = realloc(self->told, (self->told_count + 1) * sizeof *grown);
    if (!grown) return true;
    self->told = grown;
    char *copy = strdup(text);
    if (copy) grown[self->told_count++] = copy;
    return true;
}

static void tell(void *ctx, bool warning, const char *why) {
    check_t *self = ctx;
    if (is_new(self, why)) (void)fprintf(stderr, "%s\n", why);
    self->faulty = self->faulty || !warning;
}

static bool open_to_others(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

/* The key for all to read is a mistake, though it works. */
static void check_key_file(check_t *self, const config_t *config) {
    char text[CONFIG_WHY_MAX];
    const char *path = config->config_file, *key_path = CONFIG_SYSTEM_DIR "/api_key";
    config_origin_t origin = *config_origin(config, "apiKey");
    if (config->api_key_file[0]) key_path = config->api_key_file;
    bool in_file = origin.kind == ORIGIN_FILE && !config->api_key_file[0];
    if (in_file && open_to_others(path)) {
        (void)snprintf(text, sizeof text,
                       "%.200s, line %u: warning: apiKey stands in a file that others can read; put it alone "
                       "into " CONFIG_SYSTEM_DIR "/api_key, with mode 0600",
                       path, origin.line);
        tell(self, true, text);
    } else if (self->installed && !in_file && config->api_key[0] && open_to_others(key_path)) {
        (void)snprintf(text, sizeof text, "warning: others can read the API key file %.200s: chmod 0600",
                       key_path);
        tell(self, true, text);
    }
}

/* As each program reads it. */
static int check(check_t *self) {
    char why[CONFIG_WHY_MAX];
    config_t *config = NULL;
    int err = 0;
    for (int i = 0; !err && i < PROGRAMS; i++) {
        if (!is_here(programs[i])) continue;
        config_destroy(&config);
        err =
            config_look(programs[i], surroundings(self, programs[i]), self->words, tell, self, &config, why);
        if (!err) check_key_file(self, config);
    }
    if (err) tell(self, false, why);
    if (!self->faulty && config) (void)printf("%s is valid\n", config->config_file);
    config_destroy(&config);
    return self->faulty ? EXIT_CONFIG : EXIT_CLEAN;
}

/* --- show --- */

/* The places that a unit sets: by its directories, and an executor's by its command line. */
static bool is_of_unit(const config_t *config, size_t option) {
    static const char *const directories[] = {"stateDir", "runtimeDir", "logDir"};
    const char *name = config_options[option].name;
    config_origin_t origin = config->origins[option];
    bool executes = config->program == PROGRAM_EXECUTOR;
    if (executes && (strcmp(name, "runtimeDir") == 0 || strcmp(name, "lockDir") == 0)) return true;
    if (origin.kind != ORIGIN_DEFAULT || (executes && strcmp(name, "stateDir") == 0)) return false;
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++)
        if (strcmp(name, directories[i]) == 0) return true;
    return false;
}

static void origin_text(const config_t *config, size_t option, bool installed, char *buf, size_t size) {
    config_origin_t origin = config->origins[option];
    if (installed && is_of_unit(config, option)) {
        (void)snprintf(buf, size, "the unit of systemd");
        return;
    }
    const char *variable = config_options[option].environment;
    switch (origin.kind) {
    case ORIGIN_FILE:
        (void)snprintf(buf, size, "%s:%u", config->config_file, origin.line);
        break;
    case ORIGIN_ENVIRONMENT:
        (void)snprintf(buf, size, "environment, $%s", variable ? variable : "?");
        break;
    case ORIGIN_ARGUMENT:
        (void)snprintf(buf, size, "command line");
        break;
    case ORIGIN_CREDENTIAL:
        (void)snprintf(buf, size, "credential api_key");
        break;
    default:
        (void)snprintf(buf, size, "default");
    }
}

static void describe(const config_t *config, size_t option, bool installed, char *buf, size_t size) {
    char value[CONFIG_WHY_MAX], origin[512];
    (void)config_shown(config, &config_options[option], value);
    origin_text(config, option, installed, origin, sizeof origin);
    int len = snprintf(NULL, 0, "%s = %s", config_options[option].name, value);
    (void)snprintf(buf, size, "%s = %s%*s%s", config_options[option].name, value,
                   len + 2 < COLUMN ? COLUMN - len : 2, "", origin);
}

static bool is_shown(const option_t *option) {
    return option->kind != OPTION_HELP && option->kind != OPTION_VERSION &&
           option->offset != offsetof(config_t, check_only) &&
           option->offset != offsetof(config_t, config_file);
}

/* Whether all programs that the option is for have the same line of it, which is in `line` then. */
static bool is_common(config_t *const *configs, size_t option, bool installed, char *line, size_t size) {
    char other[1200];
    line[0] = '\0';
    for (int i = 0; i < PROGRAMS; i++) {
        if (config_options[option].programs && !(config_options[option].programs & programs[i])) continue;
        describe(configs[i], option, installed, other, sizeof other);
        if (line[0] != '\0' && strcmp(line, other) != 0) return false;
        (void)snprintf(line, size, "%s", other);
    }
    return true;
}

static void print_all(config_t *const *configs, bool installed) {
    char line[1200];
    for (size_t i = 0; i < config_option_count; i++)
        if (is_shown(&config_options[i]) && is_common(configs, i, installed, line, sizeof line) &&
            line[0] != '\0')
            (void)printf("%s\n", line);
    for (int p = 0; p < PROGRAMS; p++) {
        bool begun = false;
        for (size_t i = 0; i < config_option_count; i++) {
            const option_t *option = &config_options[i];
            if (!is_shown(option) || !(option->programs & programs[p])) continue;
            if (is_common(configs, i, installed, line, sizeof line)) continue;
            if (!begun) (void)printf("\n[%s]\n", config_section_name(programs[p]));
            begun = true;
            describe(configs[p], i, installed, line, sizeof line);
            (void)printf("%s\n", line);
        }
    }
}

static int show(check_t *self) {
    config_t *configs[PROGRAMS] = {0};
    char why[CONFIG_WHY_MAX];
    int err = 0;
    for (int i = 0; !err && i < PROGRAMS; i++)
        err = config_look(programs[i], surroundings(self, programs[i]), self->words, NULL, NULL, &configs[i],
                          why);
    if (err)
        program_complain(NAME, why);
    else
        print_all(configs, self->installed);
    for (int i = 0; i < PROGRAMS; i++)
        config_destroy(&configs[i]);
    return err ? EXIT_CONFIG : EXIT_CLEAN;
}

static void print_usage(FILE *to) {
    (void)fprintf(to,
                  "usage: sluice config check|show [--config FILE] [OPTION...]\n\n"
                  "Checks the configuration file of all programs (" CONFIG_SYSTEM_FILE "), line by line, or\n"
                  "shows what each option is and where that comes from: default, FILE:LINE, environment or\n"
                  "command line. OPTIONs are those of the programs: sluice run --help.\n");
}

int command_config(int argc, char **argv) {
    check_t self = {0};
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        print_usage(stdout);
        return EXIT_CLEAN;
    }
    bool checks = strcmp(what, "check") == 0;
    if (!checks && strcmp(what, "show") != 0) {
        print_usage(stderr);
        return EXIT_CONFIG;
    }
    int err = take_words(&self, argc, argv);
    if (err) {
        program_complain(NAME, err_str(err));
        return EXIT_CONFIG;
    }
    int code = checks ? check(&self) : show(&self);
    if (self.key) explicit_bzero(self.key, strlen(self.key));
    free(self.key);
    for (size_t i = 0; i < self.told_count; i++)
        free(self.told[i]);
    free(self.told);
    return code;
}
