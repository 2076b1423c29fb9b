#include "uploader/body_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/json_walk.h"
#include "common/log.h"

int body_file_open(const char *runtime_dir, uint64_t number, int64_t *bytes) {
    char path[PATH_MAX], name[32];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/spool", runtime_dir);
    (void)snprintf(name, sizeof name, "%" PRIu64 ".body", number);
    int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return ERR_IO;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    int err = fd >= 0 ? 0 : errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    if (!err && fstat(fd, &info) != 0) err = ERR_IO;
    int reason = errno;
    (void)close(dir);
    if (err && fd >= 0) (void)close(fd);
    errno = reason;
    if (err) return err;
    *bytes = info.st_size;
    return fd;
}

void body_file_unreadable(from_broker_t *results, result_t *result, int err, int64_t now_ms) {
    char reason[160], quoted[LOG_QUOTED_MAX];
    (void)snprintf(reason, sizeof reason, "the body of the result cannot be read from the spool: %.80s",
                   err == ERR_NOT_FOUND ? "it is not there" : strerror(errno));
    const ac_answer_t answer = {.call = CALL_STORE,
                                .outcome = err == ERR_NOT_FOUND ? OUTCOME_REFUSED : OUTCOME_NETWORK,
                                .retry_after_ms = -1,
                                .reason = reason};
    log_error("body_unreadable", "number=%" PRIu64 " why=%s", result->number, log_quote(reason, quoted));
    from_broker_outcome(results, result, 0, &answer, now_ms);
}

void body_file_name(const char *task_id, const char *between, const char *end, char name[BODY_NAME_SIZE]) {
    (void)snprintf(name, BODY_NAME_SIZE, "%.1024s%s%016" PRIx64 "%016" PRIx64 "%s", task_id, between,
                   random_u64(), random_u64(), end);
}

/* A string member looked for by name. */
typedef struct {
    const char *name;
    bool any_case;
    char **text;
} wanted_t;

static bool is_wanted(const wanted_t *wanted, const json_member_t *member) {
    if (!wanted->any_case) return json_named(member, wanted->name);
    return member->name && member->name_len == strlen(wanted->name) &&
           strncasecmp(member->name, wanted->name, member->name_len) == 0;
}

static int take_text(void *ctx, const json_member_t *member) {
    wanted_t *wanted = ctx;
    size_t len;
    if (member->kind != JSON_STRING || !is_wanted(wanted, member)) return 0;
    free(*wanted->text);
    *wanted->text = NULL;
    return json_string(member->value, wanted->text, &len, NULL);
}

static int find_text(span_t object, const char *name, bool any_case, char **text) {
    char why[JSON_WHY_MAX];
    wanted_t wanted = {name, any_case, text};
    return json_walk(object.ptr, object.len, JSON_OBJECT, take_text, &wanted, NULL, why);
}

int presigned_read(const char *answer, size_t size, char **put_url, char **get_url) {
    char why[256], *put = NULL, *get = NULL;
    span_t data = {0};
    int err = task_json_answer(answer, size, &data, why);
    if (!err && !data.ptr) err = ERR_MALFORMED;
    if (!err) err = find_text(data, "putUrl", false, &put);
    if (!err) err = find_text(data, "getUrl", false, &get);
    if (!err && (!put || !get || !put[0] || !get[0])) err = ERR_MALFORMED;
    if (err) {
        free(put);
        free(get);
        return err;
    }
    *put_url = put;
    *get_url = get;
    return 0;
}

static int take_headers(void *ctx, const json_member_t *member) {
    if (member->kind == JSON_OBJECT && json_named(member, "responseHeaders")) *(span_t *)ctx = member->value;
    return 0;
}

char *result_header(const char *result, size_t size, const char *name) {
    char why[JSON_WHY_MAX], *text = NULL;
    span_t headers = {0};
    if (json_walk(result, size, JSON_OBJECT, take_headers, &headers, NULL, why) != 0 || !headers.ptr)
        return NULL;
    if (find_text(headers, name, true, &text) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
