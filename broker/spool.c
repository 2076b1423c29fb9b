#include "broker/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/crash_point.h"
#include "common/dirs.h"
#include "common/err.h"

#define NAME_SIZE  64
#define SPARE      ((uint64_t)8 * 1024 * 1024) /* of the disk: the journal has to go on */
#define FLUSH_STEP ((uint64_t)1024 * 1024)
#define MEND_MS    1000

#define TOO_LARGE_MS 300000 /* somebody may free some room in that time */

struct spool_t {
    int dir;
    uint64_t bytes, max;
    uint64_t aside;    /* of the bytes, what does not count */
    char *path, *link; /* absolute; NULL: nobody wants a link */
    int64_t mend_ms;   /* the link is looked at then */
};

static void body_name(uint64_t number, char name[NAME_SIZE]) {
    (void)snprintf(name, NAME_SIZE, "%" PRIu64 ".body", number);
}

static void part_name(uint64_t number, uint32_t attempt, char name[NAME_SIZE]) {
    (void)snprintf(name, NAME_SIZE, "%" PRIu64 "-%" PRIu32 ".part", number, attempt);
}

static uint64_t size_of(const spool_t *self, const char *name) {
    struct stat info;
    return fstatat(self->dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_size > 0
               ? (uint64_t)info.st_size
               : 0;
}

/* What is no body, or nobody's, goes. Files of other names are left alone. */
static void sweep_one(spool_t *self, const char *name, spool_owned_fn owned, void *ctx) {
    char *end;
    uint64_t number = strtoull(name, &end, 10);
    bool body = end != name && strcmp(end, ".body") == 0;
    size_t len = strlen(name);
    uint64_t bytes = size_of(self, name);
    if (body && owned(ctx, number, bytes))
        self->bytes += bytes;
    else if (body || (len > 5 && strcmp(name + len - 5, ".part") == 0))
        (void)unlinkat(self->dir, name, 0);
}

static int sweep(spool_t *self, spool_owned_fn owned, void *ctx) {
    int fd = openat(self->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0) (void)close(fd);
        return ERR_IO;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        sweep_one(self, entry->d_name, owned, ctx);
    (void)closedir(dir);
    return 0;
}

/* In the place of the former one: an uploader may come by at any moment, and the next start may be far away.
 */
static int make_link(const char *path, const char *link) {
    char fresh[PATH_MAX + 8];
    (void)snprintf(fresh, sizeof fresh, "%s.new", link);
    (void)unlink(fresh);
    CRASH_POINT("spool.link");
    if (symlink(path, fresh) != 0) return ERR_IO;
    CRASH_POINT("spool.link_made");
    if (rename(fresh, link) != 0) return ERR_IO;
    CRASH_POINT("spool.linked");
    return 0;
}

/* One that somebody removed is there again before a result needs it. */
static void mend_link(const spool_t *self) {
    if (self->link && access(self->link, F_OK) != 0) (void)make_link(self->path, self->link);
}

void spool_turn(spool_t *self, int64_t now_ms) {
    if (now_ms < self->mend_ms) return;
    self->mend_ms = now_ms + MEND_MS;
    mend_link(self);
}

int spool_open(const char *state_dir, const char *link, uint64_t max_bytes, spool_owned_fn owned, void *ctx,
               spool_t **out, char why[SPOOL_WHY_MAX]) {
    char relative[PATH_MAX];
    spool_t *self = calloc(1, sizeof *self);
    if (self && link) self->link = strdup(link);
    if (!self || (link && !self->link)) {
        free(self);
        (void)snprintf(why, SPOOL_WHY_MAX, "out of memory");
        return ERR_NOMEM;
    }
    self->max = max_bytes;
    (void)snprintf(relative, sizeof relative, "%s/spool", state_dir);
    self->dir = mkdir(relative, 0700) == 0 || errno == EEXIST
                    ? open(relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                    : -1;
    if (self->dir < 0 || dirs_sync(state_dir) != 0 || sweep(self, owned, ctx) != 0 ||
        !(self->path = realpath(relative, NULL)) || (link && make_link(self->path, link) != 0)) {
        (void)snprintf(why, SPOOL_WHY_MAX, "cannot use the spool directory %.200s: %s", relative,
                       strerror(errno));
        spool_close(&self);
        return ERR_IO;
    }
    *out = self;
    return 0;
}

void spool_close(spool_t **self) {
    if (!*self) return;
    if ((*self)->dir >= 0) (void)close((*self)->dir);
    free((*self)->path);
    free((*self)->link);
    free(*self);
    *self = NULL;
}

int spool_create(spool_t *self, uint64_t number, uint32_t attempt) {
    char name[NAME_SIZE];
    part_name(number, attempt, name);
    int fd = openat(self->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    CRASH_POINT("spool.created");
    return fd < 0 ? ERR_IO : fd;
}

int spool_write(int fd, const void *bytes, uint64_t size, uint64_t offset) {
    const char *at = bytes;
    uint64_t step = offset / FLUSH_STEP;
    for (uint64_t left = size; left > 0;) {
        ssize_t n = pwrite(fd, at, left, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (n == 0) errno = ENOSPC;
            return ERR_IO;
        }
        at += n;
        offset += (uint64_t)n;
        left -= (uint64_t)n;
    }
    /* spread over the time of the transfer, so that the sync at the end is short */
    if (offset / FLUSH_STEP > step)
        (void)sync_file_range(fd, (off_t)(step * FLUSH_STEP), (off_t)(offset - step * FLUSH_STEP),
                              SYNC_FILE_RANGE_WRITE);
    return 0;
}

void spool_discard(spool_t *self, int fd, uint64_t number, uint32_t attempt) {
    char name[NAME_SIZE];
    part_name(number, attempt, name);
    if (fd >= 0) (void)close(fd);
    (void)unlinkat(self->dir, name, 0);
}

int spool_keep(spool_t *self, int fd, uint64_t number, uint32_t attempt) {
    char part[NAME_SIZE], body[NAME_SIZE];
    part_name(number, attempt, part);
    body_name(number, body);
    CRASH_POINT("spool.written");
    bool synced = fdatasync(fd) == 0;
    int reason = errno;
    if (close(fd) != 0 && synced) {
        synced = false;
        reason = errno;
    }
    uint64_t former = size_of(self, body), size = size_of(self, part);
    CRASH_POINT("spool.synced");
    if (synced && renameat(self->dir, part, self->dir, body) != 0) {
        synced = false;
        reason = errno;
    }
    if (!synced) {
        (void)unlinkat(self->dir, part, 0);
        errno = reason;
        return ERR_IO;
    }
    self->bytes += size - former;
    CRASH_POINT("spool.renamed");
    mend_link(self);
    if (fsync(self->dir) == 0) return 0;
    reason = errno;
    spool_remove(self, number);
    errno = reason;
    return ERR_IO;
}

void spool_remove(spool_t *self, uint64_t number) {
    char name[NAME_SIZE];
    body_name(number, name);
    uint64_t size = size_of(self, name);
    CRASH_POINT("spool.remove");
    if (unlinkat(self->dir, name, 0) == 0) self->bytes -= size < self->bytes ? size : self->bytes;
    CRASH_POINT("spool.removed");
}

uint64_t spool_bytes(const spool_t *self) {
    return self->bytes;
}

uint64_t spool_counted(const spool_t *self) {
    return self->bytes > self->aside ? self->bytes - self->aside : 0;
}

void spool_set_aside(spool_t *self, uint64_t bytes) {
    self->aside = bytes;
}

void spool_limit(spool_t *self, uint64_t max_bytes) {
    self->max = max_bytes;
}

uint64_t spool_max(const spool_t *self) {
    return self->max;
}

const char *spool_refuses(const spool_t *self, uint64_t length, uint64_t reserved) {
    return spool_fits(spool_counted(self) + reserved, length, self->max) ? NULL : SPOOL_FULL;
}

/* False when nobody can tell. */
static bool disk_of(const spool_t *self, uint64_t *room, uint64_t *size) {
    struct statvfs disk;
    if (fstatvfs(self->dir, &disk) != 0) return false;
    *room = (uint64_t)disk.f_bavail * disk.f_frsize;
    *size = (uint64_t)disk.f_blocks * disk.f_frsize;
    return true;
}

const char *spool_disk_refuses(const spool_t *self, uint64_t length, uint64_t unwritten) {
    uint64_t room, size;
    if (!disk_of(self, &room, &size)) return NULL;
    return room < unwritten + length + SPARE ? SPOOL_DISK_FULL : NULL;
}

int64_t spool_patience_ms(const spool_t *self, uint64_t length) {
    uint64_t room, size;
    if (!disk_of(self, &room, &size)) return INT64_MAX;
    if (size < length + SPARE) return 0;
    return room < SPARE ? INT64_MAX : TOO_LARGE_MS;
}
