#include "executor/response.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/decode.h"
#include "common/err.h"
#include "common/http.h"

#define PIECE_OCTETS 128 /* what a piece costs besides its octets: a chunk may have but one */

struct response_t {
    int status;
    bool complete; /* the headers are */
    bool head;     /* its body is none whatever the headers say */
    bool headers_only;
    int64_t left; /* octets of the body still to come when curl does not count them, else -1 */
    int error;
    pair_t *headers;
    size_t count, size;
    size_t header_bytes; /* with those of interim answers and trailers */
    text_t location;     /* of all Location headers, joined */
    bool begun;          /* the body has */
    size_t *turn;        /* octets that all responses may still take and unpack in this turn */
    size_t share;        /* octets that this one may */
    size_t skip;         /* octets that are unpacked already, of those that curl will give once more */
    size_t cut_off;      /* octets of a redirect's body */
    bool paused;
    decode_t *decode;
    body_kind_t kind;
    const char *state_dir;
    body_t *body;
    sink_t sink; /* of the body */
};

response_t *response_new(body_kind_t kind, const char *state_dir, size_t *turn) {
    response_t *self = calloc(1, sizeof *self);

    if (!self) return NULL;
    self->kind = kind;
    self->state_dir = state_dir;
    self->turn = turn;
    return self;
}

static void forget_headers(response_t *self) {
    for (size_t i = 0; i < self->count; i++) {
        free(self->headers[i].name);
        free(self->headers[i].value);
    }
    self->count = 0;
    self->status = 0;
    self->complete = false;
    text_clear(&self->location);
}

static void forget(response_t *self) {
    forget_headers(self);
    decode_destroy(&self->decode);
    body_destroy(&self->body);
    self->error = 0;
    self->header_bytes = 0;
    self->begun = false;
    self->paused = false;
    self->share = RESPONSE_TURN_BYTES;
    self->skip = 0;
    self->cut_off = 0;
    self->left = -1;
}

void response_destroy(response_t **self) {
    if (!self || !*self) return;
    forget(*self);
    free((*self)->headers);
    free(*self);
    *self = NULL;
}

/* ISO 8859-1 to UTF-8. */
static char *to_utf8(const char *bytes, size_t size, size_t *len) {
    char *text = malloc(size * 2 + 1), *out = text;

    if (!text) return NULL;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c < 0x80) {
            *out++ = (char)c;
        } else {
            *out++ = (char)(0xc0 | c >> 6);
            *out++ = (char)(0x80 | (c & 0x3f));
        }
    }
    *out = '\0';
    *len = (size_t)(out - text);
    return text;
}

static bool is_named(const char *name, size_t len, const char *what) {
    return len == strlen(what) && strncasecmp(name, what, len) == 0;
}

static int add_header(response_t *self, const char *name, size_t name_len, const char *value, size_t len) {
    pair_t *pair;

    if (self->count == RESPONSE_HEADERS_MAX) return ERR_FULL;
    if (self->count == self->size) {
        size_t size = self->size ? self->size * 2 : 16;
        pair_t *grown = realloc(self->headers, size * sizeof *grown);
        if (!grown) return ERR_NOMEM;
        self->headers = grown;
        self->size = size;
    }
    pair = &self->headers[self->count];
    pair->name = to_utf8(name, name_len, &pair->name_len);
    pair->value = to_utf8(value, len, &pair->value_len);
    if (!pair->name || !pair->value) {
        free(pair->name);
        free(pair->value);
        return ERR_NOMEM;
    }
    self->count++;
    if (is_named(name, name_len, "location")) {
        if (self->location.len > 0) text_add(&self->location, ", ", 2);
        text_add(&self->location, value, len);
        if (self->location.failed) return ERR_NOMEM;
    }
    return 0;
}

