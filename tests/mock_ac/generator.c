#include "generator.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define BYTES_MAX    (INT64_C(1) << 40)
#define MS_MAX       INT64_C(86400000)
#define STATUSES_MAX 32
#define METHODS_MAX  16

/* Each draw of a task has a number of its own, so that one range does not move the others. */
enum { DRAW_METHOD, DRAW_STATUS, DRAW_DELAY, DRAW_BODY, DRAW_INPUT, DRAW_BYTES, DRAWS };

struct generator {
    uint64_t seed;
    char *methods[METHODS_MAX];
    size_t method_count;
    int statuses[STATUSES_MAX];
    size_t status_count;
    range_t delay_ms;
    range_t body_bytes;
    int64_t body_zeros; /* percent */
    range_t input_bytes;
    int64_t expiry_ms;
};

static void free_methods(generator_t *self) {
    for (size_t i = 0; i < self->method_count; i++)
        free(self->methods[i]);
    self->method_count = 0;
}

static bool set_methods(generator_t *self, const char *value) {
    free_methods(self);
    char *copy = mem_copy(value, strlen(value));
    bool good = true;
    for (char *rest = copy, *part; good && (part = strsep(&rest, ","));) {
        good = *part && strspn(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(part) &&
               self->method_count < METHODS_MAX;
        if (good) self->methods[self->method_count++] = mem_copy(part, strlen(part));
    }
    free(copy);
    return good;
}

static bool set_statuses(generator_t *self, const char *value) {
    self->status_count = 0;
    char *copy = mem_copy(value, strlen(value));
    bool good = true;
    for (char *rest = copy, *part; good && (part = strsep(&rest, ","));) {
        int64_t status = 0;
        good = number_parse(part, 200, 599, &status) && self->status_count < STATUSES_MAX;
        if (good) self->statuses[self->status_count++] = (int)status;
    }
    free(copy);
    return good;
}

generator_t *generator_new(uint64_t seed) {
    generator_t *self = mem_new(1, sizeof *self);
    *self =
        (generator_t){.seed = seed, .body_bytes = {200, 200}, .input_bytes = {20, 20}, .expiry_ms = 300000};
    set_methods(self, "GET,POST");
    set_statuses(self, "200");
    return self;
}

void generator_destroy(generator_t **self) {
    if (!*self) return;
    free_methods(*self);
    free(*self);
    *self = NULL;
}

generator_t *generator_copy(const generator_t *self) {
    generator_t *copy = mem_new(1, sizeof *copy);
    *copy = *self;
    for (size_t i = 0; i < self->method_count; i++)
        copy->methods[i] = mem_copy(self->methods[i], strlen(self->methods[i]));
    return copy;
}

/* What the value should have been, or NULL when it was taken. */
static const char *set(generator_t *self, const char *name, const char *value, bool *known) {
    *known = true;
    if (strcmp(name, "methods") == 0)
        return set_methods(self, value) ? NULL : "upper-case methods with commas between them";
    if (strcmp(name, "statuses") == 0)
        return set_statuses(self, value) ? NULL : "statuses from 200 to 599 with commas between them";
    if (strcmp(name, "toolDelayMs") == 0)
        return range_parse(value, MS_MAX, &self->delay_ms) ? NULL : "N or A-B in milliseconds";
    if (strcmp(name, "bodyBytes") == 0)
        return range_parse(value, BYTES_MAX, &self->body_bytes) ? NULL : "N or A-B in bytes";
    if (strcmp(name, "bodyZeros") == 0)
        return number_parse(value, 0, 100, &self->body_zeros) ? NULL : "a percentage";
    if (strcmp(name, "inputBytes") == 0)
        return range_parse(value, INT32_MAX, &self->input_bytes) ? NULL : "N or A-B in bytes";
    if (strcmp(name, "expiryMs") == 0)
        return number_parse(value, 1, MS_MAX, &self->expiry_ms) ? NULL : "milliseconds";
    *known = false;
    return NULL;
}

bool generator_set(generator_t *self, const char *name, const char *value, bool *known, buf_t *error) {
    const char *right = set(self, name, value, known);
    if (right) buf_printf(error, "%s \"%s\" should be %s", name, value, right);
    return !right;
}

static uint64_t draw(const generator_t *self, uint64_t number, unsigned purpose) {
    return mix64(self->seed, number * DRAWS + purpose);
}

static bool method_has_input(const char *method) {
    return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "OPTIONS") != 0;
}

