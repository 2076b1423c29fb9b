/* Directories of the programs and the lock files in them. A lock is held by an open file and ends with the
 * process, however that ends; the file stays and contains the holder's pid. */
#ifndef SLUICE_COMMON_DIRS_H
#define SLUICE_COMMON_DIRS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes a directory and its missing parents with mode 0700, or checks the one that is there: it must be a
 * directory of this user or root in which this user can create files. `option` names the option that gives
 * another one, for the reason: ERR_IO with `why` as one line. A new one's name is durable. */
int dirs_make(const char *path, const char *option, char why[512]);

/* Whether the directory that `path` is in lets its group in, and nobody else (0750): what is in it may then
 * be for that group. */
bool dirs_shared(const char *path);
/* Makes the names in a directory durable: files that were synced in a new directory are lost with its name.
 * ERR_IO with errno. */
int dirs_sync(const char *path);

/* A lock that is held. fd -1: none. */
typedef struct {
    int fd;
    uint64_t place; /* names the lock file among all of all machines that are up: a hash of boot id, device
                       and inode, never 0 */
} lock_t;

/* Takes the lock file, making it if need be. ERR_BUSY when another process holds it, with its pid in *holder
 * (0 if it cannot be told); ERR_IO. `why` says what was wrong. `holder` may be NULL. */
int lock_take(const char *path, lock_t *lock, pid_t *holder, char why[512]);
/* Takes the first free one of DIR/PREFIX-1.lock to DIR/PREFIX-MAX.lock and gives its number. ERR_BUSY when
 * all are held; else as lock_take(). */
int lock_take_numbered(const char *dir, const char *prefix, unsigned max, lock_t *lock, unsigned *number,
                       char why[512]);
/* Whether a lock file is held now, without taking it: 0 (free, or no such file), ERR_BUSY with *holder,
 * ERR_IO with errno. */
int lock_probe(const char *path, pid_t *holder);
/* Gives the lock up; nothing to do when none is held. */
void lock_release(lock_t *lock);

#endif
