/* The journal: what must outlive the broker, in SQLite (WAL, synchronous FULL). One transaction a loop turn.
 * Not for two processes: the state directory's lock keeps others away. */
#ifndef SLUICE_BROKER_JOURNAL_H
#define SLUICE_BROKER_JOURNAL_H

#include <stdint.h>

#include "broker/core.h"
#include "broker/doc.h"

typedef struct journal_t journal_t;

#define JOURNAL_WHY_MAX 512

/* Opens or makes STATE/journal.db. ERR_CORRUPT: damaged; ERR_VERSION: made by a newer build; ERR_IO: cannot
 * be opened; ERR_NOMEM. `why` then names the file, what is wrong and what to do. Never deletes anything. */
int journal_open(const char *state_dir, journal_t **self, char why[JOURNAL_WHY_MAX]);
void journal_close(journal_t **self);

/* The number of this start, after counting it; needed for core_settings_t before journal_restore(). */
int journal_new_epoch(journal_t *self, uint64_t *epoch, char why[JOURNAL_WHY_MAX]);
/* Puts everything into the core. `boot_id` tells whether boot times still hold. Counts of tasks to *tasks. */
int journal_restore(journal_t *self, core_t *core, const char *boot_id, moment_t now, uint32_t *tasks,
                    char why[JOURNAL_WHY_MAX]);

/* Commits the records in one transaction; documents stay with the records. On failure nothing is committed,
 * `why` has the reason, and the same records may be committed later: ERR_IO, ERR_CORRUPT. */
int journal_commit(journal_t *self, const record_t *records, size_t count, char why[JOURNAL_WHY_MAX]);

/* After a failed commit: writes the log back into the database and cuts it, in case the disk is full of it.
 */
void journal_make_room(journal_t *self);

/* The document of a task. ERR_NOT_FOUND, ERR_IO, ERR_NOMEM. */
int journal_doc(journal_t *self, uint64_t number, doc_t **doc);

/* What became of tasks that are gone: the last HISTORY_TASKS, for HISTORY_DAYS. */
#define HISTORY_TASKS 10000
#define HISTORY_DAYS  7

typedef struct {
    uint64_t number;
    int64_t ended_wall_ms, accepted_wall_ms;
    task_state_t state; /* from which it ended: UPLOADING (delivered), or BURIED (dropped) */
    const char *task_id, *method, *host;
    const void *trail;
    size_t trail_bytes;
} history_t;

/* Calls `row` for each of the latest `max` tasks of that taskId (NULL: none) or number (0: none), the oldest
 * first; what the row points to is valid during the call. ERR_IO. */
int journal_history_find(journal_t *self, const char *task_id, uint64_t number, uint32_t max,
                         int64_t now_wall_ms, void (*row)(void *ctx, const history_t *row), void *ctx);
/* How many tasks the history has, and when the oldest of them ended (0: it has none). ERR_IO. */
int journal_history_cover(journal_t *self, int64_t now_wall_ms, uint32_t *tasks, int64_t *since_wall_ms);

const char *journal_path(const journal_t *self);
int64_t journal_bytes(const journal_t *self); /* of the database and its log */
void journal_counts(const journal_t *self, uint64_t *commits, uint64_t *records);

#endif
