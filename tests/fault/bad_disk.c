/* A disk that keeps only what was synced, and that fails when told. Preloaded into the programs; for files
 * under BAD_DISK_STATE:
 *
 * - What fsync() and fdatasync() of a file make durable is copied into BAD_DISK_SHADOW/data/INODE-GENERATION,
 * and fsync() of a directory copies its list of names into BAD_DISK_SHADOW/names/PATH ("/" as "+"). After a
 * power cut nothing else is sure to be there; tests/e2e/disk.py puts the state directory together again.
 * - Each line "CALL PART ERRNO" in the file BAD_DISK_FAULTS makes CALL (open, write, sync, rename) fail with
 * that number wherever the path has PART in it.
 *
 * The boot id is read from BAD_DISK_BOOT_ID: after a power cut it is another. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 512
#define BOOT_ID   "/proc/sys/kernel/random/boot_id"

typedef struct {
    off_t from, to;
} range_t;

/* What was written into an inode since its last sync. */
typedef struct {
    ino_t inode;
    range_t *ranges;
    size_t count, size;
} dirty_t;

static dirty_t files[FILES_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

/* The path of a descriptor, when it is under the state directory. */
static bool path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    const char *state = getenv("BAD_DISK_STATE");
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = state ? readlink(link, path, PATH_MAX - 1) : -1;
    if (len < 0) return false;
    path[len] = '\0';
    return strncmp(path, state, strlen(state)) == 0;
}

static bool path_at(int dir, const char *name, char path[PATH_MAX]) {
    char base[PATH_MAX];
    const char *state = getenv("BAD_DISK_STATE");
    if (!state) return false;
    if (name[0] == '/' || dir == AT_FDCWD)
        (void)snprintf(path, PATH_MAX, "%s", name);
    else if (!path_of(dir, base) || snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
        return false;
    return strncmp(path, state, strlen(state)) == 0;
}

static bool fails(const char *call, const char *path) {
    const char *rules = getenv("BAD_DISK_FAULTS");
    FILE *file = rules ? fopen(rules, "re") : NULL;
    char name[16], part[64];
    int code;
    bool hit = false;
    while (file && !hit && fscanf(file, "%15s %63s %d", name, part, &code) == 3)
        hit = strcmp(name, call) == 0 && strstr(path, part);
    if (file) (void)fclose(file);
    if (hit) errno = code;
    return hit;
}

/* --- what is durable --- */

static int shadow(const char *folder, const char *name, int flags) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s/%s", getenv("BAD_DISK_SHADOW"), folder, name);
    return REAL(open)(path, flags | O_CLOEXEC, 0600);
}

/* Inodes are used again: every file that is made gets the next generation of its inode. */
static unsigned generation(ino_t inode, bool next) {
    char name[32];
    unsigned number = 0;
    (void)snprintf(name, sizeof name, "%lu", (unsigned long)inode);
    int fd = shadow("generations", name, O_RDWR | O_CREAT);
    if (fd < 0) abort();
    if (pread(fd, &number, sizeof number, 0) != (ssize_t)sizeof number) number = 0;
    number += next;
    if (next && REAL(pwrite)(fd, &number, sizeof number, 0) != (ssize_t)sizeof number) abort();
    (void)REAL(close)(fd);
    return number;
}

static dirty_t *dirty_of(ino_t inode) {
    dirty_t *unused = NULL;
    for (int i = 0; i < FILES_MAX; i++) {
        if (files[i].inode == inode) return &files[i];
        if (!unused && files[i].count == 0) unused = &files[i];
    }
    if (!unused) abort();
    unused->inode = inode;
    return unused;
}

static void wrote(int fd, off_t from, ssize_t bytes) {
    char path[PATH_MAX];
    struct stat info;
    int saved = errno;
    if (bytes > 0 && path_of(fd, path) && fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        (void)pthread_mutex_lock(&lock);
        dirty_t *dirty = dirty_of(info.st_ino);
        if (dirty->count > 0 && dirty->ranges[dirty->count - 1].to == from) {
            dirty->ranges[dirty->count - 1].to = from + bytes;
        } else {
            if (dirty->count == dirty->size) {
                dirty->size = dirty->size * 2 + 16;
                dirty->ranges = realloc(dirty->ranges, dirty->size * sizeof *dirty->ranges);
                if (!dirty->ranges) abort();
            }
            dirty->ranges[dirty->count++] = (range_t){from, from + bytes};
        }
        (void)pthread_mutex_unlock(&lock);
    }
    errno = saved;
}

static void copy(int from, int to, range_t range) {
    static char block[65536]; /* under the lock */
    for (off_t at = range.from; at < range.to;) {
        size_t most = (size_t)(range.to - at) < sizeof block ? (size_t)(range.to - at) : sizeof block;
        ssize_t n = pread(from, block, most, at);
        if (n <= 0) return; /* cut off since */
        if (REAL(pwrite)(to, block, (size_t)n, at) != n) abort();
        at += n;
    }
}

