#include "script.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "mem.h"
#include "script_tool.h"

#define LIFETIME_MS 300000
#define COUNT_MAX   10000000

/* The decoded string member as C text, or NULL. The caller frees it. */
static char *text_member(const members_t *members, const char *name) {
    span_t value = member_value(members, name);
    return json_is_string(value) ? json_scalar(value) : NULL;
}

static void upper_case(char *text) {
    for (; *text; text++)
        if (*text >= 'a' && *text <= 'z') *text = (char)(*text - 'a' + 'A');
}

static void read_expiry(const members_t *task, task_init_t *init) {
    char *text = json_scalar(member_value(task, "expiryTsMs"));
    if (!text || !number_parse(text, 0, INT64_MAX, &init->expiry_ts_ms)) init->lifetime_ms = LIFETIME_MS;
    free(text);
}

/* A task without an id can be handed out but never delivered; it gets a name to file it under. */
static char *task_name(const members_t *task, const tasks_t *tasks) {
    char *id = text_member(task, "taskId");
    for (int64_t i = 0; !id; i++) {
        buf_t name = {0};
        buf_printf(&name, "(no taskId %lld)", (long long)i);
        if (tasks_by_id(tasks, span_buf(&name)))
            buf_free(&name);
        else
            id = name.data;
    }
    return id;
}

static void add_route(const script_target_t *target, const members_t *task, task_t *added) {
    char *url = text_member(task, "url");
    size_t prefix = strlen(target->tool_url);
    if (url && strncmp(url, target->tool_url, prefix) == 0 && task_plan(added)->known)
        routes_add_task(target->routes, span_of(url[prefix] == '/' ? url + prefix : "/"), added);
    free(url);
}

static bool add_task(const script_target_t *target, const members_t *line, buf_t *error) {
    task_init_t init = {0};
    span_t tool = member_value(line, "tool");
    if (tool.len && !script_tool_read(tool, target->tool_url, &init.plan, error)) return false;
    buf_t raw = {0};
    script_expand(member_value(line, "task"), target->tool_url, &raw);
    members_t task;
    if (!json_members(span_buf(&raw), &task)) {
        buf_text(error, "\"task\" is no object");
        plan_free(&init.plan);
        buf_free(&raw);
        return false;
    }
    init.id = task_name(&task, target->tasks);
    char *method = text_member(&task, "method");
    init.method = method ? method : mem_copy("", 0);
    upper_case(init.method);
    init.raw = raw.data;
    init.raw_len = raw.len;
    span_t expect = member_value(line, "expect");
    if (expect.len) init.expect = mem_copy(expect.data, expect.len);
    init.expect_len = expect.len;
    read_expiry(&task, &init);
    add_route(target, &task, tasks_add(target->tasks, &init));
    members_free(&task);
    return true;
}

static bool add_extra(const script_target_t *target, span_t tool, buf_t *error) {
    plan_t plan;
    if (!script_tool_read(tool, target->tool_url, &plan, error)) return false;
    members_t members;
    json_members(tool, &members);
    char *path = text_member(&members, "path");
    char *id = text_member(&members, "taskId");
    members_free(&members);
    if (path)
        routes_add_extra(target->routes, span_of(path), &plan,
                         id ? tasks_by_id(target->tasks, span_of(id)) : NULL);
    else
        buf_text(error, "a line needs \"task\", \"generate\", or \"tool\" with a \"path\"");
    bool good = path != NULL;
    plan_free(&plan);
    free(path);
    free(id);
    return good;
}

static bool set_generator(generator_t *generator, const member_t *member, int64_t *count, buf_t *error) {
    char *name = mem_copy(member->key.data, member->key.len);
    char *value = json_scalar(member->value);
    bool known = true;
    bool good = value != NULL;
    if (good && strcmp(name, "count") == 0)
        good = number_parse(value, 0, COUNT_MAX, count);
    else if (good)
        good = generator_set(generator, name, value, &known, error) && known;
    if (!good && !error->len) buf_printf(error, "\"generate\" has an unknown or bad member \"%s\"", name);
    free(name);
    free(value);
    return good;
}

static bool generate(const script_target_t *target, span_t object, int64_t *added, buf_t *error) {
    members_t members;
    bool good = json_members(object, &members);
    if (!good) buf_text(error, "\"generate\" is no object");
    generator_t *generator = generator_copy(target->generator);
    int64_t count = 1;
    for (size_t i = 0; good && i < members.count; i++)
        good = set_generator(generator, &members.items[i], &count, error);
    if (good) {
        generator_make(generator, target->tasks, count);
        *added += count;
    }
    generator_destroy(&generator);
    members_free(&members);
    return good;
}

static bool run_line(const script_target_t *target, span_t text, int64_t *added, buf_t *error) {
    members_t line;
    if (!json_valid(text) || !json_members(text, &line)) {
        buf_text(error, "is no JSON object");
        return false;
    }
    bool good = true;
    for (size_t i = 0; good && i < line.count; i++) {
        span_t key = line.items[i].key;
        good = span_is(key, "task") || span_is(key, "tool") || span_is(key, "expect") ||
               span_is(key, "generate");
        if (!good) buf_printf(error, "has an unknown member \"%.*s\"", (int)key.len, key.data);
    }
    if (good && member_value(&line, "generate").len) {
        good = generate(target, member_value(&line, "generate"), added, error);
    } else if (good && member_value(&line, "task").len) {
        good = add_task(target, &line, error);
        *added += good;
    } else if (good) {
        span_t tool = member_value(&line, "tool");
        good = add_extra(target, tool.len ? tool : span_of("{}"), error);
    }
    members_free(&line);
    return good;
}

bool script_run(const script_target_t *target, span_t lines, int64_t *added, buf_t *error) {
    const char *end = lines.data + lines.len;
    int number = 1;
    for (const char *at = lines.data; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        span_t line = {at, (size_t)((stop ? stop : end) - at)};
        at = stop ? stop + 1 : end;
        if (strspn(line.data, " \t\r") >= line.len) continue;
        buf_t why = {0};
        if (!run_line(target, line, added, &why)) {
            buf_printf(error, "line %d: %.*s", number, (int)why.len, why.data);
            buf_free(&why);
            return false;
        }
        buf_free(&why);
    }
    return true;
}
