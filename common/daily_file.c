#include "common/daily_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/dirs.h"
#include "common/err.h"

#define SUFFIX_BYTES 11 /* ".YYYY-MM-DD" */

static void name_day(const struct tm *tm, char day[16]) {
    if (strftime(day, 16, "%Y-%m-%d", tm) == 0) day[0] = '\0';
}

/* The local day that `at_s` is in, and the midnight that ends it. */
static void set_day(daily_file_t *self, int64_t at_s) {
    time_t at = (time_t)at_s;
    struct tm tm = {0};
    (void)localtime_r(&at, &tm);
    name_day(&tm, self->day);
    tm.tm_mday++;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    time_t end = mktime(&tm);
    self->day_end_s = end > at ? end : at_s + 86400;
}

/* --- old files --- */

static int is_dated(const struct dirent *entry) {
    static const char form[] = ".dddd-dd-dd";
    size_t len = strlen(entry->d_name);
    if (len <= SUFFIX_BYTES) return 0;
    const char *suffix = entry->d_name + len - SUFFIX_BYTES;
    for (int i = 0; i < SUFFIX_BYTES; i++)
        if (form[i] == 'd' ? suffix[i] < '0' || suffix[i] > '9' : suffix[i] != form[i]) return 0;
    return 1;
}

static int newest_first(const struct dirent **a, const struct dirent **b) {
    return strcmp((*b)->d_name, (*a)->d_name);
}

/* Removes what is older than the newest `keep`. Nothing here is worth more than a file too many. */
static void prune(const daily_file_t *self) {
    char dir[PATH_MAX];
    struct dirent **entries;
    (void)snprintf(dir, sizeof dir, "%s", self->path);
    char *slash = strrchr(dir, '/');
    if (self->keep <= 0 || !slash) return;
    const char *base = slash + 1;
    size_t base_len = strlen(base);
    *slash = '\0';
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), kept = 0;
    int count = fd < 0 ? -1 : scandirat(fd, ".", &entries, is_dated, newest_first);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        bool ours = strlen(name) == base_len + SUFFIX_BYTES && strncmp(name, base, base_len) == 0;
        if (ours && ++kept > self->keep) (void)unlinkat(fd, name, 0);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    if (fd >= 0) (void)close(fd);
}

/* --- the file --- */

static bool is_at_path(const daily_file_t *self) {
    struct stat named;
    return stat(self->path, &named) == 0 && named.st_ino == self->inode && named.st_dev == self->device;
}

void daily_file_close(daily_file_t *self) {
    if (self->fd >= 0) (void)close(self->fd);
    self->fd = -1;
}

/* The file takes the name of its day, unless another process is at it, or that name is taken (a clock that
 * went back): then it goes on under this one. The lock is on the file itself: whoever renames has it open. */
static void rename_to_day(daily_file_t *self) {
    char dated[PATH_MAX + 16];
    struct stat st;
    (void)snprintf(dated, sizeof dated, "%s.%s", self->path, self->day);
    if (flock(self->fd, LOCK_EX | LOCK_NB) != 0) return;
    bool renamed = is_at_path(self) && lstat(dated, &st) != 0 && rename(self->path, dated) == 0;
    (void)flock(self->fd, LOCK_UN);
    if (renamed) prune(self);
}

static int open_file(daily_file_t *self, int64_t now_s) {
    struct stat st;
    daily_file_close(self);
    self->fd = open(self->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (self->fd < 0) return ERR_IO;
    if (fstat(self->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        daily_file_close(self);
        errno = EINVAL;
        return ERR_IO;
    }
    if (st.st_uid == geteuid() && dirs_shared(self->path)) (void)fchmod(self->fd, 0640);
    self->inode = st.st_ino;
    self->device = st.st_dev;
    self->torn = false;
    set_day(self, st.st_size > 0 ? (int64_t)st.st_mtime : now_s);
    return 0;
}

/* Makes sure that the file at the path is open and of the day of `now_s`. */
static int ready(daily_file_t *self, int64_t now_s) {
    for (int tries = 0; tries < 3; tries++) {
        struct stat st;
        if ((self->fd < 0 || !is_at_path(self)) && open_file(self, now_s) != 0) return ERR_IO;
        if (now_s < self->day_end_s) return 0;
        if (fstat(self->fd, &st) == 0 && st.st_size == 0) {
            set_day(self, now_s); /* nothing was written on its day */
            return 0;
        }
        rename_to_day(self);
        if (is_at_path(self)) return 0; /* it stays for now */
    }
    return 0;
}

int daily_file_open(daily_file_t *self, const char *path, int keep, int64_t now_s) {
    *self = (daily_file_t){.fd = -1, .keep = keep};
    if ((size_t)snprintf(self->path, sizeof self->path, "%s", path) >= sizeof self->path) {
        self->path[0] = '\0';
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    int err = ready(self, now_s);
    if (!err) prune(self);
    return err;
}

int daily_file_write(daily_file_t *self, const char *lines, size_t size, int64_t now_s) {
    char newline[1] = {'\n'};
    if (ready(self, now_s) != 0) return ERR_IO;
    bool torn = self->torn;
    struct iovec parts[2] = {{newline, torn ? 1 : 0}, {(void *)(uintptr_t)lines, size}};
    ssize_t wrote;
    do
        wrote = writev(self->fd, parts, 2);
    while (wrote < 0 && errno == EINTR);
    if (wrote == (ssize_t)(size + (torn ? 1 : 0))) {
        self->torn = false;
        return 0;
    }
    if (wrote > 0) {
        self->torn = true;
        errno = ENOSPC;
    }
    return ERR_IO;
}
