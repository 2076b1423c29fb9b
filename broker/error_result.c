#include "broker/error_result.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"

int error_result_write(const char *task, size_t task_bytes, const char *task_id, str_t text, text_t *out) {
    char *error = strndup(text.ptr ? text.ptr : "", text.len);
    if (!error) return ERR_NOMEM;
    const result_parts_t parts = {.status_code = 500, .error = error};
    int err = result_json_write(task, task_bytes, &parts, out);
    if (err == ERR_MALFORMED) {
        text_t bare = {0};
        text_clear(out);
        text_add_str(&bare, "{\"taskId\":");
        text_add_json(&bare, task_id, strlen(task_id));
        text_add_str(&bare, "}");
        err = bare.failed ? ERR_NOMEM : result_json_write(bare.ptr, bare.len, &parts, out);
        text_clear(&bare);
    }
    free(error);
    return err;
}
