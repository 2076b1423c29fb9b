#include "uploader/pack_logs.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"

#define FILES_MAX   4096
#define PIECE_BYTES 32768
#define METRICS     "metrics"
#define EXECUTORS   "executors" /* where the unit shows those of executors, which are another user */

struct pack_logs_t {
    struct archive *zip;
    struct archive_entry *entry;
    int dir, out;
    char *names[FILES_MAX]; /* below the folder */
    size_t count, next;
    int file;     /* being packed, -1 for none */
    int64_t left; /* of it */
    bool complete;
    char piece[PIECE_BYTES];
};

static int complain(char *why, const char *what, const char *reason) {
    (void)snprintf(why, PACK_WHY_MAX, "packing the logs: %.90s: %.80s", what, reason);
    return ERR_IO;
}

/* --- what there is --- */

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Notes the files of a folder whose names begin so. A folder that is not there, or
 * not for this user, has none. */
static int list(pack_logs_t *self, const char *folder, const char *prefix, const char *begin, char *why) {
    int fd = openat(self->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT || errno == EACCES ? 0 : complain(why, folder, strerror(errno));
    DIR *dir = fdopendir(fd);
    if (!dir) {
        (void)close(fd);
        return ERR_NOMEM;
    }
    int err = 0;
    for (struct dirent *entry; !err && self->count < FILES_MAX && (entry = readdir(dir)) != NULL;) {
        if (strncmp(entry->d_name, begin, strlen(begin)) != 0) continue;
        if (asprintf(&self->names[self->count], "%s%s", prefix, entry->d_name) < 0)
            err = ERR_NOMEM;
        else
            self->count++;
    }
    (void)closedir(dir);
    return err;
}

/* --- the zip --- */

static int open_temp(const char *log_dir, char *why) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/.pack-XXXXXX", log_dir) >= (int)sizeof path)
        return complain(why, log_dir, strerror(ENAMETOOLONG));
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) return complain(why, log_dir, strerror(errno));
    (void)unlink(path);
    return fd;
}

static int open_zip(pack_logs_t *self) {
    self->zip = archive_write_new();
    self->entry = archive_entry_new();
    if (!self->zip || !self->entry) return ERR_NOMEM;
    if (archive_write_set_format_zip(self->zip) != ARCHIVE_OK ||
        archive_write_set_options(self->zip, "zip:compression=deflate") != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(self->zip, 1) != ARCHIVE_OK ||
        archive_write_open_fd(self->zip, self->out) != ARCHIVE_OK)
        return ERR_NOMEM;
    return 0;
}

static int zip_failed(pack_logs_t *self, char *why) {
    const char *text = archive_error_string(self->zip);
    return complain(why, "the zip", text ? text : "it cannot be written");
}

pack_logs_t *pack_logs_new(const char *log_dir, char why[PACK_WHY_MAX]) {
    pack_logs_t *self = calloc(1, sizeof *self);
    (void)snprintf(why, PACK_WHY_MAX, "packing the logs: %s", err_str(ERR_NOMEM));
    if (!self) return NULL;
    self->file = self->out = -1;
    self->dir = open(log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = self->dir < 0 ? complain(why, log_dir, strerror(errno)) : 0;
    if (!err) err = list(self, ".", "", "sluice", why);
    if (!err) err = list(self, METRICS, METRICS "/", "metrics", why);
    if (!err) err = list(self, EXECUTORS, EXECUTORS "/", "sluice-executor", why);
    if (!err) err = list(self, EXECUTORS "/" METRICS, EXECUTORS "/" METRICS "/", "metrics", why);
    if (!err && (self->out = open_temp(log_dir, why)) < 0) err = ERR_IO;
    if (!err) err = open_zip(self);
    if (err) {
        pack_logs_destroy(&self);
        return NULL;
    }
    qsort(self->names, self->count, sizeof *self->names, by_name);
    return self;
}

void pack_logs_destroy(pack_logs_t **self_p) {
    pack_logs_t *self = *self_p;
    if (!self) return;
    if (self->zip) (void)archive_write_free(self->zip);
    archive_entry_free(self->entry);
    for (size_t i = 0; i < self->count; i++)
        free(self->names[i]);
    if (self->file >= 0) (void)close(self->file);
    if (self->out >= 0) (void)close(self->out);
    if (self->dir >= 0) (void)close(self->dir);
    free(self);
    *self_p = NULL;
}

/* Opens the next file there is; none is left when self->file stays -1. */
static int next_file(pack_logs_t *self, char *why) {
    struct stat st;
    while (self->file < 0 && self->next < self->count) {
        const char *name = self->names[self->next++];
        int fd = openat(self->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
            if (fd >= 0) (void)close(fd);
            continue;
        }
        self->file = fd;
        self->left = st.st_size;
        (void)archive_entry_clear(self->entry);
        archive_entry_set_pathname(self->entry, name);
        archive_entry_set_filetype(self->entry, AE_IFREG);
        archive_entry_set_perm(self->entry, 0600);
        archive_entry_unset_size(self->entry); /* it may be cut shorter meanwhile */
        archive_entry_set_mtime(self->entry, st.st_mtime, 0);
        if (archive_write_header(self->zip, self->entry) != ARCHIVE_OK) return zip_failed(self, why);
    }
    return 0;
}

static int end_file(pack_logs_t *self, char *why) {
    (void)close(self->file);
    self->file = -1;
    return archive_write_finish_entry(self->zip) == ARCHIVE_OK ? 0 : zip_failed(self, why);
}

/* One piece of the file; *done counts its octets. */
static int pack_piece(pack_logs_t *self, size_t *done, char *why) {
    size_t want = self->left < PIECE_BYTES ? (size_t)self->left : PIECE_BYTES;
    ssize_t got = want > 0 ? read(self->file, self->piece, want) : 0;
    if (got < 0 && errno == EINTR) return 0;
    if (got <= 0) return end_file(self, why); /* the end, cut shorter meanwhile, or not readable */
    if (archive_write_data(self->zip, self->piece, (size_t)got) != got) return zip_failed(self, why);
    self->left -= got;
    *done += (size_t)got;
    return 0;
}

int pack_logs_turn(pack_logs_t *self, char why[PACK_WHY_MAX]) {
    size_t done = 0;
    int err = 0;
    while (!err && !self->complete && done < PACK_SLICE_BYTES) {
        if (self->file < 0) err = next_file(self, why);
        if (!err && self->file >= 0) {
            err = pack_piece(self, &done, why);
        } else if (!err) {
            self->complete = archive_write_close(self->zip) == ARCHIVE_OK;
            if (!self->complete) err = zip_failed(self, why);
        }
    }
    return err ? err : !self->complete;
}

int pack_logs_take(pack_logs_t *self, int64_t *bytes) {
    struct stat st;
    assert(self->complete && self->out >= 0);
    int fd = self->out;
    self->out = -1;
    *bytes = fstat(fd, &st) == 0 ? (int64_t)st.st_size : 0;
    return fd;
}
