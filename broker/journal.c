#include "broker/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/error_result.h"
#include "broker/journal_private.h"
#include "common/crash_point.h"
#include "common/err.h"

int journal_fail(char *why, int err, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, JOURNAL_WHY_MAX, fmt, args);
    va_end(args);
    return err;
}

int journal_damaged(const journal_t *self, const char *how, char *why) {
    return journal_fail(
        why, ERR_CORRUPT,
        "journal %s is damaged (%s); nothing was changed. Move it aside, together with its -wal file"
        " and the folder spool (with an empty journal its bodies are nobody's, and are deleted), to start "
        "with an empty one, or restore it from a backup (what has happened since is not in it: requests may"
        " be made again)",
        self->path, how);
}

/* A failure of SQLite in words, and as a code. */
int journal_failed(journal_t *self, char *why) {
    int code = sqlite3_errcode(self->db);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        return journal_damaged(self, sqlite3_errmsg(self->db), why);
    return journal_fail(why, ERR_IO, "journal %s: %s (%s)", self->path, sqlite3_errmsg(self->db),
                        sqlite3_system_errno(self->db) ? strerror(sqlite3_system_errno(self->db))
                                                       : sqlite3_errstr(code));
}

int journal_exec(journal_t *self, const char *sql) {
    return sqlite3_exec(self->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : ERR_IO;
}

void journal_put_number(sqlite3_stmt *statement, int at, uint64_t value) {
    (void)sqlite3_bind_int64(statement, at, (sqlite3_int64)value);
}

void journal_put_text(sqlite3_stmt *statement, int at, str_t text) {
    (void)sqlite3_bind_text(statement, at, text.ptr ? text.ptr : "", (int)text.len, SQLITE_STATIC);
}

static void put_doc(sqlite3_stmt *statement, int at, const void *bytes, size_t size) {
    (void)sqlite3_bind_blob64(statement, at, bytes, size, SQLITE_STATIC);
}

int journal_run(sqlite3_stmt *statement) {
    int rc = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : ERR_IO;
}

static void put_trail(sqlite3_stmt *statement, int at, const task_image_t *task) {
    put_doc(statement, at, task->trail.ptr, task->trail.len);
}

static int write_task_new(journal_t *self, const record_t *r) {
    sqlite3_stmt *s = self->statements[ST_TASK_NEW];
    const task_image_t *t = &r->task;
    journal_put_number(s, 1, t->number);
    journal_put_text(s, 2, t->task_id);
    journal_put_text(s, 3, t->method);
    journal_put_text(s, 4, t->host);
    journal_put_number(s, 5, t->state);
    journal_put_number(s, 6, t->call);
    journal_put_number(s, 7, t->flags);
    journal_put_number(s, 8, (uint64_t)t->deadline_ms);
    journal_put_number(s, 9, (uint64_t)t->expiry_wall_ms);
    journal_put_number(s, 10, (uint64_t)t->accepted_wall_ms);
    journal_put_number(s, 11, (uint64_t)t->next_try_ms);
    journal_put_number(s, 12, t->attempt);
    journal_put_number(s, 13, t->tries);
    journal_put_number(s, 14, t->holder);
    journal_put_number(s, 15, t->generation);
    journal_put_text(s, 16, t->reason);
    put_trail(s, 17, t);
    put_doc(s, 18, doc_data(r->doc), doc_size(r->doc));
    return journal_run(s);
}

static int write_task_state(journal_t *self, const record_t *r, task_state_t state) {
    sqlite3_stmt *s = self->statements[ST_TASK_STATE];
    journal_put_number(s, 1, r->task.number);
    journal_put_number(s, 2, state);
    journal_put_number(s, 3, r->task.attempt);
    journal_put_number(s, 4, state == TASK_RUNNING ? r->task.holder : 0);
    put_trail(s, 5, &r->task);
    return journal_run(s);
}

static int write_done(journal_t *self, const task_image_t *task, const void *bytes, size_t size) {
    sqlite3_stmt *s = self->statements[ST_TASK_DONE];
    journal_put_number(s, 1, task->number);
    journal_put_number(s, 2, TASK_DONE);
    put_doc(s, 3, bytes, size);
    journal_put_number(s, 4, task->call);
    put_trail(s, 5, task);
    return journal_run(s);
}

/* The error result is made from the task as the journal has it, within the same transaction. */
static int write_task_fail(journal_t *self, const record_t *r) {
    sqlite3_stmt *s = self->statements[ST_TASK_DOC];
    journal_put_number(s, 1, r->task.number);
    text_t result = {0};
    int err = ERR_IO;
    if (sqlite3_step(s) == SQLITE_ROW)
        err = error_result_write(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0),
                                 (const char *)sqlite3_column_text(s, 1), r->task.reason, &result);
    (void)sqlite3_reset(s);
    if (!err) err = write_done(self, &r->task, result.ptr, result.len);
    text_clear(&result);
    return err;
}