/* A line that begins with white space goes on with the value before it. */
static int continue_header(response_t *self, const char *line, size_t len) {
    pair_t *last;
    char *more, *joined;
    size_t more_len;

    if (self->count == 0) return 0;
    last = &self->headers[self->count - 1];
    more = to_utf8(line, len, &more_len);
    joined = more ? realloc(last->value, last->value_len + more_len + 3) : NULL;
    if (joined) {
        joined[last->value_len] = '\r';
        joined[last->value_len + 1] = '\n';
        memcpy(joined + last->value_len + 2, more, more_len);
        joined[last->value_len + more_len + 2] = '\0';
        last->value = joined;
        last->value_len += more_len + 2;
    }
    free(more);
    return joined ? 0 : ERR_NOMEM;
}

static int take_line(response_t *self, const char *line, size_t len) {
    const char *colon, *value, *end = line + len;

    if (line[0] == ' ' || line[0] == '\t') return continue_header(self, line, len);
    colon = memchr(line, ':', len);
    if (!colon) return 0;
    for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
        ;
    return add_header(self, line, (size_t)(colon - line), value, (size_t)(end - value));
}

/* The status line: "HTTP/1.1 200 OK". What came before it was an interim answer. */
static void take_status(response_t *self, const char *line, size_t len) {
    const char *space = memchr(line, ' ', len);
    int status = 0;

    forget_headers(self);
    while (space && space + 1 < line + len && space[1] == ' ')
        space++;
    for (size_t i = 1; space && i <= 3 && space + i < line + len; i++) {
        if (space[i] < '0' || space[i] > '9') break;
        status = status * 10 + (space[i] - '0');
    }
    self->status = status;
}

/* Whether `text`, of lengths with commas between them, has nothing but one number, and the same as `first`
 * has. */
static bool is_length(const char *text, const char *first) {
    size_t digits = strspn(first, "0123456789");

    if (digits == 0) return false;
    for (;;) {
        text += strspn(text, " \t");
        if (strncmp(text, first, digits) != 0) return false;
        text += digits + strspn(text + digits, " \t");
        if (*text == '\0') return true;
        if (*text++ != ',') return false;
    }
}

/* A body that is not chunked is as long as every Content-Length says; of two that differ none can be
 * believed. */
static int check_length(const response_t *self) {
    const char *first = NULL;
    bool right = true;

    for (size_t i = 0; i < self->count; i++) {
        const pair_t *header = &self->headers[i];
        if (is_named(header->name, header->name_len, "transfer-encoding")) return 0;
        if (!is_named(header->name, header->name_len, "content-length")) continue;
        if (!first) first = header->value;
        right = right && is_length(header->value, first);
    }
    return right ? 0 : ERR_INVALID;
}

/* curl ignores Content-Length beside a Transfer-Encoding, "identity" too, and would wait for the end of the
 * connection. */
static int64_t length_to_count(const response_t *self) {
    int64_t length = -1;
    bool identity = false;

    if (self->head || self->status == 204 || self->status == 304) return -1;
    for (size_t i = 0; i < self->count; i++) {
        const pair_t *header = &self->headers[i];
        if (is_named(header->name, header->name_len, "content-length"))
            length = strtoll(header->value, NULL, 10);
        if (!is_named(header->name, header->name_len, "transfer-encoding")) continue;
        identity = is_named(header->value, header->value_len, "identity");
        if (!identity) return -1;
    }
    return identity && length >= 0 ? length : -1;
}

bool response_is_cut(const response_t *self) {
    if (self->complete && self->status == 101) return true; /* what follows is no HTTP */
    return self->complete && self->status >= 200 && (self->headers_only || self->left == 0);
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx) {
    response_t *self = ctx;
    size_t len = size * count, total = len;

    self->header_bytes += len;
    if (self->header_bytes > HTTP_HEADER_BYTES_MAX) {
        self->error = ERR_FULL;
        return 0;
    }
    if (self->begun || (self->complete && self->status >= 200)) return total; /* trailers */
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n'))
        len--;
    if (len == 0) {
        self->complete = true;
        self->error = check_length(self);
        if (self->status >= 200) self->left = length_to_count(self);
    } else if (len >= 5 && strncasecmp(line, "HTTP/", 5) == 0 && (self->complete || self->status == 0)) {
        take_status(self, line, len);
    } else {
        self->error = take_line(self, line, len);
    }
    return self->error || response_is_cut(self) ? 0 : total;
}

