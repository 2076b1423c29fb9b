/* Time that passes at once. Preloaded into the programs: the clock by which they measure what lasts is as
 * many seconds ahead as the file CLOCK_AHEAD has octets. curl and ZeroMQ go by another one, and notice
 * nothing. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    struct stat file;
    const char *path = getenv("CLOCK_AHEAD");
    if (syscall(SYS_clock_gettime, clock, now) != 0) return -1;
    if (clock == CLOCK_BOOTTIME && path && stat(path, &file) == 0) now->tv_sec += file.st_size;
    return 0;
}