/* The descriptor may be open for writing only. */
static void keep_file(const char *path, const struct stat *info) {
    char name[64];
    (void)snprintf(name, sizeof name, "%lu-%u", (unsigned long)info->st_ino, generation(info->st_ino, false));
    int from = REAL(open)(path, O_RDONLY | O_CLOEXEC), to = shadow("data", name, O_WRONLY | O_CREAT);
    if (from < 0 || to < 0) abort();
    (void)pthread_mutex_lock(&lock);
    dirty_t *dirty = dirty_of(info->st_ino);
    for (size_t i = 0; i < dirty->count; i++)
        copy(from, to, dirty->ranges[i]);
    dirty->count = 0;
    (void)pthread_mutex_unlock(&lock);
    if (REAL(ftruncate)(to, info->st_size) != 0) abort();
    (void)REAL(close)(from);
    (void)REAL(close)(to);
}

static void keep_names(const char *path) {
    char name[PATH_MAX], made[PATH_MAX + 8], from[PATH_MAX * 2], to[PATH_MAX * 2];
    const char *top = getenv("BAD_DISK_SHADOW");
    (void)snprintf(name, sizeof name, "%s", path);
    for (char *at = name; *at; at++)
        if (*at == '/') *at = '+';
    (void)snprintf(made, sizeof made, "%s.%d", name, getpid());
    int fd = shadow("names", made, O_WRONLY | O_CREAT | O_TRUNC);
    DIR *dir = opendir(path);
    if (fd < 0 || !dir) abort();
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        bool folder = entry->d_type == DT_DIR;
        if (entry->d_name[0] == '.') continue;
        (void)dprintf(fd, "%s %lu-%u %c\n", entry->d_name, (unsigned long)entry->d_ino,
                      folder ? 0 : generation(entry->d_ino, false), folder ? 'd' : 'f');
    }
    (void)closedir(dir);
    (void)REAL(close)(fd);
    (void)snprintf(from, sizeof from, "%s/names/%s", top, made);
    (void)snprintf(to, sizeof to, "%s/names/%s", top, name);
    if (REAL(rename)(from, to) != 0) abort();
}

static int sync_fd(int fd) {
    char path[PATH_MAX];
    struct stat info;
    if (!path_of(fd, path)) return 0;
    if (fails("sync", path)) return -1;
    if (fstat(fd, &info) != 0) return -1;
    if (S_ISDIR(info.st_mode))
        keep_names(path);
    else if (info.st_nlink > 0)
        keep_file(path, &info);
    return 0;
}

/* --- the calls --- */

static int open_at(int dir, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    const char *boot_id = getenv("BAD_DISK_BOOT_ID");
    if (boot_id && strcmp(name, BOOT_ID) == 0) name = boot_id;
    bool ours = (flags & O_CREAT) && path_at(dir, name, path);
    if (ours && fails("open", path)) return -1;
    bool is_new = ours && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    int fd = REAL(openat)(dir, name, flags, mode);
    struct stat info;
    if (fd < 0 || !ours) return fd;
    if (fstat(fd, &info) != 0) abort();
    if (is_new) {
        (void)pthread_mutex_lock(&lock);
        dirty_of(info.st_ino)->count = 0;
        (void)pthread_mutex_unlock(&lock);
        (void)generation(info.st_ino, true);
    }
    return fd;
}

#define MODE_OF(flags)                                                                                       \
    mode_t mode = 0;                                                                                         \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                   \
        va_list args;                                                                                        \
        va_start(args, flags);                                                                               \
        mode = va_arg(args, mode_t);                                                                         \
        va_end(args);                                                                                        \
    }

int open(const char *name, int flags, ...) {
    MODE_OF(flags)
    return open_at(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...) {
    MODE_OF(flags)
    return open_at(AT_FDCWD, name, flags, mode);
}

int openat(int dir, const char *name, int flags, ...) {
    MODE_OF(flags)
    return open_at(dir, name, flags, mode);
}

int openat64(int dir, const char *name, int flags, ...) {
    MODE_OF(flags)
    return open_at(dir, name, flags, mode);
}

static bool write_fails(int fd) {
    char path[PATH_MAX];
    return path_of(fd, path) && fails("write", path);
}

ssize_t write(int fd, const void *bytes, size_t size) {
    if (write_fails(fd)) return -1;
    ssize_t n = REAL(write)(fd, bytes, size);
    if (n > 0) wrote(fd, lseek(fd, 0, SEEK_CUR) - n, n);
    return n;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    if (write_fails(fd)) return -1;
    ssize_t n = REAL(pwrite)(fd, bytes, size, at);
    wrote(fd, at, n);
    return n;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    return pwrite(fd, bytes, size, at);
}

int fsync(int fd) {
    return sync_fd(fd);
}

int fdatasync(int fd) {
    return sync_fd(fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    char path[PATH_MAX];
    if (path_at(to_dir, to, path) && fails("rename", path)) return -1;
    return REAL(renameat)(from_dir, from, to_dir, to);
}
