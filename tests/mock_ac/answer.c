#include "answer.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define BLOCK_BYTES 32768

typedef struct {
    char *name;
    char *value;
} header_t;

struct answer {
    int status;
    header_t *headers;
    size_t header_count;
    body_t body; /* length 0: none */
    bool owned;
    bool chunked;
    bool halved;
};

/* The state of a body that is sent in pieces. */
typedef struct {
    body_t body;
    bool owned;
    uint64_t end; /* the connection breaks here when it is short of the length */
} reader_t;

answer_t *answer_new(int status) {
    answer_t *self = mem_new(1, sizeof *self);
    self->status = status;
    return self;
}

void answer_destroy(answer_t **self) {
    if (!*self) return;
    for (size_t i = 0; i < (*self)->header_count; i++) {
        free((*self)->headers[i].name);
        free((*self)->headers[i].value);
    }
    free((*self)->headers);
    if ((*self)->owned) body_free(&(*self)->body);
    free(*self);
    *self = NULL;
}

answer_t *answer_with(int status, const char *type, span_t body) {
    answer_t *self = answer_new(status);
    self->body = body_literal(body);
    self->owned = true;
    answer_header(self, "Content-Type", type);
    return self;
}

answer_t *answer_message(int status, const char *text) {
    buf_t body = {0};
    buf_printf(&body, "{\"message\":\"%s\"}", text);
    answer_t *self = answer_with(status, "application/json", span_buf(&body));
    buf_free(&body);
    return self;
}

answer_t *answer_fault(fault_t fault) {
    int status = 0;
    buf_t text = {0};
    answer_t *self = NULL;
    if (fault_answers(fault, &status, &text)) {
        bool garbage = fault.kind == FAULT_GARBAGE;
        self = answer_with(status, garbage ? "application/json" : "text/plain", span_buf(&text));
        char param[24];
        snprintf(param, sizeof param, "%" PRId64, fault.param);
        if (fault.kind == FAULT_429_RATE) answer_header(self, "X-Rate-Limit-Retry-After-Seconds", param);
        if (fault.kind == FAULT_429_RETRY) answer_header(self, "Retry-After", param);
    }
    buf_free(&text);
    return self;
}

void answer_header(answer_t *self, const char *name, const char *value) {
    self->headers = mem_resize(self->headers, self->header_count + 1, sizeof(header_t));
    header_t header = {mem_copy(name, strlen(name)), mem_copy(value, strlen(value))};
    self->headers[self->header_count++] = header;
}

void answer_body(answer_t *self, const body_t *body, bool chunked) {
    self->body = *body;
    self->chunked = chunked;
}

void answer_halve(answer_t *self) {
    self->halved = true;
}

bool answer_can_halve(const answer_t *self) {
    return self->body.len > 0;
}

int answer_status(const answer_t *self) {
    return self->status;
}

static ssize_t read_body(void *ctx, uint64_t offset, char *out, size_t max) {
    const reader_t *reader = ctx;
    if (offset >= reader->end)
        return reader->end < reader->body.len ? MHD_CONTENT_READER_END_WITH_ERROR
                                              : MHD_CONTENT_READER_END_OF_STREAM;
    uint64_t left = reader->end - offset;
    size_t count = left < max ? (size_t)left : max;
    body_copy(&reader->body, offset, out, count);
    return (ssize_t)count;
}

static void free_reader(void *ctx) {
    reader_t *reader = ctx;
    if (reader->owned) body_free(&reader->body);
    free(reader);
}

/* A response that reads its body piece by piece; an answer's own bytes are copied along. */
static struct MHD_Response *piecewise(const answer_t *self) {
    reader_t *reader = mem_new(1, sizeof *reader);
    reader->owned = self->owned;
    reader->body = self->owned ? body_literal((span_t){self->body.bytes, self->body.len}) : self->body;
    reader->end = self->halved ? self->body.len / 2 : self->body.len;
    uint64_t size = self->chunked ? MHD_SIZE_UNKNOWN : self->body.len;
    return MHD_create_response_from_callback(size, BLOCK_BYTES, read_body, reader, free_reader);
}

static struct MHD_Response *whole(const answer_t *self) {
    size_t len = (size_t)self->body.len;
    char *bytes = mem_resize(NULL, len, 1);
    if (len) body_copy(&self->body, 0, bytes, len);
    return MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);
}

struct MHD_Response *answer_response(const answer_t *self) {
    bool pieces = self->body.len && (self->chunked || self->halved || self->body.len > BLOCK_BYTES);
    struct MHD_Response *response = pieces ? piecewise(self) : whole(self);
    for (size_t i = 0; response && i < self->header_count; i++) {
        if (MHD_add_response_header(response, self->headers[i].name, self->headers[i].value) != MHD_YES) {
            MHD_destroy_response(response);
            response = NULL;
        }
    }
    return response;
}
