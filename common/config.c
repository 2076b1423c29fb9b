#include "common/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config_table.h"
#include "common/err.h"

#define POLICY_FILE "/etc/sluice/policy.conf"

/* What the command line said, before it is applied after the file and the environment. */
typedef struct {
    int argc;
    char **argv;
    char *secret; /* a copy of the value of --apiKey */
    unsigned program;
    bool done, words; /* words: such as are no options may follow */
    int rest;
} arguments_t;

int config_put(config_t *config, const option_t *option, const char *name, const char *text,
               config_origin_t origin, char why[CONFIG_WHY_MAX]) {
    int err = config_set(config, option, name, text, why);
    if (!err) config->origins[option - config_options] = origin;
    return err;
}

config_origin_t *config_origin(const config_t *config, const char *option) {
    return &config->origins[config_option(option, strlen(option)) - config_options];
}

static char **text_field(config_t *config, const option_t *option) {
    bool text = option->kind == OPTION_TEXT || option->kind == OPTION_CHOICE || option->kind == OPTION_SECRET;
    return text ? (char **)(void *)((char *)config + option->offset) : NULL;
}

static int set_defaults(config_t *config, char *why) {
    for (size_t i = 0; i < config_option_count; i++) {
        const option_t *option = &config_options[i];
        const char *value = option->fallback ? option->fallback : text_field(config, option) ? "" : NULL;
        int err = value ? config_set(config, option, option->name, value, why) : 0;
        if (err) return err;
    }
    return 0;
}

/* A value that begins like an option is given as --name=value. */
static bool is_option(const char *word) {
    return word[0] == '-' && word[1] == '-';
}

/* Takes the key out of the visible arguments before anything else is done. */
static int wipe_key(arguments_t *args) {
    static const char name[] = "--apiKey";
    for (int i = 1; i < args->argc; i++) {
        char *word = args->argv[i], *value = NULL;
        if (strcmp(word, "--") == 0) break;
        if (strcmp(word, name) == 0 && i + 1 < args->argc && !is_option(args->argv[i + 1]))
            value = args->argv[++i];
        else if (strncmp(word, name, sizeof name - 1) == 0 && word[sizeof name - 1] == '=')
            value = word + sizeof name;
        if (!value) continue;
        char *copy = strdup(value);
        explicit_bzero(value, strlen(value));
        if (!copy) return ERR_NOMEM;
        free(args->secret);
        args->secret = copy;
    }
    return 0;
}

static int read_environment(config_t *config, char *why) {
    for (size_t i = 0; i < config_option_count; i++) {
        const option_t *option = &config_options[i];
        char *value = option->environment ? getenv(option->environment) : NULL;
        if (!value) continue;
        char text[CONFIG_WHY_MAX];
        int err = value[0] ? config_put(config, option, option->name, value,
                                        (config_origin_t){ORIGIN_ENVIRONMENT, 0}, text)
                           : 0;
        if (option->kind == OPTION_SECRET) {
            explicit_bzero(value, strlen(value));
            (void)unsetenv(option->environment);
        }
        if (err == ERR_INVALID)
            (void)snprintf(why, CONFIG_WHY_MAX, "environment variable %s: %.400s", option->environment, text);
        if (err) return err;
    }
    return 0;
}

int config_unknown_option(const char *word, char why[CONFIG_WHY_MAX]) {
    char name[64];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    const option_t *near = config_nearest(name + strspn(name, "-"));
    (void)snprintf(why, CONFIG_WHY_MAX, "there is no option %s%s%s%s", name, near ? "; did you mean --" : "",
                   near ? near->name : "", near ? "?" : "; see --help");
    return ERR_INVALID;
}

/* The value of the option at argv[*at], and where reading goes on. NULL: it lacks one. */
static const char *value_of(const arguments_t *args, const option_t *option, int *at) {
    const char *equals = strchr(args->argv[*at], '=');
    if (equals) return equals + 1;
    bool more = *at + 1 < args->argc && !is_option(args->argv[*at + 1]);
    bool ignored; /* where words may follow the options, only a boolean is this flag's own */
    if (option->kind == OPTION_BOOL)
        return more && (!args->words || config_bool(args->argv[*at + 1], &ignored)) ? args->argv[++*at]
                                                                                    : "true";
    return more ? args->argv[++*at] : NULL;
}

