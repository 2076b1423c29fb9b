#include "control.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "mem.h"
#include "report.h"
#include "waits.h"

#define TIMEOUT_MAX_MS     3600000
#define TIMEOUT_DEFAULT_MS 10000

struct control {
    control_options_t options;
    waits_t *waits;
    const request_t *quitting; /* the one whose answer is the last */
};

void control_turn(void *ctx) {
    const control_t *self = ctx;
    waits_look(self->waits);
}

control_t *control_new(const control_options_t *options) {
    control_t *self = mem_new(1, sizeof *self);
    self->options = *options;
    self->waits = waits_new(options->books, options->faults);
    return self;
}

void control_destroy(control_t **self) {
    if (!*self) return;
    waits_destroy(&(*self)->waits);
    free(*self);
    *self = NULL;
}

static void reply(request_t *request, int status, span_t body) {
    answer_t *answer = answer_with(status, "application/json", body);
    request_answer(request, &answer, 0);
}

static void reply_books(const control_t *self, request_t *request) {
    buf_t body = {0};
    report_books(self->options.books, self->options.faults, &body);
    reply(request, 200, span_buf(&body));
    buf_free(&body);
}

static void reply_error(request_t *request, int status, const char *text) {
    answer_t *answer = answer_with(status, "text/plain", span_of(text));
    request_answer(request, &answer, 0);
}

static void get_books(control_t *self, request_t *request) {
    reply_books(self, request);
}

static void get_task_record(control_t *self, request_t *request) {
    const char *id = request_query(request, "id");
    task_t *task = id ? tasks_by_id(self->options.target.tasks, span_of(id)) : NULL;
    if (!task) {
        reply_error(request, 404, "no task with this id\n");
        return;
    }
    buf_t body = {0};
    report_task(self->options.target.tasks, task, &body);
    reply(request, 200, span_buf(&body));
    buf_free(&body);
}

static void get_outstanding(control_t *self, request_t *request) {
    buf_t body = {0};
    report_outstanding(self->options.target.tasks, &body);
    reply(request, 200, span_buf(&body));
    buf_free(&body);
}

static void get_wait(control_t *self, request_t *request) {
    const char *condition = request_query(request, "cond");
    const char *timeout = request_query(request, "timeoutMs");
    int64_t timeout_ms = TIMEOUT_DEFAULT_MS;
    buf_t error = {0};
    if (timeout && !number_parse(timeout, 0, TIMEOUT_MAX_MS, &timeout_ms))
        buf_text(&error, "timeoutMs should be milliseconds");
    else
        waits_add(self->waits, request, condition ? condition : "", timeout_ms * 1000, &error);
    if (error.len) reply_error(request, 400, error.data);
    buf_free(&error);
}

static void post_tasks(control_t *self, request_t *request) {
    int64_t added = 0;
    buf_t error = {0};
    bool good = script_run(&self->options.target, request_body(request), &added, &error);
    ac_api_wake(self->options.ac_api);
    buf_t body = {0};
    buf_printf(&body, "{\"added\":%" PRId64 "}", added);
    if (good)
        reply(request, 200, span_buf(&body));
    else
        reply_error(request, 400, error.data);
    buf_free(&body);
    buf_free(&error);
}

static bool add_faults(control_t *self, span_t list, buf_t *error) {
    members_t rules;
    bool good = json_elements(list, &rules);
    if (!good) buf_text(error, "faults should be a list of rules");
    for (size_t i = 0; good && i < rules.count; i++) {
        char *rule = json_scalar(rules.items[i].value);
        good = rule && faults_add(self->options.faults, rule, error);
        free(rule);
    }
    members_free(&rules);
    return good;
}

/* {"acDownMs": N} or {"toolDownMs": N}; false for any other member. */
static bool take_down(control_t *self, const member_t *member, buf_t *error) {
    bool tool = span_is(member->key, "toolDownMs");
    int64_t for_ms = 0;
    if (!tool && !span_is(member->key, "acDownMs")) return false;
    char *value = json_scalar(member->value);
    if (value && number_parse(value, 1, TIMEOUT_MAX_MS, &for_ms))
        self->options.down(self->options.down_ctx, tool, for_ms);
    else
        buf_text(error, "acDownMs and toolDownMs should be milliseconds");
    free(value);
    return true;
}

static bool set_one(control_t *self, const member_t *member, buf_t *error) {
    if (span_is(member->key, "faults")) faults_clear(self->options.faults);
    if (span_is(member->key, "faults") || span_is(member->key, "addFaults"))
        return add_faults(self, member->value, error);
    if (take_down(self, member, error)) return !error->len;
    char *name = mem_copy(member->key.data, member->key.len);
    char *value = json_scalar(member->value);
    bool known = true;
    bool good = value && settings_set(self->options.settings, name, value, &known, error) && known;
    if (!good && !error->len) buf_printf(error, "unknown or bad member \"%s\"", name);
    free(name);
    free(value);
    return good;
}

static void post_config(control_t *self, request_t *request) {
    members_t members = {0};
    buf_t error = {0};
    if (!json_valid(request_body(request)) || !json_members(request_body(request), &members))
        buf_text(&error, "the configuration is no JSON object");
    for (size_t i = 0; i < members.count && !error.len; i++)
        set_one(self, &members.items[i], &error);
    members_free(&members);
    ac_api_wake(self->options.ac_api);
    if (error.len)
        reply_error(request, 400, error.data);
    else
        reply(request, 200, span_of("{}"));
    buf_free(&error);
}

static void post_quit(control_t *self, request_t *request) {
    reply_books(self, request);
    self->quitting = request;
}

static const struct {
    const char *name;
    const char *method;
    void (*run)(control_t *self, request_t *request);
} CONTROLS[] = {
    {"books", "GET", get_books},   {"task", "GET", get_task_record},
    {"wait", "GET", get_wait},     {"outstanding", "GET", get_outstanding},
    {"tasks", "POST", post_tasks}, {"config", "POST", post_config},
    {"quit", "POST", post_quit},
};

void control_request(control_t *self, request_t *request, span_t what) {
    for (size_t i = 0; i < sizeof CONTROLS / sizeof CONTROLS[0]; i++) {
        if (!span_is(what, CONTROLS[i].name)) continue;
        if (span_is(request_method(request), CONTROLS[i].method))
            CONTROLS[i].run(self, request);
        else
            reply_error(request, 405, "wrong method\n");
        return;
    }
    reply_error(request, 404, "no such control\n");
}

void control_done(control_t *self, const request_t *request) {
    waits_remove(self->waits, request);
    if (self->quitting == request) loop_stop(self->options.loop);
}