static int begin_body(response_t *self) {
    text_t encodings = {0};
    int err = 0;

    self->begun = true;
    for (size_t i = 0; i < self->count; i++) {
        if (!is_named(self->headers[i].name, self->headers[i].name_len, "content-encoding")) continue;
        text_add(&encodings, ",", 1);
        text_add_str(&encodings, self->headers[i].value);
    }
    if (encodings.failed)
        err = ERR_NOMEM;
    else if (encodings.len > 0)
        err = decode_new(encodings.ptr, &self->decode);
    text_clear(&encodings);
    return err == ERR_UNSUPPORTED ? ERR_MALFORMED : err;
}

/* Octets that may be taken and unpacked before the loop has to look at everything else. */
static size_t room_left(const response_t *self) {
    return self->share < *self->turn ? self->share : *self->turn;
}

static void spend(response_t *self, size_t octets) {
    self->share -= octets < self->share ? octets : self->share;
    *self->turn -= octets < *self->turn ? octets : *self->turn;
}

/* Unpacks what was not unpacked before; true when all was. */
static bool unpack(response_t *self, const char *bytes, size_t len) {
    size_t skip = self->skip < len ? self->skip : len, before = room_left(self), room = before, taken;
    int err = decode_write(self->decode, bytes + skip, len - skip, &room, &taken, &self->sink);

    spend(self, before - room);
    if (err == DECODE_MORE) {
        self->skip += taken;
        return false;
    }
    self->skip -= skip;
    self->error = err;
    return true;
}

static size_t take_body(response_t *self, const char *bytes, size_t len) {
    bool was_large = body_is_large(self->body);

    if (response_redirects(self)) { /* its body does not matter, and is cut off when it is large */
        self->cut_off += len;
        return self->cut_off > SLUICE_INLINE_BODY_MAX ? 0 : len;
    }
    if (!self->begun) self->error = begin_body(self);
    self->paused = !self->error && (room_left(self) == 0 || (self->decode && !unpack(self, bytes, len)));
    if (!self->paused && !self->error && !self->decode) {
        spend(self, len);
        self->error = self->sink.write(self->sink.ctx, bytes, len);
    }
    spend(self, PIECE_OCTETS);
    if (!was_large && body_is_large(self->body)) spend(self, SLUICE_INLINE_BODY_MAX); /* moved to its file */
    if (self->paused) return CURL_WRITEFUNC_PAUSE;
    return self->error ? 0 : len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx) {
    response_t *self = ctx;
    size_t len = size * count,
           wanted = self->left >= 0 && (int64_t)len > self->left ? (size_t)self->left : len;
    size_t taken = take_body(self, bytes, wanted);

    if (self->left < 0 || taken != wanted) return taken;
    self->left -= (int64_t)wanted;
    return self->left == 0 ? 0 : len;
}

int response_bind(response_t *self, CURL *easy, bool head, bool headers_only) {
    forget(self);
    self->head = head;
    self->body = body_new(self->kind, self->state_dir);
    if (!self->body) return ERR_NOMEM;
    self->headers_only = headers_only;
    self->sink = body_sink(self->body);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, self);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, self);
    (void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    return 0;
}

int response_finish(response_t *self) {
    int err = self->decode ? decode_finish(self->decode) : 0;

    if (self->paused || self->left > 0) return ERR_INVALID;
    return err || !self->body ? err : body_finish(self->body);
}

int response_error(const response_t *self) {
    return self->error;
}

bool response_is_paused(const response_t *self) {
    return self->paused;
}

void response_resume(response_t *self) {
    self->paused = false;
    self->share = RESPONSE_TURN_BYTES;
}

int response_errno(const response_t *self) {
    return self->body ? body_errno(self->body) : 0;
}

int response_status(const response_t *self) {
    return self->complete ? self->status : 0;
}

const pair_t *response_headers(const response_t *self, size_t *count) {
    *count = self->count;
    return self->headers;
}

const char *response_location(const response_t *self) {
    return self->location.len > 0 ? self->location.ptr : NULL;
}

bool response_redirects(const response_t *self) {
    int status = response_status(self);

    return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           response_location(self) != NULL;
}

body_t *response_body(const response_t *self) {
    return self->body;
}