static int apply_option(config_t *config, arguments_t *args, int *at, bool only_file, char *why) {
    const char *word = args->argv[*at] + 2;
    size_t len = strcspn(word, "=");
    const option_t *option = config_option(word, len);
    if (!option) return config_unknown_option(args->argv[*at], why);
    const char *name = config_name(option, word, len);
    if (option->kind == OPTION_HELP || option->kind == OPTION_VERSION) {
        args->done = true;
        if (option->kind == OPTION_HELP)
            config_print_help(args->program);
        else
            (void)printf("sluice %s\n", SLUICE_VERSION);
        return 0;
    }
    const char *value = value_of(args, option, at);
    if (!value) {
        (void)snprintf(why, CONFIG_WHY_MAX, "--%s needs a value: --%s %s", name, name, option->value);
        return ERR_INVALID;
    }
    if (only_file != (option->offset == offsetof(config_t, config_file))) return 0;
    if (option->kind == OPTION_SECRET) value = args->secret ? args->secret : "";
    char text[CONFIG_WHY_MAX];
    int err = config_put(config, option, name, value, (config_origin_t){ORIGIN_ARGUMENT, 0}, text);
    if (err == ERR_INVALID) (void)snprintf(why, CONFIG_WHY_MAX, "--%.500s", text);
    return err;
}

/* Goes through the command line; with `only_file` for --config (and --help) alone. */
static int read_arguments(config_t *config, arguments_t *args, bool only_file, char *why) {
    int i = 1, err = 0;
    for (; !err && !args->done && i < args->argc; i++) {
        if (strcmp(args->argv[i], "--") == 0 || args->argv[i][0] != '-' || args->argv[i][1] == '\0') break;
        if (strcmp(args->argv[i], "-h") == 0) {
            args->done = true;
            config_print_help(args->program);
        } else if (args->argv[i][1] != '-') {
            err = config_unknown_option(args->argv[i], why);
        } else {
            err = apply_option(config, args, &i, only_file, why);
        }
    }
    args->rest = i;
    if (!err && !args->done && !args->words && i < args->argc) {
        (void)snprintf(why, CONFIG_WHY_MAX, "\"%.100s\" is no option; options begin with --", args->argv[i]);
        err = ERR_INVALID;
    }
    return err;
}

/* Where a tool finds the broker of the installed agent, when nothing else is said. */
static const char *system_file(const arguments_t *args) {
    static const char *const others[] = {"--config", "--runtimeDir", "--bind", "--broker"};
    if (!(args->program & (PROGRAM_TOOL | PROGRAM_DOCTOR)) || geteuid() != 0 ||
        access(CONFIG_SYSTEM_FILE, R_OK) != 0)
        return NULL;
    for (int i = 1; i < args->argc; i++)
        for (size_t o = 0; o < sizeof others / sizeof others[0]; o++)
            if (strncmp(args->argv[i], others[o], strlen(others[o])) == 0) return NULL;
    return CONFIG_SYSTEM_FILE;
}

static int begin(arguments_t *args, config_t **out, char *why) {
    config_t *config = calloc(1, sizeof *config);
    *out = config;
    if (!config) return ERR_NOMEM;
    config->argc = args->argc;
    config->argv = args->argv;
    config->program = args->program;
    config->words = args->words;
    config->origins = calloc(config_option_count, sizeof *config->origins);
    int err = config->origins ? set_defaults(config, why) : ERR_NOMEM;
    if (!err) err = read_arguments(config, args, true, why);
    bool named = config->config_file && config->config_file[0];
    const char *file = err || args->done || named ? NULL : system_file(args);
    if (file) err = config_set(config, config_option("config", 6), "config", file, why);
    if (file) (void)setenv("CREDENTIALS_DIRECTORY", CONFIG_SYSTEM_DIR, 0); /* the key, as the units have it */
    return err;
}

/* The sources, the last one winning. */
static int read_sources(config_t *config, arguments_t *args, config_told_fn told, void *ctx, char *why) {
    const char *file = config->config_file;
    int err = file && file[0] ? config_read_file(config, args->program, file, told, ctx, why) : 0;
    if (err == ERR_INVALID && told) err = 0;
    if (!err) err = read_environment(config, why);
    return err ? err : read_arguments(config, args, false, why);
}

static int finish(config_t **config, bool keep, int err, char *why) {
    if (err == ERR_NOMEM) (void)snprintf(why, CONFIG_WHY_MAX, "out of memory");
    if (err || !keep) config_destroy(config);
    return err ? ERR_INVALID : 0;
}

static void forget_secret(arguments_t *args) {
    if (args->secret) explicit_bzero(args->secret, strlen(args->secret));
    free(args->secret);
}

bool config_before_reload(const config_t *self) {
    return self->check_only && getenv("MAINPID") != NULL;
}

int config_load(unsigned program, int argc, char **argv, config_t **config, bool *done, int *rest,
                char why[512]) {
    arguments_t args = {.argc = argc, .argv = argv, .program = program, .words = rest != NULL};
    *config = NULL;
    int err = wipe_key(&args);
    if (!err) err = begin(&args, config, why);
    if (!err && !args.done) err = read_sources(*config, &args, NULL, NULL, why);
    if (!err && !args.done) err = config_settle(*config, program, NULL, NULL, why);
    if (!err && !args.done && !config_before_reload(*config)) err = config_read_key(*config, program, why);
    if (!err && !args.done && (*config)->check_only) {
        (void)printf("configuration is valid\n");
        args.done = true;
    }
    forget_secret(&args);
    *done = args.done;
    if (rest) *rest = args.rest;
    return finish(config, !args.done, err, why);
}

