/* URLs of tools, quoted as the old agent's library (requests) quotes them. */
#ifndef SLUICE_EXECUTOR_URL_H
#define SLUICE_EXECUTOR_URL_H

#include <stdbool.h>
#include <stddef.h>

#define URL_WHY_MAX 256

typedef struct {
    bool https;
    unsigned port;         /* 0: the scheme's own */
    char *host;            /* lower-case; an IPv6 address with its brackets */
    char *target;          /* path and query, quoted; never a fragment */
    char *user, *password; /* decoded from user:password@; NULL unless both are there */
} url_t;

/* Reads a URL with http or https; `as_given` leaves "." and ".." in the path alone (redirects). ERR_INVALID
 * with `why` (no part of the URL but the host in it), ERR_NOMEM. `url` is written on success only. */
int url_read(const char *text, bool as_given, url_t *url, char why[URL_WHY_MAX]);
/* Reads the Location of an answer to `base`. */
int url_resolve(const url_t *base, const char *location, url_t *url, char why[URL_WHY_MAX]);
void url_clear(url_t *url);

/* The port it leads to. */
unsigned url_port(const url_t *url);
/* "host:port" as a Host header has it: without the scheme's own port, and without the zone of an IPv6
 * address; freed by the caller. NULL when out of memory. */
char *url_authority(const url_t *url);
/* "http://host:port/target", without user and password; freed by the caller. NULL when out of memory. */
char *url_text(const url_t *url);
/* Whether credentials meant for `from` may go to `to`: same host and port and scheme, or http to https on the
 * standard ports. */
bool url_keeps_authorization(const url_t *from, const url_t *to);

#endif
