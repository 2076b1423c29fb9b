/* Opening the journal: its tables are made, or brought up to date when an older build made them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOURNAL_SQL
#include "broker/journal_private.h"
#include "common/err.h"

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
    if (journal_exec(self, "BEGIN IMMEDIATE") || journal_exec(self, journal_schema) ||
        journal_exec(self, version) || journal_exec(self, "COMMIT"))
        return journal_failed(self, why);
    return 0;
}

/* Step by step, all of it or nothing. A disk without room leaves the journal as it was. */
static int migrate(journal_t *self, int64_t version, char *why) {
    char now[64];
    (void)snprintf(now, sizeof now, "PRAGMA user_version = %d", JOURNAL_VERSION);
    int err = journal_exec(self, "BEGIN IMMEDIATE");
    for (int64_t from = version; !err && from < JOURNAL_VERSION; from++)
        err = journal_exec(self, journal_migrations[from]);
    if (err || journal_exec(self, now) || journal_exec(self, "COMMIT")) {
        err = journal_failed(self, why);
        if (!sqlite3_get_autocommit(self->db)) (void)journal_exec(self, "ROLLBACK");
        return err;
    }
    return 0;
}

static int check_version(journal_t *self, char *why) {
    int64_t version, tables;
    if (journal_get_number(self, "PRAGMA user_version", &version) != 0 ||
        journal_get_number(self, "SELECT count(*) FROM sqlite_master", &tables) != 0)
        return journal_failed(self, why);
    if (version == 0 && tables == 0) return make_schema(self, why);
    if (version == JOURNAL_VERSION) return 0;
    if (version >= 1 && version < JOURNAL_VERSION) return migrate(self, version, why);
    if (version > JOURNAL_VERSION)
        return journal_fail(
            why, ERR_VERSION,
            "journal %s was made by a newer sluice (format %lld, this one knows %d); install that version, or"
            " name another --stateDir",
            self->path, (long long)version, JOURNAL_VERSION);
    return journal_fail(why, ERR_CORRUPT,
                        "journal %s is no journal of sluice; nothing was changed. Name another --stateDir",
                        self->path);
}

static int prepare(journal_t *self, char *why) {
    for (int i = 0; i < ST_COUNT; i++)
        if (sqlite3_prepare_v3(self->db, journal_statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &self->statements[i], NULL) != SQLITE_OK)
            return journal_failed(self, why);
    return 0;
}

int journal_open(const char *state_dir, journal_t **out, char why[JOURNAL_WHY_MAX]) {
    journal_t *self = calloc(1, sizeof *self);
    if (!self || asprintf(&self->path, "%s/journal.db", state_dir) < 0) {
        free(self);
        return journal_fail(why, ERR_NOMEM, "out of memory");
    }
    int err = 0;
    if (sqlite3_open_v2(self->path, &self->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_NOFOLLOW,
                        NULL) != SQLITE_OK) {
        err = self->db ? journal_failed(self, why) : journal_fail(why, ERR_NOMEM, "out of memory");
        goto cleanup;
    }
    (void)sqlite3_extended_result_codes(self->db, 0);
    if (journal_exec(self, "PRAGMA locking_mode=EXCLUSIVE") ||
        journal_exec(self, "PRAGMA journal_mode=WAL") || journal_exec(self, "PRAGMA synchronous=FULL") ||
        journal_exec(self, "PRAGMA journal_size_limit=67108864") ||
        journal_exec(self, "PRAGMA temp_store=MEMORY"))
        err = journal_failed(self, why);
    if (!err) err = check_version(self, why);
    if (!err) err = prepare(self, why);
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