int config_reload(const config_t *self, config_t **fresh, char why[512]) {
    arguments_t args = {
        .argc = self->argc, .argv = self->argv, .program = self->program, .words = self->words};
    int err = begin(&args, fresh, why);
    if (!err) err = read_sources(*fresh, &args, NULL, NULL, why);
    if (!err) err = config_settle(*fresh, self->program, NULL, NULL, why);
    return finish(fresh, true, err, why);
}

/* Nobody needs to hear of what does not fit together. */
static void ignore(void *ctx, bool warning, const char *why) {
    (void)ctx;
    (void)warning;
    (void)why;
}

int config_look(unsigned program, int argc, char **argv, config_told_fn told, void *ctx, config_t **config,
                char why[CONFIG_WHY_MAX]) {
    arguments_t args = {.argc = argc, .argv = argv, .program = program};
    config_told_fn tell = told ? told : ignore;
    *config = NULL;
    int err = wipe_key(&args);
    if (!err) err = begin(&args, config, why);
    if (!err) err = read_sources(*config, &args, told, ctx, why);
    if (!err && config_settle(*config, program, tell, ctx, why) == ERR_NOMEM) err = ERR_NOMEM;
    if (!err) {
        int bad_key = config_read_key(*config, program, why);
        if (bad_key == ERR_INVALID) tell(ctx, false, why);
        if (bad_key == ERR_NOMEM) err = ERR_NOMEM;
    }
    forget_secret(&args);
    return finish(config, true, err, why);
}

void config_destroy(config_t **self) {
    if (!*self) return;
    for (size_t i = 0; i < config_option_count; i++) {
        char **field = text_field(*self, &config_options[i]);
        if (!field || !*field) continue;
        explicit_bzero(*field, strlen(*field));
        free(*field);
    }
    for (size_t i = 0; i < (*self)->section_count; i++) {
        explicit_bzero((*self)->sections[i].value, strlen((*self)->sections[i].value));
        free((*self)->sections[i].value);
    }
    config_destroy(&(*self)->latest);
    free((*self)->sections);
    free((*self)->origins);
    free(*self);
    *self = NULL;
}

const char *config_value(const config_t *config, const option_t *option, char buf[16]) {
    const char *at = (const char *)config + option->offset;
    switch (option->kind) {
    case OPTION_INT:
        (void)snprintf(buf, 16, "%d", *(const int *)(const void *)at);
        return buf;
    case OPTION_BOOL:
        return *(const bool *)at ? "true" : "false";
    case OPTION_SECRET:
        return (*(char *const *)(const void *)at)[0] ? "set" : "";
    case OPTION_HELP:
    case OPTION_VERSION:
        return "";
    default:
        return *(char *const *)(const void *)at;
    }
}

static bool told_to_children(const option_t *option) {
    static const char *const not_told[] = {"apiKey", "apiKeyFile", "config", "check-config",
                                           "name",   "help",       "version"};
    for (size_t i = 0; i < sizeof not_told / sizeof not_told[0]; i++)
        if (strcmp(option->name, not_told[i]) == 0) return false;
    return true;
}

/* The lines of sections, but for what the environment or the command line has overridden for all. */
static void write_sections(const config_t *self, FILE *out) {
    for (size_t i = 0; i < self->section_count; i++) {
        const config_section_t *line = &self->sections[i];
        if (!told_to_children(line->option)) continue;
        if (self->origins[line->option - config_options].kind > ORIGIN_FILE) continue;
        (void)fprintf(out, "[%s]\n%s = %s\n", config_section_name(line->program), line->option->name,
                      line->value);
    }
}

char *config_write(const config_t *self) {
    char *text = NULL, buf[16];
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; out && i < config_option_count; i++) {
        const option_t *option = &config_options[i];
        if (option->environment) (void)unsetenv(option->environment);
        if (told_to_children(option))
            (void)fprintf(out, "%s = %s\n", option->name, config_value(self, option, buf));
    }
    if (out) write_sections(self, out);
    if (!out || fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

const char *config_policy_file(const config_t *self) {
    if (self->policy_file[0]) return self->policy_file;
    /* One that is there but cannot be reached is not none. */
    return access(POLICY_FILE, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR) ? "" : POLICY_FILE;
}

const char *config_policy_place(const config_t *self) {
    return self->policy_file[0] ? self->policy_file : POLICY_FILE;
}

void config_broker_endpoint(const config_t *self, char *buf, size_t size) {
    if (self->broker[0])
        (void)snprintf(buf, size, "%s", self->broker);
    else
        (void)snprintf(buf, size, "ipc://%s", self->runtime_dir);
}
