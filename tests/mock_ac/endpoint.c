#include "endpoint.h"

static const char *const NAMES[ENDPOINT_COUNT + 1] = {
    [ENDPOINT_GET_TASK] = "get-task",
    [ENDPOINT_PUT_RESULT] = "put-result",
    [ENDPOINT_UPLOAD_RESULT] = "upload-result",
    [ENDPOINT_UPLOAD_URL] = "upload-url",
    [ENDPOINT_UPLOAD_LOGS] = "upload-logs",
    [ENDPOINT_STORE] = "store",
    [ENDPOINT_TOOL] = "tool",
    [ENDPOINT_OTHER] = "other",
};

const char *endpoint_name(endpoint_t endpoint) {
    return NAMES[endpoint];
}

endpoint_t endpoint_named(span_t name) {
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        if (span_is(name, NAMES[i])) return (endpoint_t)i;
    return ENDPOINT_OTHER;
}
