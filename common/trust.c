#include "common/trust.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/err.h"

static const char *variable(const char *name) {
    const char *value = getenv(name);

    return value ? value : "";
}

int trust_choose(trust_t *self, const char *given) {
    const char *path = given;
    struct stat status;
    bool directory;

    if (!path[0]) path = variable("REQUESTS_CA_BUNDLE");
    if (!path[0]) path = variable("CURL_CA_BUNDLE");
    directory = path[0] && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    self->file = strdup(directory ? "" : path);
    self->dir = strdup(directory ? path : "");
    return self->file && self->dir ? 0 : ERR_NOMEM;
}

void trust_clear(trust_t *self) {
    free(self->file);
    free(self->dir);
    *self = (trust_t){0};
}

void trust_apply(const trust_t *self, CURL *easy, bool verify) {
    const char *file = self->file[0] ? self->file : NULL, *dir = self->dir[0] ? self->dir : NULL;

    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, verify ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, verify ? 2L : 0L);
    if (!file && !dir) return;
    (void)curl_easy_setopt(easy, CURLOPT_CAINFO, file);
    (void)curl_easy_setopt(easy, CURLOPT_CAPATH, dir);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, file);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, dir);
}
