/* The history: a row for each task that is gone, written in the transaction that takes the task out. */
#include "broker/journal_private.h"
#include "common/err.h"

#define TRIM_EVERY 256
#define DAY_MS     ((int64_t)24 * 60 * 60 * 1000)

static int trim(journal_t *self, int64_t now_wall_ms) {
    sqlite3_stmt *s = self->statements[ST_HISTORY_TRIM];
    journal_put_number(s, 1, HISTORY_TASKS);
    journal_put_number(s, 2, (uint64_t)(now_wall_ms - HISTORY_DAYS * DAY_MS));
    return journal_run(s);
}

int journal_history_write(journal_t *self, const record_t *record) {
    sqlite3_stmt *s = self->statements[ST_HISTORY];
    const task_image_t *task = &record->task;
    journal_put_number(s, 1, (uint64_t)record->at);
    journal_put_number(s, 2, task->number);
    journal_put_number(s, 3, (uint64_t)task->accepted_wall_ms);
    journal_put_number(s, 4, task->state);
    journal_put_text(s, 5, task->task_id);
    journal_put_text(s, 6, task->method);
    journal_put_text(s, 7, task->host);
    (void)sqlite3_bind_blob64(s, 8, task->trail.ptr, task->trail.len, SQLITE_STATIC);
    if (journal_run(s) != 0) return ERR_IO;
    return self->histories++ % TRIM_EVERY == 0 ? trim(self, record->at) : 0;
}

static history_t row_of(sqlite3_stmt *s) {
    return (history_t){.number = (uint64_t)sqlite3_column_int64(s, 0),
                       .ended_wall_ms = sqlite3_column_int64(s, 1),
                       .accepted_wall_ms = sqlite3_column_int64(s, 2),
                       .state = (task_state_t)sqlite3_column_int64(s, 3),
                       .task_id = (const char *)sqlite3_column_text(s, 4),
                       .method = (const char *)sqlite3_column_text(s, 5),
                       .host = (const char *)sqlite3_column_text(s, 6),
                       .trail = sqlite3_column_blob(s, 7),
                       .trail_bytes = (size_t)sqlite3_column_bytes(s, 7)};
}

int journal_history_find(journal_t *self, const char *task_id, uint64_t number, uint32_t max,
                         int64_t now_wall_ms, void (*each)(void *ctx, const history_t *row), void *ctx) {
    sqlite3_stmt *s = self->statements[ST_HISTORY_FIND];
    int rc;
    if (task_id) journal_put_text(s, 1, str_of(task_id));
    journal_put_number(s, 2, number);
    journal_put_number(s, 3, (uint64_t)(now_wall_ms - HISTORY_DAYS * DAY_MS));
    journal_put_number(s, 4, max);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        history_t row = row_of(s);
        if (row.task_id && row.method && row.host) each(ctx, &row);
    }
    (void)sqlite3_reset(s);
    (void)sqlite3_clear_bindings(s);
    return rc == SQLITE_DONE ? 0 : ERR_IO;
}

int journal_history_cover(journal_t *self, int64_t now_wall_ms, uint32_t *tasks, int64_t *since_wall_ms) {
    sqlite3_stmt *s = self->statements[ST_HISTORY_COVER];
    journal_put_number(s, 1, (uint64_t)(now_wall_ms - HISTORY_DAYS * DAY_MS));
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        *tasks = (uint32_t)sqlite3_column_int64(s, 0);
        *since_wall_ms = sqlite3_column_int64(s, 1);
    }
    (void)sqlite3_reset(s);
    return rc == SQLITE_ROW ? 0 : ERR_IO;
}