static int write_task_try(journal_t *self, const record_t *r) {
    sqlite3_stmt *s = self->statements[ST_TASK_TRY];
    journal_put_number(s, 1, r->task.number);
    journal_put_number(s, 2, r->task.tries);
    journal_put_number(s, 3, (uint64_t)r->task.next_try_ms);
    journal_put_text(s, 4, r->task.reason);
    put_trail(s, 5, &r->task);
    return journal_run(s);
}

static int write_task_buried(journal_t *self, const record_t *r) {
    sqlite3_stmt *s = self->statements[ST_TASK_BURIED];
    journal_put_number(s, 1, r->task.number);
    journal_put_number(s, 2, TASK_BURIED);
    journal_put_number(s, 3, r->task.tries);
    journal_put_text(s, 4, r->task.reason);
    put_trail(s, 5, &r->task);
    journal_put_number(s, 6, (uint64_t)r->task.buried_wall_ms);
    return journal_run(s);
}

static int write_task_revived(journal_t *self, const record_t *r) {
    sqlite3_stmt *s = self->statements[ST_TASK_REVIVED];
    journal_put_number(s, 1, r->task.number);
    journal_put_number(s, 2, TASK_DONE);
    put_trail(s, 3, &r->task);
    return journal_run(s);
}

static int write_numbers(journal_t *self, statement_t statement, uint64_t a, uint64_t b, uint64_t c,
                         uint64_t d) {
    sqlite3_stmt *s = self->statements[statement];
    const uint64_t values[] = {a, b, c, d};
    for (int i = 0; i < sqlite3_bind_parameter_count(s) && i < 4; i++)
        journal_put_number(s, i + 1, values[i]);
    return journal_run(s);
}

static int write_credit(journal_t *self, const record_t *r) {
    journal_put_number(self->statements[ST_CREDIT], 5, r->used);
    return write_numbers(self, ST_CREDIT, r->number, r->instance, r->role, r->units);
}

static int write_fetcher(journal_t *self, const record_t *r) {
    if (++self->used % 1024 == 0 && write_numbers(self, ST_FETCHER_TRIM, 0, 0, 0, 0) != 0) return ERR_IO;
    return write_numbers(self, ST_FETCHER, r->instance, r->seq, r->mask, (uint64_t)self->used);
}

static int write_meta(journal_t *self, const char *key, int64_t value) {
    sqlite3_stmt *s = self->statements[ST_META];
    journal_put_text(s, 1, str_of(key));
    (void)sqlite3_bind_int64(s, 2, value);
    return journal_run(s);
}

/* In one row, so that it is all of one generation. */
static int write_config(journal_t *self, const record_t *r) {
    sqlite3_stmt *s = self->statements[ST_META];
    const global_config_t *c = &r->config;
    char text[128];
    (void)snprintf(text, sizeof text, "%" PRIu64 " %d %d %d %u %u", r->seq, c->debug, c->upload_to_ac,
                   c->verify, c->pool_size, c->rate_per_min);
    journal_put_text(s, 1, str_of("config"));
    journal_put_text(s, 2, str_of(text));
    return journal_run(s);
}

