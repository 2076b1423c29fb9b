/* An answer of get-task, through all that reads it: the fetcher, the executor up to the request, and the
 * result. */
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/global_config.h"
#include "common/json_walk.h"
#include "common/utf8.h"
#include "executor/request.h"
#include "fetcher/read_task.h"
#include "fuzz.h"

static void must(bool holds) {
    if (!holds) abort();
}

/* Whatever the task is, its result is a JSON object, or there is none; the same with the task checked anew
 * and without. */
static void write_result(span_t raw, const result_parts_t *parts) {
    text_t result = {0}, known = {0};
    char why[JSON_WHY_MAX];
    int err = result_json_write(raw.ptr, raw.len, parts, &result);

    must(err == 0 || err == ERR_MALFORMED);
    if (!err) must(json_walk(result.ptr, result.len, JSON_OBJECT, NULL, NULL, NULL, why) == 0);
    if (!err) must(utf8_valid(result.ptr, result.len) == result.len);
    must(result_json_write_known(raw, parts, &known) == err);
    must(err || (known.len == result.len && memcmp(known.ptr, result.ptr, known.len) == 0));
    text_clear(&result);
    text_clear(&known);
}

static void write_results(span_t raw, const task_t_json *task) {
    pair_t headers[] = {{(char *)(uintptr_t) "X", (char *)(uintptr_t) "y", 1, 1},
                        {(char *)(uintptr_t) "x", (char *)(uintptr_t) "\xff", 1, 1}};

    write_result(raw, &(result_parts_t){.status_code = 200,
                                        .headers = headers,
                                        .header_count = 2,
                                        .body = task->body_bytes ? task->body : NULL,
                                        .body_bytes = task->body_bytes});
    write_result(raw, &(result_parts_t){.status_code = 500, .error = "Agent Side Error: Error: \"\\\n\xc3"});
    write_result(raw, &(result_parts_t){.zipped = true, .s3_url = "https://store/?a=\"b"});
}

static void run(const char *body, size_t size) {
    char why[256];
    span_t raw = {0};
    task_t_json task;
    request_t request;

    if (task_json_answer(body, size, &raw, why) != 0 || !raw.ptr) return;
    must(raw.ptr >= body && raw.ptr + raw.len <= body + size);
    if (task_json_read(raw.ptr, raw.len, &task, why) == 0) {
        if (request_from_task(&request, &task, why) == 0)
            must(request.url.host && request.url.target[0] == '/');
        request_clear(&request);
        write_results(raw, &task);
    } else {
        must(why[0] != '\0');
    }
    if (task.global_config.ptr) {
        global_config_t config;
        char text[GLOBAL_CONFIG_TEXT_MAX];
        size_t len = global_config_write(task.global_config, text);
        (void)global_config_read(task.global_config.ptr, task.global_config.len, &config, why);
        must(len < sizeof text && (len == 0 || global_config_read(text, len, &config, why) == 0));
    }
    task_json_clear(&task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* in memory of its own size, so that an octet read too far is seen */
    char *body = malloc(size ? size : 1), why[256];
    read_task_t *read = malloc(sizeof *read);

    must(body && read);
    if (size) memcpy(body, data, size);
    run(body, size);
    if (read_task(body, size, 1700000000000, read, why) == OUTCOME_DONE)
        must(json_walk(read->task, read->task_bytes, JSON_OBJECT, NULL, NULL, NULL, why) == 0);
    read_task_clear(read);
    free(read);
    free(body);
    return 0;
}
