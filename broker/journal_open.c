/* Opening the journal: its tables are made, or brought up to date when an older build made them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define JOURNAL_SQL
#include "broker/journal_private.h"
#include "common/crash_point.h"
#include "common/err.h"

#define UNUSED_MAX ((int64_t)8 << 20) /* octets of free pages that a file may have at a start */

int journal_get_number(journal_t *self, const char *sql, int64_t *value) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(self->db, sql, -1, &statement, NULL) != SQLITE_OK) return ERR_IO;
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) *value = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    if (rc == SQLITE_ROW) return 0;
    return rc == SQLITE_DONE ? ERR_NOT_FOUND : ERR_IO;
}

static int make_schema(journal_t *self, char *why) {
    char version[64];
    (void)snprintf(version, sizeof version, "PRAGMA user_version = %d", JOURNAL_VERSION);
    CRASH_POINT("schema.before");
    if (journal_exec(self, "BEGIN IMMEDIATE") || journal_exec(self, journal_schema) ||
        journal_exec(self, version) || journal_exec(self, "COMMIT"))
        return journal_failed(self, why);
    CRASH_POINT("schema.made");
    return 0;
}

/* Step by step, all of it or nothing. A disk without room leaves the journal as it was. */
static int migrate(journal_t *self, int64_t version, char *why) {
    char now[64];
    (void)snprintf(now, sizeof now, "PRAGMA user_version = %d", JOURNAL_VERSION);
    int err = journal_exec(self, "BEGIN IMMEDIATE");
    for (int64_t from = version; !err && from < JOURNAL_VERSION; from++)
        err = journal_exec(self, journal_migrations[from]);
    if (!err) err = journal_exec(self, now);
    CRASH_POINT("migrate.written");
    if (err || journal_exec(self, "COMMIT")) {
        err = journal_failed(self, why);
        if (!sqlite3_get_autocommit(self->db)) (void)journal_exec(self, "ROLLBACK");
        return err;
    }
    CRASH_POINT("migrate.committed");
    return 0;
}

static int not_ours(const journal_t *self, char *why) {
    return journal_fail(why, ERR_CORRUPT,
                        "journal %s is no journal of sluice; nothing was changed. Name another --stateDir",
                        self->path);
}

/* The format, 0 for an empty file. */
static int check_version(journal_t *self, int64_t *version, char *why) {
    int64_t tables;
    if (journal_get_number(self, "PRAGMA user_version", version) != 0 ||
        journal_get_number(self, "SELECT count(*) FROM sqlite_master", &tables) != 0)
        return journal_failed(self, why);
    if (*version == 0 && tables == 0) return 0;
    if (*version > JOURNAL_VERSION)
        return journal_fail(
            why, ERR_VERSION,
            "journal %s was made by a newer sluice (format %lld, this one knows %d); install that version, or"
            " name another --stateDir",
            self->path, (long long)*version, JOURNAL_VERSION);
    return *version >= 1 && tables > 0 ? 0 : not_ours(self, why);
}

static int prepare(journal_t *self, char *why) {
    for (int i = 0; i < ST_COUNT; i++) {
        int code = sqlite3_prepare_v3(self->db, journal_statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &self->statements[i], NULL);
        if (code == SQLITE_ERROR) return not_ours(self, why); /* a table or a column is missing */
        if (code != SQLITE_OK) return journal_failed(self, why);
    }
    return 0;
}

/* A backlog of results leaves free pages behind that are used again, but make the file as large as it ever
 * was: at the next start it shrinks, when that is worth the copying. Without room for the copy it stays as it
 * is. */
