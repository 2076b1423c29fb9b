/* A file of lines that gets a new name at local midnight (PATH.YYYY-MM-DD), of which the newest ones are
 * kept. Several processes may write one: each line goes out in one write at the file's end, and one of them
 * renames it. It needs no memory but itself. Lies under log.c and metrics.c. */
#ifndef SLUICE_COMMON_DAILY_FILE_H
#define SLUICE_COMMON_DAILY_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
    char path[PATH_MAX];
    int fd;            /* -1: not open */
    int keep;          /* renamed files to keep; 0: all */
    int64_t day_end_s; /* Unix time of the midnight at which the open file's day ends */
    char day[16];      /* the open file's day: "YYYY-MM-DD" */
    dev_t device;      /* of the open file */
    ino_t inode;
    bool torn; /* the last write was cut short: the next line begins on a line of its own */
} daily_file_t;

/* Opens or makes the file (mode 0600, or 0640 in a directory that is shared with its group). A file whose
 * last line is of a former day gets its dated name first. `now_s` is Unix time. 0, or ERR_IO with errno
 * (ENAMETOOLONG included); the file may be written then all the same: each write tries to open it. */
int daily_file_open(daily_file_t *self, const char *path, int keep, int64_t now_s);
/* Appends whole lines in one write. ERR_IO with errno: they are not in the file, or not as a whole. */
int daily_file_write(daily_file_t *self, const char *lines, size_t size, int64_t now_s);
/* Accepts one that is not open, but not one that never was. */
void daily_file_close(daily_file_t *self);

#endif
