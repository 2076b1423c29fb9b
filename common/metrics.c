#include "common/metrics.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daily_file.h"
#include "common/dirs.h"
#include "common/err.h"
#include "common/task_json.h"

#define BUFFER_BYTES ((size_t)64 * 1024) /* more is written at once */
#define URL_MAX      2000

struct metrics_t {
    daily_file_t file;
    text_t lines;
    int64_t due_ms;
};

int metrics_new(const config_t *config, metrics_t **self, char why[512]) {
    char dir[PATH_MAX], path[PATH_MAX];
    *self = NULL;
    if (!config->metrics) return 0;
    (void)snprintf(why, 512, "the metrics file: out of memory");
    metrics_t *made = calloc(1, sizeof *made);
    if (!made) return ERR_NOMEM;
    int dir_len = snprintf(dir, sizeof dir, "%s/metrics", config->log_dir);
    int len = snprintf(path, sizeof path, "%s/metrics%s.json", dir, config->index);
    int err = dirs_make(config->log_dir, "--logDir", why);
    if (!err) err = dirs_make(dir, "--logDir", why);
    if (!err && ((size_t)dir_len >= sizeof dir || (size_t)len >= sizeof path)) {
        (void)snprintf(why, 512, "logDir is too long");
        err = ERR_IO;
    }
    if (err) {
        free(made);
        return err;
    }
    /* one that cannot be opened yet is tried at each flush */
    (void)daily_file_open(&made->file, path, config->metrics_retention_days, clock_wall_ms() / 1000);
    made->due_ms = INT64_MAX;
    *self = made;
    return 0;
}

static void flush(metrics_t *self) {
    if (self->lines.len > 0)
        (void)daily_file_write(&self->file, self->lines.ptr, self->lines.len, clock_wall_ms() / 1000);
    text_clear(&self->lines);
    self->due_ms = INT64_MAX;
}

void metrics_destroy(metrics_t **self) {
    if (!*self) return;
    flush(*self);
    daily_file_close(&(*self)->file);
    free(*self);
    *self = NULL;
}

/* --- lines --- */

static void begin(text_t *line, const char *name, int64_t value, const char *task_id) {
    char head[160];
    (void)snprintf(head, sizeof head,
                   "{\"@timestamp\": %" PRId64 ", \"metric_name\": \"%s\", \"value\": %" PRId64
                   ", \"tags\": {\"task_id\": ",
                   clock_wall_ms(), name, value);
    text_add_str(line, head);
    if (!task_id) task_id = "none";
    text_add_json(line, task_id, strlen(task_id));
}

static void tag(text_t *line, const char *name, const char *value, size_t len) {
    text_add_str(line, ", \"");
    text_add_str(line, name);
    text_add_str(line, "\": ");
    text_add_json(line, value, len);
}

static void tag_str(text_t *line, const char *name, const char *value) {
    tag(line, name, value, strlen(value));
}

static void tag_status(text_t *line, const char *name, int status) {
    char number[16];
    (void)snprintf(number, sizeof number, "%d", status);
    tag_str(line, name, status > 0 ? number : "unknown");
}

/* A line without memory for all of it is left out. */
static void end(metrics_t *self, text_t *line) {
    text_add_str(line, "}}\n");
    size_t before = self->lines.len;
    if (!line->failed) text_add(&self->lines, line->ptr, line->len);
    if (self->lines.failed) { /* what was there is whole */
        self->lines.failed = false;
        self->lines.len = before;
    }
    text_clear(line);
    if (self->lines.len >= BUFFER_BYTES) flush(self);
    if (self->lines.len > 0 && self->due_ms == INT64_MAX) self->due_ms = clock_boot_ms() + METRICS_FLUSH_MS;
}

/* The pieces of a URL that may be shown. */
typedef struct {
    size_t scheme;               /* with "://" */
    const char *authority, *end; /* host and port, and where query or fragment begin */
    const char *host, *host_end;
} shown_t;

static bool read_url(const char *url, shown_t *shown) {
    const char *mark = url ? strstr(url, "://") : NULL;
    if (!mark || mark == url) return false;
    shown->scheme = (size_t)(mark + 3 - url);
    shown->authority = mark + 3;
    const char *path = shown->authority + strcspn(shown->authority, "/?#\\");
    shown->end = path + strcspn(path, "?#");
    for (const char *at = shown->authority; at < path; at++)
        if (*at == '@') shown->authority = at + 1;
    shown->host = shown->authority;
    shown->host_end = *shown->host == '[' ? memchr(shown->host, ']', (size_t)(path - shown->host)) : NULL;
    if (shown->host_end)
        shown->host_end++;
    else
        shown->host_end = shown->host + strcspn(shown->host, ":/?#\\");
    return shown->host_end > shown->host;
}

static void tag_domain(text_t *line, const char *url) {
    shown_t shown;
    if (read_url(url, &shown))
        tag(line, "domain", shown.host, (size_t)(shown.host_end - shown.host));
    else
        tag_str(line, "domain", "unknown");
}

static void tag_url(text_t *line, const char *url) {
    shown_t shown;
    char text[URL_MAX];
    if (!read_url(url, &shown)) {
        tag_str(line, "url", "unknown");
        return;
    }
    int len = snprintf(text, sizeof text, "%.*s%.*s", (int)(shown.scheme < 32 ? shown.scheme : 32), url,
                       (int)(shown.end - shown.authority < URL_MAX ? shown.end - shown.authority : URL_MAX),
                       shown.authority);
    tag(line, "url", text, len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

static const char *error_type(int status, bool timed_out) {
    if (timed_out) return "timeout";
    if (status == 429) return "rate_limit";
    if (status == 408 || status == 504) return "timeout";
    if (status >= 500) return "server_error";
    return status >= 400 ? "client_error" : NULL;
}

void metrics_request(metrics_t *self, const metrics_request_t *request) {
    text_t line = {0};
    if (!self) return;
    bool success = !request->failed && request->status > 0 && request->status < 400;
    const char *type = request->upload && !success ? error_type(request->status, request->timed_out) : NULL;
    begin(&line, "http.request.duration_ms", request->elapsed_ms, request->task_id);
    tag_str(&line, "operation", request->operation);
    tag_url(&line, request->url);
    tag_domain(&line, request->url);
    tag_str(&line, "method", request->method ? request->method : "unknown");
    tag_status(&line, "status_code", request->status);
    tag_str(&line, "success", success ? "true" : "false");
    if (request->has_task) tag_str(&line, "has_task", *request->has_task ? "true" : "false");
    if (type) tag_str(&line, "error_type", type);
    end(self, &line);
}

void metrics_task(metrics_t *self, const char *task_id, const char *method, const char *url, int status,
                  int64_t elapsed_ms) {
    text_t line = {0};
    if (!self) return;
    begin(&line, "task.processing_duration_ms", elapsed_ms, task_id);
    tag_str(&line, "method", method ? method : "unknown");
    tag_domain(&line, url);
    tag_status(&line, "http_status", status);
    end(self, &line);
}

void metrics_upload(metrics_t *self, const char *task_id, const char *type, int64_t bytes) {
    text_t line = {0};
    if (!self) return;
    begin(&line, "upload.size_bytes", bytes, task_id);
    tag_str(&line, "upload_type", type);
    end(self, &line);
}

void metrics_turn(metrics_t *self, int64_t now_ms) {
    if (self && now_ms >= self->due_ms) flush(self);
}

int64_t metrics_due(const metrics_t *self) {
    return self ? self->due_ms : INT64_MAX;
}
