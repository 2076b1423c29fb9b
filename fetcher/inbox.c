#include "fetcher/inbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "common/crash_point.h"
#include "common/dirs.h"
#include "common/err.h"
#include "common/messages.h"

#define MAGIC_BYTES  8
#define PREFIX_BYTES (MAGIC_BYTES + 8 + 8 + 4) /* magic, sizes of header and task, CRC-32 of both */
#define FILE_MAX     (PREFIX_BYTES + MSG_HEADER_MAX + (64L * 1024 * 1024))
#define NAME_SIZE    48
#define TMP_SUFFIX   ".tmp"
#define BAD_SUFFIX   ".bad"

static const char unreadable[] = "it cannot be read", no_memory[] = "out of memory",
                  no_fetch[] = "its header is no fetch";
static const unsigned char magic[MAGIC_BYTES] = {'s', 'l', 'u', 'i', 'c', 'e', 'f', '1'};

struct inbox_t {
    int dir;
};

static void put_number(unsigned char *at, uint64_t value, int octets) {
    for (int i = 0; i < octets; i++)
        at[i] = (unsigned char)(value >> (8 * (octets - 1 - i)));
}

static uint64_t get_number(const unsigned char *at, int octets) {
    uint64_t value = 0;
    for (int i = 0; i < octets; i++)
        value = value << 8 | at[i];
    return value;
}

static void file_name(uint64_t instance, uint64_t seq, const char *suffix, char name[NAME_SIZE]) {
    snprintf(name, NAME_SIZE, "%016" PRIx64 "-%" PRIu64 "%s", instance, seq, suffix);
}

static bool ends_with(const char *text, const char *suffix) {
    size_t len = strlen(text), tail = strlen(suffix);
    return len >= tail && strcmp(text + len - tail, suffix) == 0;
}

int inbox_open(const char *state_dir, inbox_t **self) {
    inbox_t *inbox = calloc(1, sizeof *inbox);
    char *path = NULL;
    if (!inbox || asprintf(&path, "%s/inbox", state_dir) < 0) {
        free(inbox);
        return ERR_NOMEM;
    }
    int made = mkdir(path, 0700);
    bool there = (made == 0 || errno == EEXIST) && dirs_sync(state_dir) == 0;
    inbox->dir = there ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(path);
    if (inbox->dir < 0) {
        int reason = errno;
        free(inbox);
        errno = reason;
        return ERR_IO;
    }
    *self = inbox;
    return 0;
}

void inbox_close(inbox_t **self) {
    if (!*self) return;
    close((*self)->dir);
    free(*self);
    *self = NULL;
}

