#include "common/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ms(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) abort(); /* both clocks exist on every Linux this runs on */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_boot_ms(void) {
    return clock_ms(CLOCK_BOOTTIME);
}

uint32_t clock_since_ms(int64_t start_ms) {
    int64_t ms = clock_boot_ms() - start_ms;
    return (uint32_t)(ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : ms);
}

int64_t clock_monotonic_us(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) abort();
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void) {
    return clock_ms(CLOCK_REALTIME);
}

void clock_boot_id(char id[BOOT_ID_SIZE]) {
    id[0] = '\0';
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = read(fd, id, BOOT_ID_SIZE - 1);
    (void)close(fd);
    id[n > 0 ? n : 0] = '\0';
    id[strcspn(id, "\n")] = '\0';
}

uint64_t random_u64(void) {
    uint64_t value = 0;
    while (value == 0)
        if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value) value = 0;
    return value;
}
