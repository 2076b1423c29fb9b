#include "executor/seen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/dirs.h"
#include "common/log.h"

#define LINE_MAX_BYTES 512

struct seen_t {
    char *dir;
    uint64_t *hashes; /* open addressing; 0 is free */
    unsigned count;
    bool told; /* that it cannot be written */
};

seen_t *seen_new(const char *state_dir) {
    seen_t *self = calloc(1, sizeof *self);
    if (self) self->dir = strdup(state_dir);
    if (self) self->hashes = calloc((size_t)2 * SEEN_MAX, sizeof *self->hashes);
    if (!self || (self->dir && self->hashes)) return self;
    seen_destroy(&self);
    return NULL;
}

void seen_destroy(seen_t **self) {
    if (!*self) return;
    free((*self)->dir);
    free((*self)->hashes);
    free(*self);
    *self = NULL;
}

/* Whether it was not there; notes it. Beyond SEEN_MAX nothing is new any more. */
static bool is_new(seen_t *self, const char *line) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = line; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    if (hash == 0) hash = 1;
    for (size_t at = hash % ((size_t)2 * SEEN_MAX);; at = (at + 1) % ((size_t)2 * SEEN_MAX)) {
        if (self->hashes[at] == hash) return false;
        if (self->hashes[at] != 0) continue;
        if (self->count == SEEN_MAX) return false;
        self->hashes[at] = hash;
        self->count++;
        return true;
    }
}

static int append(const seen_t *self, const char *line, size_t len, char *why) {
    char path[4096];
    struct stat st;
    if (dirs_make(self->dir, "--stateDir", why) != 0) return -1;
    (void)snprintf(path, sizeof path, "%s/%s", self->dir, SEEN_FILE);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0;
    if (fd < 0 || fstat(fd, &st) != 0)
        rc = -1;
    else if (st.st_size + (off_t)len <= SEEN_BYTES_MAX && write(fd, line, len) != (ssize_t)len)
        rc = -1;
    if (rc != 0) (void)snprintf(why, 512, "%.400s: %s", path, strerror(errno));
    if (fd >= 0) (void)close(fd);
    return rc;
}

void seen_note(seen_t *self, const request_t *request) {
    char line[LINE_MAX_BYTES], why[512], quoted[LOG_QUOTED_MAX];
    const char *target = request->url.target;
    size_t first = 1 + strcspn(target[0] ? target + 1 : target, "/?#;");
    int len = snprintf(line, sizeof line, "%s %s://%s:%u%.*s\n", request->method,
                       request->url.https ? "https" : "http", request->url.host, url_port(&request->url),
                       target[0] ? (int)first : 0, target);
    if (len < 0 || (size_t)len >= sizeof line || !is_new(self, line)) return;
    if (append(self, line, (size_t)len, why) == 0 || self->told) return;
    self->told = true;
    log_warn("nothing_learned", "why=%s", log_quote(why, quoted));
}