static bool write_all(int fd, const void *bytes, size_t size) {
    for (const char *at = bytes; size > 0;) {
        ssize_t done = write(fd, at, size);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

int inbox_write(inbox_t *self, uint64_t instance, uint64_t seq, const void *header, size_t header_bytes,
                const void *task, size_t task_bytes) {
    unsigned char prefix[PREFIX_BYTES];
    char name[NAME_SIZE], tmp[NAME_SIZE];
    uint32_t sum = (uint32_t)crc32_z(crc32_z(0, header, header_bytes), task, task_bytes);
    memcpy(prefix, magic, MAGIC_BYTES);
    put_number(prefix + MAGIC_BYTES, header_bytes, 8);
    put_number(prefix + MAGIC_BYTES + 8, task_bytes, 8);
    put_number(prefix + MAGIC_BYTES + 16, sum, 4);
    file_name(instance, seq, "", name);
    file_name(instance, seq, TMP_SUFFIX, tmp);
    int fd = openat(self->dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return ERR_IO;
    CRASH_POINT("inbox.made");
    bool ok = write_all(fd, prefix, sizeof prefix) && write_all(fd, header, header_bytes) &&
              write_all(fd, task, task_bytes) && fsync(fd) == 0;
    int reason = errno;
    close(fd);
    errno = ok ? errno : reason;
    CRASH_POINT("inbox.written");
    ok = ok && renameat(self->dir, tmp, self->dir, name) == 0;
    CRASH_POINT("inbox.renamed");
    if (ok && fsync(self->dir) == 0) return 0;
    reason = errno;
    unlinkat(self->dir, ok ? name : tmp, 0);
    errno = reason;
    return ERR_IO;
}

void inbox_remove(inbox_t *self, uint64_t instance, uint64_t seq) {
    char name[NAME_SIZE];
    file_name(instance, seq, "", name);
    CRASH_POINT("inbox.remove");
    (void)unlinkat(self->dir, name, 0); /* a file that stays is only sent again, and answered as a repeat */
    CRASH_POINT("inbox.removed");
}

/* The whole file, or NULL with *why. */
static char *read_whole(int dir, const char *name, size_t *size, const char **why) {
    struct stat info;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char *bytes = NULL;
    *why = unreadable;
    if (fd < 0 || fstat(fd, &info) != 0) goto cleanup;
    *why = "its size is impossible";
    if (info.st_size < PREFIX_BYTES || info.st_size > FILE_MAX) goto cleanup;
    *why = no_memory;
    bytes = malloc((size_t)info.st_size);
    if (!bytes) goto cleanup;
    *why = NULL;
    for (*size = 0; *size < (size_t)info.st_size;) {
        ssize_t got = read(fd, bytes + *size, (size_t)info.st_size - *size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            *why = unreadable;
            break;
        }
        *size += (size_t)got;
    }
cleanup:
    if (fd >= 0) close(fd);
    if (*why) {
        free(bytes);
        bytes = NULL;
    }
    return bytes;
}

/* NULL when the file was whole and taken, else why not. */
static const char *load_file(inbox_t *self, const char *name, const inbox_reader_t *reader) {
    const char *why;
    size_t size;
    char *bytes = read_whole(self->dir, name, &size, &why);
    if (!bytes) return why;
    const unsigned char *prefix = (const unsigned char *)bytes;
    uint64_t header_bytes = get_number(prefix + MAGIC_BYTES, 8),
             task_bytes = get_number(prefix + MAGIC_BYTES + 8, 8);
    const char *header = bytes + PREFIX_BYTES;
    if (memcmp(prefix, magic, MAGIC_BYTES) != 0)
        why = "it does not begin as an inbox file";
    else if (header_bytes > size || task_bytes > size || header_bytes + task_bytes + PREFIX_BYTES != size)
        why = "its length is not what it says";
    else if (crc32_z(0, (const unsigned char *)header, size - PREFIX_BYTES) !=
             get_number(prefix + MAGIC_BYTES + 16, 4))
        why = "its checksum does not match";
    else if (reader->fetch(reader->ctx, header, (size_t)header_bytes, header + header_bytes,
                           (size_t)task_bytes) != 0)
        why = no_fetch;
    free(bytes);
    return why;
}

/* Its writer died before it was on the disk, or before it had its name. */
static int finish_write(inbox_t *self, const char *name) {
    char whole[NAME_MAX + 1];
    (void)snprintf(whole, sizeof whole, "%.*s", (int)(strlen(name) - strlen(TMP_SUFFIX)), name);
    int fd = openat(self->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0 && renameat(self->dir, name, self->dir, whole) == 0;
    int reason = errno;
    if (fd >= 0) close(fd);
    errno = reason;
    return done ? 0 : ERR_IO;
}

/* Counts it in *taken when it is. */
static int load_one(inbox_t *self, const char *name, const inbox_reader_t *reader, unsigned *taken) {
    char other[300];
    const char *why = load_file(self, name, reader);
    bool tmp = ends_with(name, TMP_SUFFIX);
    if (!why) {
        ++*taken;
        return tmp ? finish_write(self, name) : 0;
    }
    if (tmp && why != unreadable && why != no_memory && why != no_fetch) { /* its writer died at it */
        (void)unlinkat(self->dir, name, 0);
        return 0;
    }
    snprintf(other, sizeof other, "%s%s", name, BAD_SUFFIX);
    (void)renameat(self->dir, name, self->dir, other);
    reader->bad(reader->ctx, name, why);
    return 0;
}

int inbox_load(inbox_t *self, const inbox_reader_t *reader) {
    int copy = fcntl(self->dir, F_DUPFD_CLOEXEC, 0), err = 0;
    unsigned taken = 0;
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        if (copy >= 0) close(copy);
        return ERR_IO;
    }
    rewinddir(dir);
    while (!err) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) break;
        if (entry->d_name[0] != '.' && !ends_with(entry->d_name, BAD_SUFFIX))
            err = load_one(self, entry->d_name, reader, &taken);
    }
    if (!err && errno != 0) err = ERR_IO;
    if (!err && taken > 0 && fsync(self->dir) != 0) err = ERR_IO; /* a name may be as new as its file */
    int reason = errno;
    closedir(dir);
    errno = reason;
    return err;
}
