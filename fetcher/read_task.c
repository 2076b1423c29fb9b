#include "fetcher/read_task.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "common/global_config.h"
#include "common/task_json.h"
#include "fetcher/broken_task.h"

#define AGENT_ERROR "Agent Side Error: Error: "

static str_t keep(char *room, size_t size, const char *text, size_t len) {
    if (len > size) len = size;
    memcpy(room, text, len);
    return (str_t){room, (uint32_t)len};
}

/* A taskId goes by the digest of its text. */
static str_t keep_digest(read_task_t *task, const char *text, size_t len) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int bytes = 0;
    if (EVP_Digest(text, len, digest, &bytes, EVP_sha256(), NULL) != 1) bytes = 0;
    int at = snprintf(task->task_id, sizeof task->task_id, "sha256:");
    for (unsigned i = 0; i < bytes; i++)
        at += snprintf(task->task_id + at, sizeof task->task_id - (size_t)at, "%02x", digest[i]);
    return (str_t){task->task_id, (uint32_t)at};
}

/* One that is too long for the protocol, or no text at all, by its digest. */
static str_t keep_task_id(read_task_t *task, const task_t_json *json) {
    if (!json->task_id) return keep_digest(task, json->odd_id.ptr, json->odd_id.len);
    size_t len = strlen(json->task_id);
    if (len > sizeof task->task_id) return keep_digest(task, json->task_id, len);
    return keep(task->task_id, sizeof task->task_id, json->task_id, len);
}

/* The host of a URL, lower-case, without user and port; empty when there is none to be seen. */
static str_t keep_host(read_task_t *task, const char *url) {
    const char *from = strstr(url, "://");
    if (!from) return str_of("");
    from += 3;
    const char *to = from + strcspn(from, "/?#\\");
    for (const char *at = from; at < to; at++)
        if (*at == '@') from = at + 1;
    const char *end = *from == '[' ? memchr(from, ']', (size_t)(to - from)) : NULL;
    if (end) {
        end++;
    } else {
        end = memchr(from, ':', (size_t)(to - from));
        if (!end) end = to;
    }
    str_t host = keep(task->host, sizeof task->host, from, (size_t)(end - from));
    for (uint32_t i = 0; i < host.len; i++)
        task->host[i] = (char)tolower((unsigned char)task->host[i]);
    return host;
}

/* Why a task cannot be run, NULL when it can. */
static const char *fault_of(const task_t_json *json, int read_result, const char *why) {
    if (read_result != 0) return why;
    if (!json->url) return "the task has no url";
    if (!json->method) return "the task has no method";
    return NULL;
}

static void describe(const task_t_json *json, const char *fault, int64_t wall_ms, read_task_t *task) {
    msg_fetched_t *fetched = &task->fetched;
    fetched->task_id = keep_task_id(task, json);
    if (json->method)
        fetched->method = keep(task->method, sizeof task->method, json->method, strlen(json->method));
    if (json->url) fetched->host = keep_host(task, json->url);
    if (json->method && json->idempotent) fetched->flags |= TASK_IDEMPOTENT;
    if (json->logs) fetched->flags |= TASK_LOGS;
    fetched->fetched_ms = wall_ms;
    fetched->expiry_ms = json->has_expiry ? json->expiry_ms : wall_ms + EXPIRY_DEFAULT_MS;
    if (json->global_config.ptr)
        fetched->config =
            (str_t){task->config, (uint32_t)global_config_write(json->global_config, task->config)};
    if (fetched->config.len > 0) fetched->flags |= TASK_CONFIG;
    if (json->bad_config) snprintf(task->note, sizeof task->note, "globalConfig ignored; it is no object");
    if (!fault) return;
    fetched->flags |= TASK_INVALID;
    snprintf(task->error, sizeof task->error, AGENT_ERROR "%s", fault);
    fetched->error = str_of(task->error);
}

/* A task object; `broken` says why its answer is no JSON, NULL when it is. */
static outcome_t read_object(span_t raw, const char *broken, int64_t wall_ms, read_task_t *task,
                             char why[256]) {
    outcome_t outcome = OUTCOME_MALFORMED;
    task_t_json json;
    char complaint[256];
    int rc = task_json_read_known(raw, &json, complaint);
    if (json.task_id || json.odd_id.ptr) {
        describe(&json, broken ? broken : fault_of(&json, rc, complaint), wall_ms, task);
        task->task = raw.ptr;
        task->task_bytes = raw.len;
        outcome = OUTCOME_DONE;
    } else if (!broken) {
        snprintf(why, 256, "%s", rc == 0 ? "a task without taskId" : complaint);
    }
    task_json_clear(&json);
    return outcome;
}

outcome_t read_task(const char *answer, size_t answer_bytes, int64_t wall_ms, read_task_t *task,
                    char why[256]) {
    span_t raw = {NULL, 0};
    char broken[320];
    memset(task, 0, sizeof *task);
    why[0] = '\0';
    if (task_json_answer(answer, answer_bytes, &raw, why) == 0)
        return raw.ptr ? read_object(raw, NULL, wall_ms, task, why) : OUTCOME_EMPTY;
    if (broken_task_read(answer, answer_bytes, &task->left) != 0 || task->left.len == 0)
        return OUTCOME_MALFORMED;
    snprintf(broken, sizeof broken, "the task is no JSON (%s); what of it cannot be read is left out here",
             why);
    return read_object((span_t){task->left.ptr, task->left.len}, broken, wall_ms, task, why);
}

void read_task_clear(read_task_t *task) {
    text_clear(&task->left);
    task->task = NULL;
    task->task_bytes = 0;
}
