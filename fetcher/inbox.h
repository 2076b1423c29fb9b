/* The fetcher's window on disk: tasks AC has handed out that the broker has not accepted yet, one file each
 * in STATE/inbox, named by the fetch (INSTANCEHEX-SEQ). A file is complete and synced once inbox_write()
 * returned, is removed when the broker has accepted the fetch, and is read back at the next start. A file
 * that is damaged later is set aside as NAME.bad and never deleted. */
#ifndef SLUICE_FETCHER_INBOX_H
#define SLUICE_FETCHER_INBOX_H

#include <stddef.h>
#include <stdint.h>

typedef struct inbox_t inbox_t;

/* Makes the directory `state_dir`/inbox if need be. ERR_IO with errno, ERR_NOMEM. */
int inbox_open(const char *state_dir, inbox_t **self);
/* Accepts NULL; nulls the pointer. */
void inbox_close(inbox_t **self);

/* Writes and syncs a fetch: the encoded FETCHED header and the task. ERR_IO with errno; nothing is left then.
 */
int inbox_write(inbox_t *self, uint64_t instance, uint64_t seq, const void *header, size_t header_bytes,
                const void *task, size_t task_bytes);
/* Removes it; no effect when there is none. */
void inbox_remove(inbox_t *self, uint64_t instance, uint64_t seq);

/* What inbox_load() does with each file. */
typedef struct {
    void *ctx;
    /* A file that is whole; header and task are borrowed. Not 0: the file is damaged all the same. */
    int (*fetch)(void *ctx, const char *header, size_t header_bytes, const char *task, size_t task_bytes);
    /* A file that was set aside. */
    void (*bad)(void *ctx, const char *name, const char *why);
} inbox_reader_t;

/* Reads all files, in no order. A write that was cut short before its end is removed; one that was whole
 * but for its name is taken. What was taken is complete and synced then. ERR_IO with errno when the directory
 * cannot be read, or a file or it cannot be synced: nothing of what was taken may be dropped elsewhere. */
int inbox_load(inbox_t *self, const inbox_reader_t *reader);

#endif
