/* Clocks, and what else of the machine makes one run differ from another. */
#ifndef SLUICE_COMMON_CLOCK_H
#define SLUICE_COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* CLOCK_BOOTTIME in ms: never goes back, counts while the machine sleeps, shared by all processes of a boot.
 */
int64_t clock_boot_ms(void);
/* CLOCK_MONOTONIC in microseconds, for what lasts a moment. */
int64_t clock_monotonic_us(void);
/* From `start_ms`, of that clock, to now; bounded to what a message has room for. */
uint32_t clock_since_ms(int64_t start_ms);
/* Unix time in ms. */
int64_t clock_wall_ms(void);
/* The boot's id (36 characters); "" when it cannot be read. */
#define BOOT_ID_SIZE 40
void clock_boot_id(char id[BOOT_ID_SIZE]);
/* A random number other than 0, from the kernel. */
uint64_t random_u64(void);

#endif
