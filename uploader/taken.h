/* Results AC has taken and the broker may not know of yet, in a file that is mapped (STATE/uploader.taken):
 * what is noted there outlives this process, whatever ends it, at the price of a store, but not the machine.
 * A number is never used again, so what is noted stays true; the successor, or another uploader, that is
 * handed such a result tells the broker so in place of posting it. All uploaders of a state directory share
 * the file, each with a part of its own to write, and all read all. */
#ifndef SLUICE_UPLOADER_TAKEN_H
#define SLUICE_UPLOADER_TAKEN_H

#include <stdbool.h>
#include <stdint.h>

#define TAKEN_PARTS 16 /* uploaders of one machine */
#define TAKEN_SLOTS 64 /* in each part: what one holds, and what its predecessors have left */

typedef struct taken_t taken_t;

/* Opens the file in `state_dir`, which is there, and makes it if need be, in its whole size: a disk that is
 * full shows now. `part` below TAKEN_PARTS is this uploader's alone. ERR_IO with errno, ERR_NOMEM. */
int taken_open(const char *state_dir, unsigned part, taken_t **self);
/* What is noted stays. Accepts NULL; nulls the pointer. */
void taken_close(taken_t **self);

/* AC has the result. When the part is full the oldest note goes. Without effect for NULL, as the following.
 */
void taken_note(taken_t *self, uint64_t number, const char *task_id);
/* The broker knows. */
void taken_drop(taken_t *self, uint64_t number, const char *task_id);
/* Whether AC has it, by the notes of all uploaders. */
bool taken_has(const taken_t *self, uint64_t number, const char *task_id);

#endif
