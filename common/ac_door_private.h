/* What the door (ac_door.c) and its lines (ac_line.c) share. Not for others. */
#ifndef SLUICE_COMMON_AC_DOOR_PRIVATE_H
#define SLUICE_COMMON_AC_DOOR_PRIVATE_H

#include "common/ac_answer.h"
#include "common/ac_door.h"
#include "common/decode.h"
#include "common/proxy.h"
#include "common/trust.h"

/* ac_sockets.c: the sockets that a door's connections have had. A number may be another socket's by now,
 * which has another port. */
#define AC_SOCKETS_MAX 16

typedef struct {
    int fds[AC_SOCKETS_MAX];
    unsigned count; /* of all that were put there */
} ac_sockets_t;

void ac_sockets_add(ac_sockets_t *self, int fd);
/* Whether the one with this local port has something to read, be it its end. */
bool ac_sockets_readable(const ac_sockets_t *self, int local_port);

struct ac_door_t {
    http_t *http;
    char *base, *env_name;
    proxy_t proxy;
    trust_t trust;
    struct curl_slist *headers;      /* of JSON calls; holds the key */
    struct curl_slist *file_headers; /* of multipart calls; likewise */
    bool https, verify, ipv4_fallback;
    int64_t ipv4_until_ms; /* names are looked up for IPv4 alone until then, in boot time */
    int read_timeout_s;
    char host[256];
    unsigned port;
    ac_sockets_t sockets;
};

/* The URL of a request, freed by the caller; NULL when out of memory. */
char *ac_door_url(const ac_door_t *self, const ac_request_t *request);

/* ac_reply.c: an answer as it arrives. Zero it once. */
typedef struct {
    call_t call;
    ac_headers_t headers;
    size_t header_bytes; /* with those of interim answers and trailers */
    bool complete;       /* the headers are, of the answer itself */
    char encodings[128]; /* of all Content-Encoding headers, joined; none has so long a name */
    bool begun;          /* the body has */
    decode_t *decode;    /* NULL when there is nothing to decode; curl would refuse what it does not know */
    size_t room;         /* octets that decoding may still take and give */
    bool enough;         /* no more of the body counts */
    const char *fault;   /* why no more of it was taken; NULL when all is well */
    bool too_large;      /* because of its size */
    bool unreadable;     /* the body; else it is the headers */
    char *body;          /* as much of it as counts */
    size_t body_bytes, body_room;
} ac_reply_t;

/* Keeps the room of the former answer's body. */
void ac_reply_begin(ac_reply_t *self, call_t call);
void ac_reply_clear(ac_reply_t *self);
/* Take what `easy` brings; false when it has to end. */
bool ac_reply_header(ac_reply_t *self, CURL *easy, const char *line, size_t size);
bool ac_reply_body(ac_reply_t *self, const char *bytes, size_t size);
/* At the end of the transfer: a body that is not whole is a fault. */
void ac_reply_end(ac_reply_t *self);

/* ac_file.c: a request with a file, as multipart/form-data. */
typedef struct {
    curl_mime *mime;
    int fd;
    int64_t at, bytes;
} ac_file_t;

/* Sets it up in `easy`; ac_file_end() once the request has ended. ERR_NOMEM. */
int ac_file_begin(ac_file_t *self, CURL *easy, const ac_request_t *request);
void ac_file_end(ac_file_t *self, CURL *easy);

#endif
