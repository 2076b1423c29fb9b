/* What the door (ac_door.c) and its lines (ac_line.c) share. Not for others. */
#ifndef SLUICE_COMMON_AC_DOOR_PRIVATE_H
#define SLUICE_COMMON_AC_DOOR_PRIVATE_H

#include "common/ac_answer.h"
#include "common/ac_door.h"
#include "common/proxy.h"
#include "common/trust.h"

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
};

/* The URL of a request, freed by the caller; NULL when out of memory. */
char *ac_door_url(const ac_door_t *self, const ac_request_t *request);

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
