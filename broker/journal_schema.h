/* The journal's tables and statements. Internal to the journal. */
#ifndef SLUICE_BROKER_JOURNAL_SCHEMA_H
#define SLUICE_BROKER_JOURNAL_SCHEMA_H

#define JOURNAL_VERSION 1

/* Numbers of 64 bits without sign are stored as the signed number of the same bits. Times are ms: *_ms in
 * boot time of the boot named in meta, *_wall in Unix time. `doc` stands last: the other columns are read
 * without it. */
static const char journal_schema[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE task (number INTEGER PRIMARY KEY, task_id TEXT NOT NULL, method TEXT NOT NULL, host TEXT "
    "NOT NULL,"
    " state INTEGER NOT NULL, call INTEGER NOT NULL, flags INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,"
    " expiry_wall INTEGER NOT NULL, accepted_wall INTEGER NOT NULL, next_try_ms INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, tries INTEGER NOT NULL, holder INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " reason TEXT NOT NULL, doc BLOB);"
    "CREATE TABLE worker (instance INTEGER PRIMARY KEY, place INTEGER NOT NULL, role INTEGER NOT NULL);"
    "CREATE TABLE fetcher (instance INTEGER PRIMARY KEY, seq INTEGER NOT NULL, mask INTEGER NOT NULL,"
    " used INTEGER NOT NULL);"
    "CREATE TABLE credit (id INTEGER PRIMARY KEY, holder INTEGER NOT NULL, stage INTEGER NOT NULL,"
    " budget INTEGER NOT NULL);"
    "CREATE TABLE rate (slot INTEGER PRIMARY KEY, second INTEGER NOT NULL, units INTEGER NOT NULL);";

typedef enum {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_TASK_NEW,
    ST_TASK_STATE,
    ST_TASK_DONE,
    ST_TASK_TRY,
    ST_TASK_BURIED,
    ST_TASK_GONE,
    ST_TASK_DOC,
    ST_WORKER,
    ST_WORKER_GONE,
    ST_FETCHER,
    ST_FETCHER_TRIM,
    ST_CREDIT,
    ST_CREDIT_GONE,
    ST_RATE,
    ST_META,
    ST_COUNT
} statement_t;

static const char *const journal_statements[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_TASK_NEW] =
        "INSERT INTO task (number, task_id, method, host, state, call, flags, deadline_ms, expiry_wall,"
        " accepted_wall, next_try_ms, attempt, tries, holder, generation, reason, doc)"
        " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)",
    [ST_TASK_STATE] = "UPDATE task SET state=?2, attempt=?3, holder=?4 WHERE number=?1",
    [ST_TASK_DONE] =
        "UPDATE task SET state=?2, attempt=0, holder=0, next_try_ms=0, doc=?3, call=?4 WHERE number=?1",
    [ST_TASK_TRY] = "UPDATE task SET tries=?2, next_try_ms=?3, reason=?4 WHERE number=?1",
    [ST_TASK_BURIED] = "UPDATE task SET state=?2, tries=?3, reason=?4 WHERE number=?1",
    [ST_TASK_GONE] = "DELETE FROM task WHERE number=?1",
    [ST_TASK_DOC] = "SELECT doc, task_id FROM task WHERE number=?1",
    [ST_WORKER] = "INSERT OR REPLACE INTO worker (instance, place, role) VALUES (?1,?2,?3)",
    [ST_WORKER_GONE] = "DELETE FROM worker WHERE instance=?1",
    [ST_FETCHER] = "INSERT OR REPLACE INTO fetcher (instance, seq, mask, used)"
                   " VALUES (?1,?2,?3,?4)",
    [ST_FETCHER_TRIM] = "DELETE FROM fetcher WHERE instance NOT IN"
                        " (SELECT instance FROM fetcher ORDER BY used DESC LIMIT 64)",
    [ST_CREDIT] = "INSERT OR REPLACE INTO credit (id, holder, stage, budget) VALUES (?1,?2,?3,?4)",
    [ST_CREDIT_GONE] = "DELETE FROM credit WHERE id=?1",
    [ST_RATE] = "INSERT OR REPLACE INTO rate (slot, second, units) VALUES (?1,?2,?3)",
    [ST_META] = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1,?2)",
};

#endif
