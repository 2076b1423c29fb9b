/* What a running program changes at SIGHUP, and what has to wait for its restart. */
#include <stdio.h>
#include <string.h>

#include "common/config_table.h"

#define DRAINERS (PROGRAM_FETCHER | PROGRAM_EXECUTOR | PROGRAM_UPLOADER)

static const struct {
    const char *name;
    unsigned programs;
} live[] = {{"rateLimitPerMin", PROGRAM_BROKER},
            {"acMaxConcurrent", PROGRAM_BROKER},
            {"taskQueueSize", PROGRAM_BROKER},
            {"responseQueueSize", PROGRAM_BROKER},
            {"responseQueueThreshold", PROGRAM_BROKER},
            {"lookahead", PROGRAM_BROKER},
            {"spoolMb", PROGRAM_BROKER},
            {"redeliver", PROGRAM_BROKER},
            {"uploadToAc", PROGRAM_BROKER},
            {"debugMode", PROGRAM_BROKER},
            {"executorPoolSize", PROGRAM_EXECUTOR},
            {"connectTimeout", PROGRAM_EXECUTOR},
            {"toolCaBundle", PROGRAM_EXECUTOR},
            {"clientCert", PROGRAM_EXECUTOR},
            {"clientKey", PROGRAM_EXECUTOR},
            {"inwardProxyHttp", PROGRAM_EXECUTOR},
            {"inwardProxyHttps", PROGRAM_EXECUTOR},
            {"ipv4Fallback", PROGRAM_EXECUTOR},
            {"drainTimeout", DRAINERS}};

bool config_is_live(const option_t *option, unsigned program) {
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++)
        if (strcmp(live[i].name, option->name) == 0) return (live[i].programs & program) != 0;
    return false;
}

/* What debugMode is for a worker the broker tells it; a key is read at the start, and never compared. */
static bool concerns(const option_t *option, unsigned program) {
    if (!(option->programs & program) || option->kind == OPTION_SECRET) return false;
    if (option->offset == offsetof(config_t, debug_mode)) return program == PROGRAM_BROKER;
    if (option->offset == offsetof(config_t, drain_timeout_s)) return program != PROGRAM_BROKER;
    return option->kind != OPTION_HELP && option->kind != OPTION_VERSION;
}

static void add(char *list, size_t size, const char *name, const char *value) {
    size_t len = strlen(list);
    (void)snprintf(list + len, size - len, "%s%s%s%s", len > 0 ? " " : "", name, value ? "=" : "",
                   value ? value : "");
}

const char *config_shown(const config_t *config, const option_t *option, char buf[CONFIG_WHY_MAX]) {
    char number[16];
    const char *value = config_value(config, option, number), *scheme = strstr(value, "://");
    const char *at = scheme ? strrchr(scheme, '@') : NULL;
    (void)snprintf(buf, CONFIG_WHY_MAX, "%.*s%s%.400s", at ? (int)(scheme + 3 - value) : 0, value,
                   at ? "***" : "", at ? at : value);
    return buf;
}

void config_compare(const config_t *self, const config_t *fresh, config_changes_t *changes) {
    char before[16], after[16], shown[CONFIG_WHY_MAX];
    *changes = (config_changes_t){0};
    for (size_t i = 0; i < config_option_count; i++) {
        const option_t *option = &config_options[i];
        bool live_one = config_is_live(option, self->program);
        const config_t *from = live_one && self->latest ? self->latest : self;
        if (!concerns(option, self->program)) continue;
        if (self->origins[i].kind == ORIGIN_DEFAULT && fresh->origins[i].kind == ORIGIN_DEFAULT && !live_one)
            continue; /* one that a program chooses for itself at its start */
        if (strcmp(config_value(from, option, before), config_value(fresh, option, after)) == 0) continue;
        if (live_one)
            add(changes->live, sizeof changes->live, option->name, config_shown(fresh, option, shown));
        else
            add(changes->later, sizeof changes->later, option->name, NULL);
    }
}

void config_take_fresh(config_t *self, config_t **fresh) {
    config_destroy(&self->latest);
    self->latest = *fresh;
    *fresh = NULL;
}
