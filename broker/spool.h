/* The spool: the files STATE/spool/NUMBER.body of bodies that are too large for a RESULT. A file is whole and
 * on disk when it has that name; while it is written it is NUMBER-ATTEMPT.part. */
#ifndef SLUICE_BROKER_SPOOL_H
#define SLUICE_BROKER_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct spool_t spool_t;

#define SPOOL_WHY_MAX   320
#define SPOOL_FULL      "the spool of large bodies is full"
#define SPOOL_DISK_FULL "the disk has no room for large bodies"

/* Whether a body belongs to a task that has its result. */
typedef bool (*spool_owned_fn)(void *ctx, uint64_t number, uint64_t bytes);

/* Makes the directory if need be and removes what nobody owns; `link` (may be NULL) is made a symbolic link
 * to it, by which uploaders find it, and made again when somebody removed it. ERR_IO with `why`, ERR_NOMEM.
 */
int spool_open(const char *state_dir, const char *link, uint64_t max_bytes, spool_owned_fn owned, void *ctx,
               spool_t **self, char why[SPOOL_WHY_MAX]);
void spool_close(spool_t **self);

/* Each second at most looks whether the link is there still; a body is found by it long after it has come. */
void spool_turn(spool_t *self, int64_t now_ms);

/* An empty file for a body that is to come: its descriptor, or ERR_IO with errno. */
int spool_create(spool_t *self, uint64_t number, uint32_t attempt);
/* Writes all of it, and has the kernel begin to bring it to the disk. ERR_IO with errno. */
int spool_write(int fd, const void *bytes, uint64_t size, uint64_t offset);
/* Syncs, names and syncs the name; closes `fd` in any case. ERR_IO with errno: the file is gone. */
int spool_keep(spool_t *self, int fd, uint64_t number, uint32_t attempt);
/* Gives up a file that is being written. */
void spool_discard(spool_t *self, int fd, uint64_t number, uint32_t attempt);
/* Removes a body; no effect when there is none. */
void spool_remove(spool_t *self, uint64_t number);

/* Octets of the bodies that are kept; and of those that count towards the bound. */
uint64_t spool_bytes(const spool_t *self);
uint64_t spool_counted(const spool_t *self);
uint64_t spool_max(const spool_t *self);
/* From now on; what is kept stays. */
void spool_limit(spool_t *self, uint64_t max_bytes);
/* Of what is kept so many octets are of buried results, which have a bound of their own. */
void spool_set_aside(spool_t *self, uint64_t bytes);
/* Why the bound leaves no room for `length` octets more when `reserved` are promised already, and why the
 * disk has none when `unwritten` of these are not on it yet: a constant, or NULL. */
const char *spool_refuses(const spool_t *self, uint64_t length, uint64_t reserved);
const char *spool_disk_refuses(const spool_t *self, uint64_t length, uint64_t unwritten);
/* How long such a body is worth waiting for, in ms, when nothing is in the spool whose end would make room: 0
 * for one that the disk could not take if it were empty, INT64_MAX for as long as the disk is full, whoever
 * has filled it, and some minutes while there is room, though not for this one. */
int64_t spool_patience_ms(const spool_t *self, uint64_t length);
/* The rule of the bound alone. One that is over it itself waits for any room at all: if it waited for all of
 * it, a result that stays would keep it out for as long. */
static inline bool spool_fits(uint64_t used, uint64_t length, uint64_t max_bytes) {
    return length > max_bytes ? used < max_bytes : used <= max_bytes - length;
}

#endif
