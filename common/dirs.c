#include "common/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"

static int fail(char why[512], const char *path, const char *reason, const char *option) {
    int saved = errno;
    (void)snprintf(why, 512, "%.300s: %s; name a directory this user can write with %s", path, reason,
                   option);
    errno = saved;
    return ERR_IO;
}

/* Makes the parents of `path`. Errors show up when the last part is made. */
static void make_parents(const char *path) {
    char part[4096];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) return;
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, 0700);
        *slash = '/';
    }
}

/* Somebody else's directory or link could be made to lead anywhere. */
static int trusted(uid_t owner) {
    return owner == geteuid() || owner == 0;
}

int dirs_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ERR_IO;
    int done = fsync(fd), saved = errno;
    (void)close(fd);
    errno = saved;
    return done == 0 ? 0 : ERR_IO;
}

/* As far as the parents can be read: those that were there before are not ours to make durable. */
static void sync_parents(const char *path) {
    char part[4096];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) return;
    for (char *slash; (slash = strrchr(part, '/')) != NULL;) {
        slash[slash == part] = '\0';
        (void)dirs_sync(part);
        if (slash == part) return;
    }
}

int dirs_make(const char *path, const char *option, char why[512]) {
    struct stat st, link;
    bool is_new = mkdir(path, 0700) == 0;
    if (!is_new && errno != EEXIST) {
        if (errno == ENOENT) make_parents(path);
        is_new = mkdir(path, 0700) == 0;
        if (!is_new && errno != EEXIST) return fail(why, path, strerror(errno), option);
    }
    if (is_new) sync_parents(path);
    if (lstat(path, &link) != 0 || stat(path, &st) != 0) return fail(why, path, strerror(errno), option);
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return fail(why, path, "it is no directory", option);
    }
    if (!trusted(link.st_uid) || !trusted(st.st_uid)) {
        errno = EACCES;
        return fail(why, path, "it belongs to another user", option);
    }
    if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) != 0)
        return fail(why, path, strerror(errno), option);
    return 0;
}

bool dirs_shared(const char *path) {
    char dir[4096];
    struct stat st;
    if (snprintf(dir, sizeof dir, "%s", path) >= (int)sizeof dir) return false;
    char *slash = strrchr(dir, '/');
    if (slash == NULL) return false;
    *slash = '\0';
    return stat(dir, &st) == 0 && (st.st_mode & S_IXGRP) != 0 && (st.st_mode & S_IRWXO) == 0;
}

static uint64_t fnv1a(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t place_of(const struct stat *st) {
    char boot[BOOT_ID_SIZE];
    uint64_t device = st->st_dev, inode = st->st_ino;
    clock_boot_id(boot);
    uint64_t hash = fnv1a(0xcbf29ce484222325u, boot, strlen(boot));
    hash = fnv1a(hash, &device, sizeof device);
    hash = fnv1a(hash, &inode, sizeof inode);
    return hash != 0 ? hash : 1;
}

static pid_t read_pid(int fd) {
    char text[24];
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    if (got <= 0) return 0;
    text[got] = '\0';
    char *end;
    long pid = strtol(text, &end, 10);
    return end != text && *end == '\n' && pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* The pid of who holds the file: it may have the lock and not have written yet. */
static pid_t holder_of(int fd) {
    pid_t pid = read_pid(fd);
    for (int i = 0; i < 10 && pid == 0; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        pid = read_pid(fd);
    }
    return pid;
}

static int write_pid(int fd) {
    char text[24];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0) return ERR_IO;
    return pwrite(fd, text, (size_t)len, 0) == len ? 0 : ERR_IO;
}

/* Opens and locks. The file may have been replaced between the two: then again. Returns the descriptor. */
static int open_locked(const char *path, struct stat *st, pid_t *holder, int *error) {
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        *error = ERR_IO;
        if (fd < 0) return -1;
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        struct stat named;
        if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
            if (errno == EAGAIN || errno == EACCES) {
                *error = ERR_BUSY;
                *holder = holder_of(fd);
            }
        } else if (fstat(fd, st) == 0 && stat(path, &named) == 0 && named.st_ino == st->st_ino &&
                   named.st_dev == st->st_dev) {
            *error = 0;
            return fd;
        } else {
            (void)close(fd);
            continue;
        }
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
}

int lock_take(const char *path, lock_t *lock, pid_t *holder, char why[512]) {
    struct stat st;
    pid_t other = 0;
    int error;
    int fd = open_locked(path, &st, &other, &error);
    if (fd >= 0 && write_pid(fd) != 0) {
        error = ERR_IO;
        (void)close(
            fd); /* errno stays that of the write: closing a file that was just written to cannot fail */
        fd = -1;
    }
    if (fd < 0) {
        int saved = errno;
        if (error == ERR_BUSY)
            (void)snprintf(why, 512, "%.400s is held by process %ld", path, (long)other);
        else
            (void)snprintf(why, 512, "%.400s: %s", path, strerror(saved));
        if (holder != NULL) *holder = other;
        errno = saved;
        return error;
    }
    lock->fd = fd;
    lock->place = place_of(&st);
    return 0;
}

int lock_take_numbered(const char *dir, const char *prefix, unsigned max, lock_t *lock, unsigned *number,
                       char why[512]) {
    for (unsigned i = 1; i <= max; i++) {
        char path[4096];
        if (snprintf(path, sizeof path, "%s/%s-%u.lock", dir, prefix, i) >= (int)sizeof path) {
            (void)snprintf(why, 512, "%.400s: the path is too long", dir);
            errno = ENAMETOOLONG;
            return ERR_IO;
        }
        int error = lock_take(path, lock, NULL, why);
        if (error == 0) {
            *number = i;
            why[0] = '\0';
        }
        if (error != ERR_BUSY) return error;
    }
    (void)snprintf(why, 512, "all of %.300s/%.60s-1.lock to %u are held by other processes", dir, prefix,
                   max);
    return ERR_BUSY;
}

int lock_probe(const char *path, pid_t *holder) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno == ENOENT ? 0 : ERR_IO;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result = 0;
    if (fcntl(fd, F_OFD_GETLK, &whole) != 0) {
        result = ERR_IO;
    } else if (whole.l_type != F_UNLCK) {
        result = ERR_BUSY;
        *holder = holder_of(fd);
    }
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return result;
}

void lock_release(lock_t *lock) {
    if (lock->fd >= 0) (void)close(lock->fd);
    lock->fd = -1;
    lock->place = 0;
}
