#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/ac_door_private.h"
#include "common/err.h"

#define ROOM_TIMES 4 /* what decoding may take and give, by what the body may have: two encodings fit */

void ac_reply_begin(ac_reply_t *self, call_t call) {
    decode_destroy(&self->decode);
    *self = (ac_reply_t){.call = call, .body = self->body, .body_room = self->body_room};
}

void ac_reply_clear(ac_reply_t *self) {
    decode_destroy(&self->decode);
    free(self->body);
    *self = (ac_reply_t){0};
}

static void add_encodings(ac_reply_t *self, const char *line, size_t size) {
    static const char name[] = "Content-Encoding:";
    size_t skip = sizeof name - 1, len = strlen(self->encodings), room = sizeof self->encodings - len;
    if (size <= skip || strncasecmp(line, name, skip) != 0) return;
    while (size > skip && strchr("\r\n", line[size - 1]))
        size--;
    if (size - skip + 2 > room) return;
    (void)snprintf(self->encodings + len, room, ",%.*s", (int)(size - skip), line + skip);
}

bool ac_reply_header(ac_reply_t *self, CURL *easy, const char *line, size_t size) {
    long status = 0;
    self->header_bytes += size;
    if (self->header_bytes > HTTP_HEADER_BYTES_MAX) {
        self->fault = "the answer has over 256 KiB of headers";
        return false;
    }
    if (self->complete) return true; /* a trailer */
    if (ac_headers_line(&self->headers, line, size)) self->encodings[0] = '\0';
    add_encodings(self, line, size);
    if (size > 2 || (line[0] != '\r' && line[0] != '\n')) return true;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    self->complete = status >= 200;
    return true;
}

static size_t max_bytes(const ac_reply_t *self) {
    return self->call == CALL_GET_TASK ? AC_TASK_MAX : AC_ANSWER_MAX;
}

static bool make_room(ac_reply_t *self, size_t bytes) {
    if (bytes <= self->body_room) return true;
    size_t room = self->body_room ? self->body_room : 4096;
    while (room < bytes)
        room *= 2;
    char *larger = realloc(self->body, room);
    if (!larger) return false;
    self->body = larger;
    self->body_room = room;
    return true;
}

/* What counts of the decoded body. */
static int keep(void *ctx, const void *bytes, size_t size) {
    ac_reply_t *self = ctx;
    size_t left = max_bytes(self) - self->body_bytes, count = size < left ? size : left;
    if (count < size && self->call == CALL_GET_TASK) return ERR_TOO_LARGE;
    if (!make_room(self, self->body_bytes + count)) return ERR_NOMEM;
    if (count > 0) memcpy(self->body + self->body_bytes, bytes, count);
    self->body_bytes += count;
    self->enough = count < size;
    return 0;
}

static int begin_body(ac_reply_t *self) {
    self->begun = true;
    self->room = ROOM_TIMES * max_bytes(self);
    return decode_new(self->encodings, &self->decode);
}

static int take_body(ac_reply_t *self, const char *bytes, size_t size) {
    const sink_t sink = {.write = keep, .ctx = self};
    size_t taken;
    int err = self->begun ? 0 : begin_body(self);
    if (err || self->enough) return err;
    if (!self->decode) return keep(self, bytes, size);
    err = decode_write(self->decode, bytes, size, &self->room, &taken, &sink);
    if (err != DECODE_MORE) return err;
    self->enough = true;
    return self->call == CALL_GET_TASK ? ERR_TOO_LARGE : 0;
}

static void fail(ac_reply_t *self, int err) {
    self->unreadable = true;
    self->too_large = err == ERR_TOO_LARGE;
    self->fault = err == ERR_TOO_LARGE     ? "the answer is over 64 MiB"
                  : err == ERR_NOMEM       ? "out of memory"
                  : err == ERR_UNSUPPORTED ? "the answer has too many encodings"
                                           : "the answer's compressed body is broken";
}

bool ac_reply_body(ac_reply_t *self, const char *bytes, size_t size) {
    int err = take_body(self, bytes, size);
    if (err) fail(self, err);
    return err == 0;
}

void ac_reply_end(ac_reply_t *self) {
    int err = self->decode && !self->enough ? decode_finish(self->decode) : 0;
    decode_destroy(&self->decode);
    if (err) fail(self, err);
}