static int write_record(journal_t *self, const record_t *r) {
    switch (r->type) {
    case REC_TASK_NEW:
        return write_task_new(self, r);
    case REC_TASK_RUNNING:
        return write_task_state(self, r, TASK_RUNNING);
    case REC_TASK_READY:
        return write_task_state(self, r, TASK_READY);
    case REC_TASK_DONE:
        return write_done(self, &r->task, doc_data(r->doc), doc_size(r->doc));
    case REC_TASK_FAIL:
        return write_task_fail(self, r);
    case REC_TASK_TRY:
        return write_task_try(self, r);
    case REC_TASK_BURIED:
        return write_task_buried(self, r);
    case REC_TASK_REVIVED:
        return write_task_revived(self, r);
    case REC_TASK_GONE:
        if (journal_history_write(self, r) != 0) return ERR_IO;
        return write_numbers(self, ST_TASK_GONE, r->task.number, 0, 0, 0);
    case REC_WORKER:
        return write_numbers(self, ST_WORKER, r->instance, r->place, r->role, 0);
    case REC_WORKER_GONE:
        return write_numbers(self, ST_WORKER_GONE, r->instance, 0, 0, 0);
    case REC_FETCHER:
        return write_fetcher(self, r);
    case REC_CREDIT:
        return write_credit(self, r);
    case REC_CREDIT_GONE:
        return write_numbers(self, ST_CREDIT_GONE, r->number, 0, 0, 0);
    case REC_CONFIG:
        return write_config(self, r);
    case REC_RATE:
        return write_numbers(self, ST_RATE, (uint64_t)(r->at % RATE_BUCKETS), (uint64_t)r->at, r->units, 0);
    case REC_PAUSE:
        return write_meta(self, "pause", r->at);
    default:
        return write_meta(self, "drained", r->at);
    }
}

void journal_roll_back(journal_t *self) {
    if (!sqlite3_get_autocommit(self->db)) (void)journal_run(self->statements[ST_ROLLBACK]);
}

int journal_commit(journal_t *self, const record_t *records, size_t count, char why[JOURNAL_WHY_MAX]) {
    if (journal_run(self->statements[ST_BEGIN]) != 0) return journal_failed(self, why);
    for (size_t i = 0; i < count; i++) {
        int err = write_record(self, &records[i]);
        CRASH_POINT_RECORD("written", records[i].type);
        if (err == 0) continue;
        err = err == ERR_IO ? journal_failed(self, why)
                            : journal_fail(why, err, "cannot write a result: %s", err_str(err));
        journal_roll_back(self);
        return err;
    }
    CRASH_POINT("commit.written");
    if (journal_run(self->statements[ST_COMMIT]) != 0) {
        int err = journal_failed(self, why);
        journal_roll_back(self);
        return err;
    }
    self->commits++;
    self->records += count;
    return 0;
}

void journal_make_room(journal_t *self) {
    (void)sqlite3_wal_checkpoint_v2(self->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

/* --- reading --- */

int journal_doc(journal_t *self, uint64_t number, doc_t **doc) {
    sqlite3_stmt *s = self->statements[ST_TASK_DOC];
    journal_put_number(s, 1, number);
    int rc = sqlite3_step(s), err = rc == SQLITE_DONE ? ERR_NOT_FOUND : ERR_IO;
    if (rc == SQLITE_ROW) {
        *doc = doc_copy_of(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0));
        err = *doc ? 0 : ERR_NOMEM;
    }
    (void)sqlite3_reset(s);
    return err;
}

int journal_new_epoch(journal_t *self, uint64_t *epoch, char why[JOURNAL_WHY_MAX]) {
    int64_t last = 0;
    int err = journal_get_number(self, "SELECT value FROM meta WHERE key='epoch'", &last);
    if (err != 0 && err != ERR_NOT_FOUND) return journal_failed(self, why);
    if (last < 0 || last >= INT32_MAX) return journal_damaged(self, "its count of starts is impossible", why);
    if (write_meta(self, "epoch", last + 1) != 0) return journal_failed(self, why);
    *epoch = (uint64_t)last + 1;
    return 0;
}

const char *journal_path(const journal_t *self) {
    return self->path;
}

int64_t journal_bytes(const journal_t *self) {
    char wal[4096];
    struct stat info;
    int64_t bytes = stat(self->path, &info) == 0 ? info.st_size : 0;
    (void)snprintf(wal, sizeof wal, "%s-wal", self->path);
    return bytes + (stat(wal, &info) == 0 ? info.st_size : 0);
}

void journal_counts(const journal_t *self, uint64_t *commits, uint64_t *records) {
    *commits = self->commits;
    *records = self->records;
}
