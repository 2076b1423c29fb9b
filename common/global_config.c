#include "common/global_config.h"

#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "common/json_walk.h"

#define VALUE_MAX 32 /* octets; no right value has more */

enum { NAMES = 6 };

static const char *const names[NAMES] = {"debugMode", "verifyCert",     "uploadToAC",
                                         "poolSize",  "threadPoolSize", "rateLimitPerMin"};

typedef struct {
    span_t value[NAMES];
} known_t;

typedef struct {
    global_config_t *config;
    uint32_t pool_size, thread_pool_size;
    char *ignored;
} reader_t;

static void ignore(reader_t *self, const char *what) {
    size_t len = strlen(self->ignored);

    (void)snprintf(self->ignored + len, 256 - len, "%s%s", len ? "; " : "", what);
}

static bool read_bool(const json_member_t *member, bool *value) {
    *value = member->kind == JSON_BOOL && member->value.ptr[0] == 't';
    return member->kind == JSON_BOOL;
}

/* Digits only: no sign, fraction or exponent. */
static bool read_count(const json_member_t *member, uint32_t max, uint32_t *value) {
    uint32_t number = 0;

    if (member->kind != JSON_NUMBER || member->value.len > 9) return false;
    for (size_t i = 0; i < member->value.len; i++) {
        char c = member->value.ptr[i];
        if (c < '0' || c > '9') return false;
        number = number * 10 + (uint32_t)(c - '0');
    }
    if (number < 1 || number > max) return false;
    *value = number;
    return true;
}

static int visit(void *ctx, const json_member_t *member) {
    reader_t *self = ctx;
    bool flag;

    if (json_named(member, "debugMode")) {
        if (read_bool(member, &flag))
            self->config->debug = flag;
        else
            ignore(self, "debugMode has to be true or false");
    } else if (json_named(member, "verifyCert")) {
        if (read_bool(member, &flag))
            self->config->verify = flag;
        else
            ignore(self, "verifyCert has to be true or false");
    } else if (json_named(member, "uploadToAC")) {
        if (read_bool(member, &flag))
            self->config->upload_to_ac = flag;
        else
            ignore(self, "uploadToAC has to be true or false");
    } else if (json_named(member, "poolSize")) {
        if (!read_count(member, GLOBAL_CONFIG_POOL_MAX, &self->pool_size))
            ignore(self, "poolSize has to be a number from 1 to 1000");
    } else if (json_named(member, "threadPoolSize")) {
        if (!read_count(member, GLOBAL_CONFIG_POOL_MAX, &self->thread_pool_size))
            ignore(self, "threadPoolSize has to be a number from 1 to 1000");
    } else if (json_named(member, "rateLimitPerMin")) {
        if (!read_count(member, GLOBAL_CONFIG_RATE_MAX, &self->config->rate_per_min))
            ignore(self, "rateLimitPerMin has to be a number from 1 to 100000000");
    }
    return 0;
}

int global_config_read(const char *json, size_t size, global_config_t *config, char ignored[256]) {
    global_config_t read = GLOBAL_CONFIG_NONE;
    reader_t reader = {.config = &read, .ignored = ignored};
    char why[JSON_WHY_MAX];
    int err;

    ignored[0] = '\0';
    err = json_walk(json, size, JSON_OBJECT, visit, &reader, NULL, why);
    if (err) {
        (void)snprintf(ignored, 256, "%s", why);
        return err;
    }
    read.pool_size = (uint16_t)(reader.pool_size ? reader.pool_size : reader.thread_pool_size);
    *config = read;
    return 0;
}

static int keep_known(void *ctx, const json_member_t *member) {
    known_t *known = ctx;

    for (size_t i = 0; i < NAMES; i++) {
        if (json_named(member, names[i])) known->value[i] = member->value;
    }
    return 0;
}

size_t global_config_write(span_t object, char text[GLOBAL_CONFIG_TEXT_MAX]) {
    static const span_t null = {"null", 4};
    known_t known = {0};
    size_t len = 0;

    if (json_members(object, keep_known, &known) != 0) return 0;
    for (size_t i = 0; i < NAMES; i++) {
        span_t value = known.value[i].len > VALUE_MAX ? null : known.value[i];
        if (value.ptr)
            len += (size_t)snprintf(text + len, GLOBAL_CONFIG_TEXT_MAX - len, "%c\"%s\":%.*s",
                                    len ? ',' : '{', names[i], (int)value.len, value.ptr);
    }
    if (len > 0) text[len++] = '}';
    return len;
}

bool global_config_merge(global_config_t *config, const global_config_t *more) {
    global_config_t before = *config;

    if (more->debug >= 0) config->debug = more->debug;
    if (more->upload_to_ac >= 0) config->upload_to_ac = more->upload_to_ac;
    if (more->verify) config->verify = true;
    if (more->pool_size) config->pool_size = more->pool_size;
    if (more->rate_per_min) config->rate_per_min = more->rate_per_min;
    return before.debug != config->debug || before.upload_to_ac != config->upload_to_ac ||
           before.verify != config->verify || before.pool_size != config->pool_size ||
           before.rate_per_min != config->rate_per_min;
}
