#include "fetcher/broken_task.h"

#include <string.h>

#include "common/err.h"
#include "common/json_walk.h"

typedef struct {
    text_t *task;
    text_t alone; /* an object of one member, to see whether that is JSON */
} salvage_t;

/* Whether name and value are one member, and not the halves of two. */
static bool is_member(const json_member_t *member) {
    size_t colons = 0;
    for (const char *at = member->key.ptr + member->key.len; at < member->value.ptr; at++) {
        if (*at == ',') return false;
        if (*at == ':') colons++;
    }
    return colons == 1;
}

static int find_data(void *ctx, const json_member_t *member) {
    if (!is_member(member)) return ERR_MALFORMED;
    if (json_named(member, "data")) *(span_t *)ctx = member->value;
    return 0;
}

static int keep_member(void *ctx, const json_member_t *member) {
    salvage_t *self = ctx;
    char why[JSON_WHY_MAX];
    if (!is_member(member)) return ERR_MALFORMED;
    self->alone.len = 0;
    text_add(&self->alone, "{", 1);
    text_add(&self->alone, member->key.ptr, member->key.len);
    text_add(&self->alone, ":", 1);
    text_add(&self->alone, member->value.ptr, member->value.len);
    text_add(&self->alone, "}", 1);
    if (self->alone.failed) return ERR_NOMEM;
    int err = json_walk(self->alone.ptr, self->alone.len, JSON_OBJECT, NULL, NULL, NULL, why);
    if (err) return err == ERR_MALFORMED ? 0 : err;
    text_add(self->task, self->task->len > 0 ? "," : "{", 1);
    text_add(self->task, self->alone.ptr + 1, self->alone.len - 2);
    return 0;
}

int broken_task_read(const char *answer, size_t answer_bytes, text_t *task) {
    salvage_t self = {.task = task};
    text_t text = {0};
    span_t data = {"", 0};
    if (answer_bytes >= 3 && memcmp(answer, "\xef\xbb\xbf", 3) == 0) { /* as task_json_answer() skips it */
        answer += 3;
        answer_bytes -= 3;
    }
    text_add_utf8(&text, answer, answer_bytes);
    int err = text.failed ? ERR_NOMEM : 0;
    /* what ends the walk in between does no harm to what it has found */
    if (!err) err = json_members_broken((span_t){text.ptr, text.len}, find_data, &data);
    if (err != ERR_NOMEM) err = json_members_broken(data, keep_member, &self);
    if (task->len > 0) text_add(task, "}", 1);
    if (task->failed) err = ERR_NOMEM;
    text_clear(&self.alone);
    text_clear(&text);
    return err == ERR_NOMEM ? err : 0;
}
