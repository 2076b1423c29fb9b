/* Which certificates are trusted: those of a given bundle, of the environment's, or the system's own. For AC,
 * the store and tools alike. */
#ifndef SLUICE_COMMON_TRUST_H
#define SLUICE_COMMON_TRUST_H

#include <curl/curl.h>
#include <stdbool.h>

/* "" for the system's own; at most one is set. */
typedef struct {
    char *file, *dir;
} trust_t;

/* Takes `given`, or when that is empty REQUESTS_CA_BUNDLE, or CURL_CA_BUNDLE. ERR_NOMEM. Call trust_clear()
 * in any case. */
int trust_choose(trust_t *self, const char *given);
void trust_clear(trust_t *self);

/* Sets it up. A bundle that is given is all that is trusted; the same holds for a proxy that is spoken to by
 * TLS. */
void trust_apply(const trust_t *self, CURL *easy, bool verify);

#endif
