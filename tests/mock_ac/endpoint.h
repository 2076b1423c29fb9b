/* The places a request can go to: AC's calls, its store, the tool. */
#ifndef MOCK_AC_ENDPOINT_H
#define MOCK_AC_ENDPOINT_H

#include "text.h"

typedef enum {
    ENDPOINT_GET_TASK,
    ENDPOINT_PUT_RESULT,
    ENDPOINT_UPLOAD_RESULT,
    ENDPOINT_UPLOAD_URL,
    ENDPOINT_UPLOAD_LOGS,
    ENDPOINT_STORE,
    ENDPOINT_TOOL,
    ENDPOINT_COUNT,
    ENDPOINT_OTHER = ENDPOINT_COUNT
} endpoint_t;

/* The name used in options and reports, such as "put-result". */
const char *endpoint_name(endpoint_t endpoint);

/* The endpoint with this name, or ENDPOINT_OTHER. */
endpoint_t endpoint_named(span_t name);

#endif