static void shrink(journal_t *self) {
    int64_t pages = 0, unused = 0, page_bytes = 0;
    if (journal_get_number(self, "PRAGMA page_count", &pages) != 0 ||
        journal_get_number(self, "PRAGMA freelist_count", &unused) != 0 ||
        journal_get_number(self, "PRAGMA page_size", &page_bytes) != 0)
        return;
    if (unused * page_bytes < UNUSED_MAX || unused < pages / 2) return;
    if (journal_exec(self, "VACUUM") == 0)
        (void)sqlite3_wal_checkpoint_v2(self->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

static int64_t size_of(const journal_t *self, const char *suffix) {
    char path[PATH_MAX];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s%s", self->path, suffix);
    return stat(path, &info) == 0 ? info.st_size : 0;
}

/* SQLite would take a file that was emptied for a new one, and delete the log that belongs to it. */
static int check_files(journal_t *self, char *why) {
    int64_t size = size_of(self, ""), log = size_of(self, "-wal");
    if (log > 0 && size == 0) return journal_damaged(self, "it is empty or gone, but its log is there", why);
    if (log == 0 && size % 512 != 0) return journal_damaged(self, "it was cut off", why);
    return 0;
}

/* That every page is there and in its place. */
static int check_pages(journal_t *self, char *why) {
    sqlite3_stmt *statement = NULL;
    char text[200] = "";
    int code = sqlite3_prepare_v2(self->db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        (void)snprintf(text, sizeof text, "%s", (const char *)sqlite3_column_text(statement, 0));
    (void)sqlite3_finalize(statement);
    if (code != SQLITE_ROW) return journal_failed(self, why);
    text[strcspn(text, "\n")] = ' ';
    return strncmp(text, "ok", 2) == 0 ? 0 : journal_damaged(self, text, why);
}

/* A journal that is refused stays as it is: closing it must not move its log into it. */
static int check(journal_t *self, int64_t *version, char *why) {
    (void)sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int err = check_version(self, version, why);
    if (!err && *version > 0) err = check_pages(self, why);
    if (!err && *version == JOURNAL_VERSION) err = prepare(self, why);
    if (!err) (void)sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return err;
}

static int set_up(journal_t *self, int64_t version, char *why) {
    if (journal_exec(self, "PRAGMA journal_mode=WAL") || journal_exec(self, "PRAGMA synchronous=FULL") ||
        journal_exec(self, "PRAGMA journal_size_limit=67108864") ||
        journal_exec(self, "PRAGMA secure_delete=OFF") || journal_exec(self, "PRAGMA temp_store=MEMORY"))
        return journal_failed(self, why);
    if (version == JOURNAL_VERSION) return 0;
    int err = version == 0 ? make_schema(self, why) : migrate(self, version, why);
    return err ? err : prepare(self, why);
}

int journal_open(const char *state_dir, journal_t **out, char why[JOURNAL_WHY_MAX]) {
    int64_t version = 0;
    journal_t *self = calloc(1, sizeof *self);
    if (!self || asprintf(&self->path, "%s/journal.db", state_dir) < 0) {
        free(self);
        return journal_fail(why, ERR_NOMEM, "out of memory");
    }
    int err = check_files(self, why);
    if (err) goto cleanup;
    if (sqlite3_open_v2(self->path, &self->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_NOFOLLOW,
                        NULL) != SQLITE_OK) {
        err = self->db ? journal_failed(self, why) : journal_fail(why, ERR_NOMEM, "out of memory");
        goto cleanup;
    }
    (void)sqlite3_extended_result_codes(self->db, 0);
    if (journal_exec(self, "PRAGMA locking_mode=EXCLUSIVE")) err = journal_failed(self, why);
    if (!err) err = check(self, &version, why);
    if (!err) err = set_up(self, version, why);
    if (!err) shrink(self);
cleanup:
    if (err)
        journal_close(&self);
    else
        *out = self;
    return err;
}

void journal_close(journal_t **self) {
    if (!*self) return;
    for (int i = 0; i < ST_COUNT; i++)
        (void)sqlite3_finalize((*self)->statements[i]);
    (void)sqlite3_close((*self)->db);
    free((*self)->path);
    free(*self);
    *self = NULL;
}
