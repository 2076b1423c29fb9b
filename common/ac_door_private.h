/* What the door (ac_door.c) and its lines (ac_line.c) share. Not for others. */
#ifndef SLUICE_COMMON_AC_DOOR_PRIVATE_H
#define SLUICE_COMMON_AC_DOOR_PRIVATE_H

#include "common/ac_answer.h"
#include "common/ac_door.h"

struct ac_door_t {
    http_t *http;
    char *base, *env_name, *proxy, *ca_bundle;
    struct curl_slist *headers; /* of JSON calls; holds the key */
    bool https, verify, proxy_given;
    int read_timeout_s;
    char where[112]; /* host:port, for reasons */
};

/* The URL of a request, freed by the caller; NULL when out of memory. */
char *ac_door_url(const ac_door_t *self, const ac_request_t *request);

#endif
