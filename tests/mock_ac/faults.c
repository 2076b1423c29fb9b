#include "faults.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define KIND_COUNT    (FAULT_DELAY + 1)
#define PARAM_MAX     86400000
#define MAX_PARTS     5
#define STALL_MS      30000
#define RETRY_SECONDS 2

typedef struct {
    endpoint_t endpoint;
    fault_t fault;
    double probability;
    int64_t left; /* -1: no bound */
} rule_t;

typedef struct {
    endpoint_t endpoint;
    fault_t fault;
    int64_t count;
} injected_t;

struct faults {
    uint64_t seed;
    uint64_t draws;
    rule_t *rules;
    size_t rule_count;
    injected_t *injected;
    size_t injected_count;
};

static const struct {
    const char *name;
    int64_t param; /* when none is given */
} KINDS[KIND_COUNT] = {
    [FAULT_429_CONC] = {"429conc", 0},
    [FAULT_429_RATE] = {"429rate", RETRY_SECONDS},
    [FAULT_429_RETRY] = {"429retry", RETRY_SECONDS},
    [FAULT_RESET] = {"reset", 0},
    [FAULT_RESET_AFTER] = {"reset_after", 0},
    [FAULT_STALL] = {"stall", STALL_MS},
    [FAULT_HALF] = {"half", 0},
    [FAULT_GARBAGE] = {"garbage", 0},
    [FAULT_DELAY] = {"delay", 1000},
};

faults_t *faults_new(uint64_t seed) {
    faults_t *self = mem_new(1, sizeof *self);
    self->seed = seed;
    return self;
}

void faults_destroy(faults_t **self) {
    if (!*self) return;
    free((*self)->rules);
    free((*self)->injected);
    free(*self);
    *self = NULL;
}

static bool kind_parse(const char *text, fault_t *out) {
    int64_t status = 0;
    if (number_parse(text, 200, 599, &status)) {
        *out = (fault_t){FAULT_STATUS, (int)status, 0};
        return true;
    }
    for (int i = 0; i < KIND_COUNT; i++) {
        if (KINDS[i].name && strcmp(text, KINDS[i].name) == 0) {
            *out = (fault_t){(fault_kind_t)i, 0, KINDS[i].param};
            return true;
        }
    }
    return false;
}

bool fault_parse(const char *text, fault_t *out) {
    char *copy = mem_copy(text, strlen(text));
    char *colon = strchr(copy, ':');
    if (colon) *colon = '\0';
    fault_t fault = {0};
    bool good = kind_parse(copy, &fault) && (!colon || number_parse(colon + 1, 0, PARAM_MAX, &fault.param));
    free(copy);
    if (good) *out = fault;
    return good;
}

bool fault_answers(fault_t fault, int *status, buf_t *text) {
    *status = fault.kind == FAULT_STATUS ? fault.status : fault.kind == FAULT_GARBAGE ? 200 : 429;
    switch (fault.kind) {
    case FAULT_STATUS:
        buf_printf(text, "injected status %d", fault.status);
        return true;
    case FAULT_429_CONC:
        buf_text(text, "Too many concurrent requests");
        return true;
    case FAULT_429_RATE:
    case FAULT_429_RETRY:
        buf_text(text, "Too many requests");
        return true;
    case FAULT_GARBAGE:
        buf_text(text, "{\"data\":{\"taskId\":<this is no JSON");
        return true;
    default:
        return false;
    }
}

static bool probability_parse(const char *text, double *out) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= 1)) return false;
    *out = value;
    return true;
}

/* Reads the parts behind the probability: a parameter, a count, or both. */
static bool rule_tail(char **parts, int count, rule_t *rule) {
    for (int i = 3; i < count; i++) {
        if (parts[i][0] == 'x' ? !number_parse(parts[i] + 1, 1, INT64_MAX, &rule->left)
                               : i > 3 || !number_parse(parts[i], -1, PARAM_MAX, &rule->fault.param))
            return false;
    }
    return true;
}

static const char *rule_parse(char *text, rule_t *rule) {
    char *parts[MAX_PARTS] = {0};
    int count = 0;
    for (char *rest = text, *part; (part = strsep(&rest, ":"));) {
        if (count == MAX_PARTS) return "has too many parts";
        parts[count++] = part;
    }
    *rule = (rule_t){.left = -1};
    rule->endpoint = endpoint_named(span_of(parts[0]));
    if (count < 3) return "is not ENDPOINT:KIND:PROBABILITY[:PARAM][:xCOUNT]";
    if (rule->endpoint == ENDPOINT_OTHER)
        return "names no endpoint (get-task, put-result, upload-result, upload-url, upload-logs, store, "
               "tool)";
    if (!kind_parse(parts[1], &rule->fault))
        return "names no kind (a status from 200 to 599, 429conc, 429rate, 429retry, reset, reset_after, "
               "stall, "
               "half, garbage, delay)";
    if (!probability_parse(parts[2], &rule->probability)) return "has no probability from 0 to 1";
    return rule_tail(parts, count, rule) ? NULL : "has a bad PARAM (a number) or COUNT (x and a number)";
}

bool faults_add(faults_t *self, const char *text, buf_t *error) {
    rule_t rule;
    char *copy = mem_copy(text, strlen(text));
    const char *wrong = rule_parse(copy, &rule);
    free(copy);
    if (wrong) {
        buf_printf(error, "fault rule \"%s\" %s", text, wrong);
        return false;
    }
    self->rules = mem_resize(self->rules, self->rule_count + 1, sizeof rule);
    self->rules[self->rule_count++] = rule;
    return true;
}

void faults_clear(faults_t *self) {
    self->rule_count = 0;
}

void faults_count(faults_t *self, endpoint_t endpoint, fault_t fault) {
    for (size_t i = 0; i < self->injected_count; i++) {
        injected_t *entry = &self->injected[i];
        if (entry->endpoint == endpoint && entry->fault.kind == fault.kind &&
            entry->fault.status == fault.status) {
            entry->count++;
            return;
        }
    }
    self->injected = mem_resize(self->injected, self->injected_count + 1, sizeof *self->injected);
    self->injected[self->injected_count++] = (injected_t){endpoint, fault, 1};
}

static bool rule_hits(faults_t *self, rule_t *rule) {
    if (rule->left == 0) return false;
    double draw = (double)(mix64(self->seed, self->draws++) >> 11) / (double)(1ull << 53);
    return draw < rule->probability;
}

fault_t faults_pick(faults_t *self, endpoint_t endpoint) {
    for (size_t i = 0; i < self->rule_count; i++) {
        rule_t *rule = &self->rules[i];
        if (rule->endpoint != endpoint || !rule_hits(self, rule)) continue;
        if (rule->left > 0) rule->left--;
        faults_count(self, endpoint, rule->fault);
        return rule->fault;
    }
    return (fault_t){0};
}

void faults_each(const faults_t *self, void (*each)(void *ctx, const char *name, int64_t count), void *ctx) {
    buf_t name = {0};
    for (size_t i = 0; i < self->injected_count; i++) {
        const injected_t *entry = &self->injected[i];
        buf_clear(&name);
        buf_printf(&name, "%s:", endpoint_name(entry->endpoint));
        if (entry->fault.kind == FAULT_STATUS)
            buf_printf(&name, "%d", entry->fault.status);
        else
            buf_text(&name, KINDS[entry->fault.kind].name);
        each(ctx, name.data, entry->count);
    }
    buf_free(&name);
}
