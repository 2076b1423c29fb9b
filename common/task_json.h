/* Reading AC's task JSON and writing the result JSON. The task is never rebuilt from a tree: its members go
 * back byte for byte, and only added or replaced members are new. */
#ifndef SLUICE_COMMON_TASK_JSON_H
#define SLUICE_COMMON_TASK_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLUICE_INLINE_BODY_MAX 512000 /* octets of a body that goes inline into put-result */

/* A piece of the JSON text it was read from. */
typedef struct {
    const char *ptr; /* NULL when the member is absent */
    size_t len;
} span_t;

typedef enum { INPUT_NONE, INPUT_STRING, INPUT_FORM, INPUT_OTHER } input_kind_t;

/* A name and a value, decoded to UTF-8; terminated, and with its length since a value may hold a NUL. */
typedef struct {
    char *name, *value;
    size_t name_len, value_len;
} pair_t;

/* A task as it was read. Owns its decoded texts; `raw` is borrowed from the caller's bytes. */
typedef struct {
    span_t raw;      /* the task object */
    char *task_id;   /* a number as it is written; NULL when absent or anything else */
    span_t odd_id;   /* a taskId that is there and cannot be read: a NUL in it, or another type */
    char *url;       /* likewise */
    char *method;    /* upper-cased; NULL when absent or no string */
    bool idempotent; /* by the method, RFC 9110 section 9.2.2 */
    bool logs;       /* the logs task of the contract, section 4 */
    input_kind_t input;
    char *body; /* INPUT_STRING: its UTF-8 octets; INPUT_FORM: form-encoded */
    size_t body_bytes;
    pair_t *headers; /* a value of NULL (null in the task): the header is not sent */
    size_t header_count;
    bool has_expiry;
    int64_t expiry_ms;    /* Unix ms */
    span_t global_config; /* raw JSON object, absent otherwise */
    bool bad_config;      /* globalConfig is there and no object */
} task_t_json;

/* Reads a task object. ERR_MALFORMED: no JSON object, or a member of the wrong type; `why` says which and
 * what would be right, and what could be read (the taskId above all) is in *task all the same, so that the
 * caller can answer for it. ERR_NOMEM. Always call task_json_clear() afterwards. Deep nesting and large
 * members are no error. */
int task_json_read(const char *json, size_t size, task_t_json *task, char why[256]);
/* The same for what task_json_answer() has given, which is not checked a second time. */
int task_json_read_known(span_t json, task_t_json *task, char why[256]);
void task_json_clear(task_t_json *task);

/* Reads an answer of get-task: `data` null or absent gives an absent span, an object its raw text.
 * ERR_MALFORMED with `why`. */
int task_json_answer(const char *body, size_t size, span_t *task, char why[256]);

/* A growing text. */
typedef struct {
    char *ptr;
    size_t len, size;
    bool failed; /* out of memory; later calls do nothing */
} text_t;

void text_add(text_t *text, const char *bytes, size_t size);
void text_add_str(text_t *text, const char *str);
/* A JSON string with its quotes; octets that are no UTF-8 become U+FFFD. */
void text_add_json(text_t *text, const char *bytes, size_t size);
/* UTF-8 with U+FFFD for each octet that is none. */
void text_add_utf8(text_t *text, const char *bytes, size_t size);
void text_add_base64(text_t *text, const void *bytes, size_t size);
void text_clear(text_t *text);

/* What a result adds to its task. Absent parts are NULL or false. */
typedef struct {
    int status_code;
    const pair_t
        *headers; /* of the response, in order; repeated names are joined with ", " under the first name */
    size_t header_count;
    const void *body; /* inline body: adds responseBase64 and output; NULL for none */
    size_t body_bytes;
    const char *error;  /* "Agent Side Error: ...": output as plain text, status_code 500 */
    bool zipped;        /* adds responseZipped: true */
    const char *s3_url; /* adds s3Url */
} result_parts_t;

/* Writes the result: the task's members (but those that are replaced) byte for byte, then the added ones,
 * `version` among them. A task that is no readable object gives ERR_MALFORMED. */
int result_json_write(const char *task, size_t task_bytes, const result_parts_t *parts, text_t *out);
/* The same for `raw` of a task that was read. */
int result_json_write_known(span_t task, const result_parts_t *parts, text_t *out);

#endif
