/* The journal's tables and statements. Internal to the journal. */
#ifndef SLUICE_BROKER_JOURNAL_SCHEMA_H
#define SLUICE_BROKER_JOURNAL_SCHEMA_H

#define JOURNAL_VERSION 3

/* Numbers of 64 bits without sign are stored as the signed number of the same bits. Times are ms: *_ms in
 * boot time of the boot named in meta, *_wall in Unix time. `doc` stands last: the other columns are read
 * without it. */
#define HISTORY_SCHEMA                                                                                       \
    "CREATE TABLE history (seq INTEGER PRIMARY KEY, ended_wall INTEGER NOT NULL, number INTEGER NOT NULL,"   \
    " accepted_wall INTEGER NOT NULL, state INTEGER NOT NULL, task_id TEXT NOT NULL, method TEXT NOT NULL,"  \
    " host TEXT NOT NULL, trail BLOB);"

#ifdef JOURNAL_SQL
static const char journal_schema[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE task (number INTEGER PRIMARY KEY, task_id TEXT NOT NULL, method TEXT NOT NULL, host TEXT "
    "NOT NULL,"
    " state INTEGER NOT NULL, call INTEGER NOT NULL, flags INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,"
    " expiry_wall INTEGER NOT NULL, accepted_wall INTEGER NOT NULL, next_try_ms INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, tries INTEGER NOT NULL, holder INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " reason TEXT NOT NULL, buried_wall INTEGER NOT NULL, trail BLOB, doc BLOB);"
    "CREATE TABLE worker (instance INTEGER PRIMARY KEY, place INTEGER NOT NULL, role INTEGER NOT NULL);"
    "CREATE TABLE fetcher (instance INTEGER PRIMARY KEY, seq INTEGER NOT NULL, mask INTEGER NOT NULL,"
    " used INTEGER NOT NULL);"
    "CREATE TABLE credit (id INTEGER PRIMARY KEY, holder INTEGER NOT NULL, stage INTEGER NOT NULL,"
    " budget INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE rate (slot INTEGER PRIMARY KEY, second INTEGER NOT NULL, units INTEGER NOT "
    "NULL);" HISTORY_SCHEMA;

/* From the version of the index to the next. */
static const char *const journal_migrations[JOURNAL_VERSION] = {
    [1] = "ALTER TABLE task ADD COLUMN buried_wall INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE task ADD COLUMN trail BLOB;"
          "UPDATE task SET buried_wall = 1000 * strftime('%s', 'now') WHERE state = 6;" /* TASK_BURIED */
          "UPDATE meta SET value = 1000 * strftime('%s', 'now') WHERE key = 'drained' AND value = "
          "1;" HISTORY_SCHEMA,
    [2] = "ALTER TABLE credit ADD COLUMN used INTEGER NOT NULL DEFAULT 0;",
};
#endif

typedef enum {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_TASK_NEW,
    ST_TASK_STATE,
    ST_TASK_DONE,
    ST_TASK_TRY,
    ST_TASK_BURIED,
    ST_TASK_REVIVED,
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
    ST_HISTORY,
    ST_HISTORY_TRIM,
    ST_HISTORY_FIND,
    ST_HISTORY_COVER,
    ST_COUNT
} statement_t;

#ifdef JOURNAL_SQL
static const char *const journal_statements[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_TASK_NEW] =
        "INSERT INTO task (number, task_id, method, host, state, call, flags, deadline_ms, expiry_wall,"
        " accepted_wall, next_try_ms, attempt, tries, holder, generation, reason, buried_wall, trail, doc)"
        " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,0,?17,?18)",
    [ST_TASK_STATE] = "UPDATE task SET state=?2, attempt=?3, holder=?4, trail=?5 WHERE number=?1",
    [ST_TASK_DONE] = "UPDATE task SET state=?2, attempt=0, holder=0, next_try_ms=0, doc=?3, call=?4, "
                     "trail=?5 WHERE number=?1",
    [ST_TASK_TRY] = "UPDATE task SET tries=?2, next_try_ms=?3, reason=?4, trail=?5 WHERE number=?1",
    [ST_TASK_BURIED] =
        "UPDATE task SET state=?2, tries=?3, reason=?4, trail=?5, buried_wall=?6 WHERE number=?1",
    [ST_TASK_REVIVED] =
        "UPDATE task SET state=?2, attempt=0, holder=0, tries=0, next_try_ms=0, buried_wall=0,"
        " trail=?3 WHERE number=?1",
    [ST_TASK_GONE] = "DELETE FROM task WHERE number=?1",
    [ST_TASK_DOC] = "SELECT doc, task_id FROM task WHERE number=?1",
    [ST_WORKER] = "INSERT OR REPLACE INTO worker (instance, place, role) VALUES (?1,?2,?3)",
    [ST_WORKER_GONE] = "DELETE FROM worker WHERE instance=?1",
    [ST_FETCHER] = "INSERT OR REPLACE INTO fetcher (instance, seq, mask, used)"
                   " VALUES (?1,?2,?3,?4)",
    [ST_FETCHER_TRIM] = "DELETE FROM fetcher WHERE instance NOT IN"
                        " (SELECT instance FROM fetcher ORDER BY used DESC LIMIT 64)",
    [ST_CREDIT] = "INSERT OR REPLACE INTO credit (id, holder, stage, budget, used) VALUES (?1,?2,?3,?4,?5)",
    [ST_CREDIT_GONE] = "DELETE FROM credit WHERE id=?1",
    [ST_RATE] = "INSERT OR REPLACE INTO rate (slot, second, units) VALUES (?1,?2,?3)",
    [ST_META] = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1,?2)",
    /* Rows come in the order of their ends, so that all writing is at one end of the table and all trimming
     * at the other; a search reads all of it. */
    [ST_HISTORY] =
        "INSERT INTO history (ended_wall, number, accepted_wall, state, task_id, method, host, trail)"
        " VALUES (?1,?2,?3,?4,?5,?6,?7,?8)",
    [ST_HISTORY_TRIM] =
        "DELETE FROM history WHERE seq < max((SELECT max(seq) FROM history) - ?1 + 1, coalesce("
        "(SELECT seq FROM history WHERE ended_wall >= ?2 ORDER BY seq LIMIT 1), 0))",
    [ST_HISTORY_FIND] = "SELECT number, ended_wall, accepted_wall, state, task_id, method, host, trail FROM"
                        " (SELECT * FROM history WHERE (task_id=?1 OR number=?2) AND ended_wall >= ?3"
                        " ORDER BY seq DESC LIMIT ?4) ORDER BY seq",
    [ST_HISTORY_COVER] = "SELECT count(*), coalesce(min(ended_wall), 0) FROM history WHERE ended_wall >= ?1",
};
#endif

#endif
