#include "plan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "mem.h"

#define ANY_ZLIB_HEADER (15 + 32)

void plan_free(plan_t *plan) {
    for (size_t i = 0; i < plan->header_count; i++) {
        free(plan->headers[i].name);
        free(plan->headers[i].value);
    }
    free(plan->headers);
    body_free(&plan->body);
    body_free(&plan->decoded);
    *plan = (plan_t){0};
}

void plan_header(plan_t *plan, span_t name, span_t value) {
    plan->headers = mem_resize(plan->headers, plan->header_count + 1, sizeof(header_t));
    header_t header = {mem_copy(name.data, name.len), mem_copy(value.data, value.len)};
    plan->headers[plan->header_count++] = header;
}

const body_t *plan_expected(const plan_t *plan, span_t method) {
    const body_t *body = plan->compressed ? &plan->decoded : &plan->body;
    bool none = span_is(method, "HEAD") || plan->status == 204 || plan->status == 304 || body->len == 0;
    return none ? NULL : body;
}

bool plan_redirects(const plan_t *plan) {
    for (size_t i = 0; i < plan->header_count; i++)
        if (strcasecmp(plan->headers[i].name, "Location") == 0)
            return plan->status >= 300 && plan->status < 400;
    return false;
}

static bool inflate_all(span_t data, buf_t *out) {
    z_stream stream = {0};
    if (inflateInit2(&stream, ANY_ZLIB_HEADER) != Z_OK) return false;
    unsigned char *copy = (unsigned char *)mem_copy(data.data, data.len);
    stream.next_in = copy;
    stream.avail_in = (unsigned)data.len;
    int status = Z_OK;
    while (status == Z_OK) {
        unsigned char piece[4096];
        stream.next_out = piece;
        stream.avail_out = sizeof piece;
        status = inflate(&stream, Z_NO_FLUSH);
        buf_add(out, piece, sizeof piece - stream.avail_out);
    }
    inflateEnd(&stream);
    free(copy);
    return status == Z_STREAM_END;
}

void plan_decode(plan_t *plan) {
    for (size_t i = 0; i < plan->header_count; i++) {
        const header_t *header = &plan->headers[i];
        bool coded = strcasecmp(header->value, "gzip") == 0 || strcasecmp(header->value, "deflate") == 0;
        if (strcasecmp(header->name, "Content-Encoding") != 0 || !coded || !plan->body.bytes) continue;
        buf_t out = {0};
        plan->compressed = true;
        if (inflate_all((span_t){plan->body.bytes, plan->body.len}, &out))
            plan->decoded = body_literal(span_buf(&out));
        buf_free(&out);
        return;
    }
}
