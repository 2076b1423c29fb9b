/* The fetcher's window in memory that outlives the process: tasks AC has handed out that neither the broker
 * nor the inbox has yet, in a file that is mapped (STATE/fetcher.window). What is put there survives the end
 * of this process, whatever ends it, at the price of a copy; it does not survive the machine's, for which
 * there is the inbox. */
#ifndef SLUICE_FETCHER_WINDOW_H
#define SLUICE_FETCHER_WINDOW_H

#include <stddef.h>

#define WINDOW_SLOTS      8
#define WINDOW_SLOT_BYTES 65536 /* of which a few are the window's own */

typedef struct window_t window_t;

/* Opens the file in `state_dir`, which is there, and makes it if need be, in its whole size: a disk
 * that is full shows now. ERR_IO with errno, ERR_NOMEM. */
int window_open(const char *state_dir, window_t **self);
/* What is in the file stays. Accepts NULL; nulls the pointer. */
void window_close(window_t **self);

/* Copies a fetch into a slot: the encoded FETCHED header and the task. Returns the slot, -1 when none is free
 * or it is too large for one. Accepts NULL, which has no slot. */
int window_put(window_t *self, const void *header, size_t header_bytes, const void *task, size_t task_bytes);
/* Empties the slot; no effect for -1. */
void window_drop(window_t *self, int slot);

/* Calls `fetch` for what a former process has left, in no order; what it does not take (not 0), or is not
 * whole, is emptied. Returns how many were emptied so. */
unsigned window_load(window_t *self,
                     int (*fetch)(void *ctx, int slot, const char *header, size_t header_bytes,
                                  const char *task, size_t task_bytes),
                     void *ctx);

#endif
