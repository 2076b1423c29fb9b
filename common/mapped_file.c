#include "common/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *mapped_file(const char *dir, const char *name, size_t bytes) {
    char *path;
    if (asprintf(&path, "%s/%s", dir, name) < 0) {
        errno = ENOMEM;
        return NULL;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    free(path);
    if (fd < 0) return NULL;
    void *memory = MAP_FAILED;
    int reason = posix_fallocate(fd, 0, (off_t)bytes);
    if (reason == 0) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        reason = errno;
    }
    (void)close(fd);
    errno = reason;
    return memory == MAP_FAILED ? NULL : memory;
}
