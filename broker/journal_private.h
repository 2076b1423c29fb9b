/* What journal.c and journal_restore.c share. */
#ifndef SLUICE_BROKER_JOURNAL_PRIVATE_H
#define SLUICE_BROKER_JOURNAL_PRIVATE_H

#include <sqlite3.h>

#include "broker/journal.h"
#include "broker/journal_schema.h"

struct journal_t {
    sqlite3 *db;
    sqlite3_stmt *statements[ST_COUNT];
    char *path;
    int64_t used;       /* order of fetchers' use */
    uint32_t histories; /* written since the start */
    uint64_t commits, records;
};

/* Writes the reason and returns `err`. */
int journal_fail(char *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Says that the journal is damaged, and how; returns ERR_CORRUPT. */
int journal_damaged(const journal_t *self, const char *how, char *why);
/* The latest failure of SQLite in words, and as a code: ERR_CORRUPT or ERR_IO. */
int journal_failed(journal_t *self, char *why);
/* Runs statements without parameters. 0 or ERR_IO. */
int journal_exec(journal_t *self, const char *sql);
/* The first column of the first row. ERR_NOT_FOUND, ERR_IO. */
int journal_get_number(journal_t *self, const char *sql, int64_t *value);
/* Runs a prepared statement to its end and resets it. 0 or ERR_IO. */
int journal_run(sqlite3_stmt *statement);
void journal_put_number(sqlite3_stmt *statement, int at, uint64_t value);
void journal_put_text(sqlite3_stmt *statement, int at, str_t text);
/* journal_history.c: what became of the task of a REC_TASK_GONE. */
int journal_history_write(journal_t *self, const record_t *record);
void journal_roll_back(journal_t *self);

#endif
