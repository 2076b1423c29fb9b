#include "executor/temp_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/err.h"

/* File systems without O_TMPFILE get a name for a moment. */
static int open_in(const char *dir) {
    char path[PATH_MAX];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
    if (snprintf(path, sizeof path, "%s/sluice-body.XXXXXX", dir) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) (void)unlink(path);
    return fd;
}

int temp_file_open(const char *state_dir) {
    const char *dirs[] = {getenv("TMPDIR"), "/var/tmp", state_dir, "/tmp"};
    int reason = 0;
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        if (!dirs[i] || !dirs[i][0]) continue;
        int fd = open_in(dirs[i]);
        if (fd >= 0) return fd;
        if (!reason) reason = errno;
    }
    errno = reason;
    return ERR_IO;
}
