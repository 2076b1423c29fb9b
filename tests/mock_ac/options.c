#include "options.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

typedef enum { TEXT, NUMBER } kind_t;

/* The options that only matter at the start; the others belong to settings.c, generator.c, faults.c. */
static const struct {
    const char *name;
    kind_t kind;
    size_t offset;
    int64_t low;
    int64_t high;
} OPTIONS[] = {
    {"listen", TEXT, offsetof(options_t, listen), 0, 0},
    {"port", NUMBER, offsetof(options_t, port), 0, 65535},
    {"toolPort", NUMBER, offsetof(options_t, tool_port), 0, 65535},
    {"tlsCert", TEXT, offsetof(options_t, tls_cert), 0, 0},
    {"tlsKey", TEXT, offsetof(options_t, tls_key), 0, 0},
    {"toolTlsCert", TEXT, offsetof(options_t, tool_tls_cert), 0, 0},
    {"toolTlsKey", TEXT, offsetof(options_t, tool_tls_key), 0, 0},
    {"apiKey", TEXT, offsetof(options_t, api_key), 0, 0},
    {"envName", TEXT, offsetof(options_t, env_name), 0, 0},
    {"script", TEXT, offsetof(options_t, script), 0, 0},
    {"readyFile", TEXT, offsetof(options_t, ready_file), 0, 0},
    {"booksFile", TEXT, offsetof(options_t, books_file), 0, 0},
    {"tasks", NUMBER, offsetof(options_t, tasks), 0, 10000000},
    {"seed", NUMBER, offsetof(options_t, seed), 0, INT64_MAX},
    {"record", NUMBER, offsetof(options_t, record), 0, INT64_MAX},
};

static void set_text(char **place, const char *value) {
    free(*place);
    *place = mem_copy(value, strlen(value));
}

static bool set_own(options_t *self, const char *name, const char *value, bool *known, buf_t *error) {
    *known = true;
    for (size_t i = 0; i < sizeof OPTIONS / sizeof OPTIONS[0]; i++) {
        if (strcmp(name, OPTIONS[i].name) != 0) continue;
        void *place = (char *)self + OPTIONS[i].offset;
        if (OPTIONS[i].kind == TEXT) {
            set_text(place, value);
        } else if (!number_parse(value, OPTIONS[i].low, OPTIONS[i].high, place)) {
            buf_printf(error, "--%s \"%s\" should be a number from %lld to %lld", name, value,
                       (long long)OPTIONS[i].low, (long long)OPTIONS[i].high);
            return false;
        }
        return true;
    }
    *known = false;
    return true;
}

static bool set(options_t *self, const char *name, const char *value, buf_t *error) {
    bool known = false;
    if (!set_own(self, name, value, &known, error)) return false;
    if (!known && !settings_set(&self->settings, name, value, &known, error)) return false;
    if (!known && !generator_set(self->generator, name, value, &known, error)) return false;
    if (!known && strcmp(name, "fault") == 0) return faults_add(self->faults, value, error);
    if (!known) buf_printf(error, "unknown option --%s; --help lists all", name);
    return known;
}

static bool is_flag(const char *name) {
    return strcmp(name, "ghosts") == 0 || strcmp(name, "paused") == 0;
}

/* Reads one option at argv[*at] and moves *at behind it. */
static bool parse_one(options_t *self, char **argv, int argc, int *at, buf_t *error) {
    const char *arg = argv[(*at)++];
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
        self->help = true;
        return true;
    }
    if (strncmp(arg, "--", 2) != 0) {
        buf_printf(error, "\"%s\" is no option; --help lists all", arg);
        return false;
    }
    const char *equals = strchr(arg, '=');
    size_t len = equals ? (size_t)(equals - arg) - 2 : strlen(arg) - 2;
    char *name = mem_copy(arg + 2, len);
    const char *value = equals ? equals + 1 : is_flag(name) ? "true" : *at < argc ? argv[(*at)++] : NULL;
    bool good = set(self, name, value ? value : "", error);
    if (!value && strncmp(error->data ? error->data : "", "unknown", 7) != 0) {
        buf_clear(error);
        buf_printf(error, "--%s needs a value", name);
        good = false;
    }
    free(name);
    return good;
}

/* The seed comes first: generator and faults start from it. */
static bool find_seed(options_t *self, int argc, char **argv, buf_t *error) {
    bool known = false;
    for (int i = 1; i < argc && argv[i]; i++) {
        const char *value = NULL;
        if (strncmp(argv[i], "--seed=", 7) == 0)
            value = argv[i] + 7;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            value = argv[i + 1];
        if (value && !set_own(self, "seed", value, &known, error)) return false;
    }
    return true;
}

bool options_parse(options_t *self, int argc, char **argv, buf_t *error) {
    *self = (options_t){.seed = 1, .record = 10000, .settings = settings_default()};
    set_text(&self->listen, "127.0.0.1");
    set_text(&self->api_key, "test-key");
    if (!find_seed(self, argc, argv, error)) return false;
    self->generator = generator_new((uint64_t)self->seed);
    self->faults = faults_new((uint64_t)self->seed);
    for (int at = 1; at < argc;)
        if (!parse_one(self, argv, argc, &at, error)) return false;
    if (!self->tls_cert != !self->tls_key || !self->tool_tls_cert != !self->tool_tls_key) {
        buf_text(error, "a TLS certificate and its key have to be given together");
        return false;
    }
    return true;
}

void options_free(options_t *self) {
    for (size_t i = 0; i < sizeof OPTIONS / sizeof OPTIONS[0]; i++)
        if (OPTIONS[i].kind == TEXT) free(*(char **)(void *)((char *)self + OPTIONS[i].offset));
    generator_destroy(&self->generator);
    faults_destroy(&self->faults);
}