static void make_one(const generator_t *self, tasks_t *tasks) {
    uint64_t number = tasks_next_number(tasks);
    const char *method = self->methods[draw(self, number, DRAW_METHOD) % self->method_count];
    buf_t id = {0};
    buf_printf(&id, "task-%06" PRIu64 "-%08" PRIx32, number, (uint32_t)draw(self, number, DRAW_BYTES));
    task_init_t init = {.id = id.data, .number = number, .lifetime_ms = self->expiry_ms};
    init.method = mem_copy(method, strlen(method));
    if (method_has_input(method))
        init.input_bytes = (uint64_t)range_pick(self->input_bytes, draw(self, number, DRAW_INPUT));
    uint64_t body_bytes = (uint64_t)range_pick(self->body_bytes, draw(self, number, DRAW_BODY));
    init.plan = (plan_t){
        .known = true,
        .status = self->statuses[draw(self, number, DRAW_STATUS) % self->status_count],
        .delay_ms = range_pick(self->delay_ms, draw(self, number, DRAW_DELAY)),
        .body = body_computed(draw(self, number, DRAW_BYTES), body_bytes),
    };
    init.plan.body.zeros = (unsigned)self->body_zeros;
    if (init.plan.status == 204 || init.plan.status == 304) init.plan.body.len = 0;
    tasks_add(tasks, &init);
}

void generator_make(const generator_t *self, tasks_t *tasks, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        make_one(self, tasks);
}

void generated_input(const task_t *task, buf_t *out) {
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyz \"quoted\" back\\slash & 0123456789+/=%.";
    uint64_t at = task_number(task);
    for (uint64_t left = task_input_bytes(task); left; left--, at++)
        buf_add(out, &LETTERS[at % (sizeof LETTERS - 1)], 1);
}

static void render_input(const task_t *task, buf_t *out) {
    buf_t input = {0};
    generated_input(task, &input);
    for (size_t i = 0; i < input.len; i++) {
        if (input.data[i] == '"' || input.data[i] == '\\') buf_text(out, "\\");
        buf_add(out, &input.data[i], 1);
    }
    buf_free(&input);
}

void generated_render(const task_t *task, const char *tool_url, buf_t *out) {
    uint64_t number = task_number(task);
    span_t id = task_id(task);
    span_t method = task_method(task);
    buf_printf(out, "{\"taskId\":\"%.*s\",\"url\":\"%s/t/%" PRIu64 "?page=1&q=a%%20b\",", (int)id.len,
               id.data, tool_url, number);
    buf_printf(out, "\"method\":\"%.*s\",\"requestHeaders\":{\"X-Mock-Task\":\"%" PRIu64 "\"},\"input\":",
               (int)method.len, method.data, number);
    if (task_input_bytes(task)) {
        buf_text(out, "\"");
        render_input(task, out);
        buf_text(out, "\"");
    } else {
        buf_text(out, "null");
    }
    buf_printf(out, ",\"expiryTsMs\":%" PRId64 ",\"x_big\":9007199254740993,\"x_dec\":2.50,\"x_exp\":-1E+2,",
               task_expiry_ts_ms(task));
    buf_text(out, "\"x_str\":\"\\u00e9\\ud83d\\ude00 \\\"q\\\" \\/ caf\xc3\xa9\",\"x_null\":null,"
                  "\"x_nested\":{\"list\":[1, 2.0,{\"deep\":[]}],\"s\":\"} ] ,\",\"t\":true}}");
}
