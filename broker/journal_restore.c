/* Reading the journal back into the core at the broker's start. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/journal_private.h"
#include "common/err.h"

static str_t column_text(sqlite3_stmt *s, int at) {
    const char *text = (const char *)sqlite3_column_text(s, at);
    return (str_t){text ? text : "", (uint32_t)sqlite3_column_bytes(s, at)};
}

static int64_t column_number(sqlite3_stmt *s, int at) {
    return sqlite3_column_int64(s, at);
}

typedef struct {
    core_t *core;
    moment_t now;
    bool same_boot;
    uint32_t tasks;
    int64_t used;
} restore_t;

static bool is_within(sqlite3_stmt *s, int at, int64_t low, int64_t high) {
    int64_t value = column_number(s, at);
    return value >= low && value <= high;
}

/* Times that sums can be made of. */
static bool is_time(sqlite3_stmt *s, int at) {
    return is_within(s, at, INT64_MIN / 2, INT64_MAX / 2);
}

static int restore_task(restore_t *r, sqlite3_stmt *s) {
    int64_t state = column_number(s, 4);
    if (state != TASK_READY && state != TASK_RUNNING && state != TASK_DONE && state != TASK_BURIED)
        return ERR_CORRUPT;
    if (!is_within(s, 5, CALL_GET_TASK, CALL_STORE) || !is_time(s, 7) || !is_time(s, 8) || !is_time(s, 9) ||
        !is_time(s, 10))
        return ERR_CORRUPT;
    task_image_t image = {.number = (uint64_t)column_number(s, 0),
                          .task_id = column_text(s, 1),
                          .method = column_text(s, 2),
                          .host = column_text(s, 3),
                          .state = (uint8_t)state,
                          .call = (uint8_t)column_number(s, 5),
                          .flags = (uint16_t)column_number(s, 6),
                          .deadline_ms = column_number(s, 7),
                          .expiry_wall_ms = column_number(s, 8),
                          .accepted_wall_ms = column_number(s, 9),
                          .next_try_ms = column_number(s, 10),
                          .attempt = (uint32_t)column_number(s, 11),
                          .tries = (uint32_t)column_number(s, 12),
                          .holder = (uint64_t)column_number(s, 13),
                          .generation = (uint64_t)column_number(s, 14),
                          .reason = column_text(s, 15),
                          .doc_bytes = (uint64_t)column_number(s, 16),
                          .buried_wall_ms = column_number(s, 17),
                          .trail = {sqlite3_column_blob(s, 18), (uint32_t)sqlite3_column_bytes(s, 18)}};
    if (!r->same_boot) { /* boot time began anew: only wall time is left to go by */
        image.deadline_ms = r->now.ms + (image.expiry_wall_ms - r->now.wall_ms);
        image.next_try_ms = 0;
    }
    r->tasks++;
    return core_restore_task(r->core, &image);
}

static int restore_worker(restore_t *r, sqlite3_stmt *s) {
    if (!is_within(s, 2, ROLE_EXECUTOR, ROLE_UPLOADER)) return ERR_CORRUPT;
    return core_restore_worker(r->core, (uint64_t)column_number(s, 0), (uint64_t)column_number(s, 1),
                               (role_t)column_number(s, 2));
}

static int restore_fetcher(restore_t *r, sqlite3_stmt *s) {
    if (column_number(s, 3) > r->used) r->used = column_number(s, 3);
    return core_restore_fetcher(r->core, (uint64_t)column_number(s, 0), (uint64_t)column_number(s, 1),
                                (uint64_t)column_number(s, 2));
}

static int restore_credit(restore_t *r, sqlite3_stmt *s) {
    if (!is_within(s, 2, CREDIT_FETCH, CREDIT_UPLOAD) || !is_within(s, 3, 1, UINT16_MAX) ||
        !is_within(s, 4, 0, column_number(s, 3)))
        return ERR_CORRUPT;
    const credit_t credit = {.credit = (uint64_t)column_number(s, 0),
                             .holder = (uint64_t)column_number(s, 1),
                             .stage = (uint8_t)column_number(s, 2),
                             .budget = (uint16_t)column_number(s, 3),
                             .used = (uint16_t)column_number(s, 4)};
    core_restore_credit(r->core, &credit, r->now.ms);
    return 0;
}

static int restore_rate(restore_t *r, sqlite3_stmt *s) {
    int64_t second = r->same_boot ? column_number(s, 0) : r->now.ms / 1000;
    core_restore_rate(r->core, second, (uint32_t)column_number(s, 1));
    return 0;
}

static int restore_drain(restore_t *r, sqlite3_stmt *s) {
    core_restore_drain(r->core, column_number(s, 0));
    return 0;
}

static int restore_pause(restore_t *r, sqlite3_stmt *s) {
    if (r->same_boot) core_restore_pause(r->core, column_number(s, 0), r->now.ms);
    return 0;
}

static int restore_config(restore_t *r, sqlite3_stmt *s) {
    uint64_t generation;
    int debug, upload_to_ac, verify;
    unsigned pool_size, rate;
    const char *text = column_text(s, 0).ptr;
    // NOLINTNEXTLINE(cert-err34-c): what is out of range is refused below
    if (sscanf(text, "%" SCNu64 " %d %d %d %u %u", &generation, &debug, &upload_to_ac, &verify, &pool_size,
               &rate) != 6 ||
        generation == 0 || debug < -1 || debug > 1 || upload_to_ac < -1 || upload_to_ac > 1 ||
        pool_size > GLOBAL_CONFIG_POOL_MAX || rate > GLOBAL_CONFIG_RATE_MAX)
        return ERR_CORRUPT;
    const global_config_t given = {.debug = (int8_t)debug,
                                   .upload_to_ac = (int8_t)upload_to_ac,
                                   .verify = verify != 0,
                                   .pool_size = (uint16_t)pool_size,
                                   .rate_per_min = rate};
    core_restore_config(r->core, generation, &given);
    return 0;
}

static int each_row(journal_t *self, restore_t *r, const char *sql, int (*row)(restore_t *, sqlite3_stmt *),
                    char *why) {
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(self->db, sql, -1, &s, NULL) != SQLITE_OK) return journal_failed(self, why);
    int rc, err = 0;
    while (!err && (rc = sqlite3_step(s)) == SQLITE_ROW)
        err = row(r, s);
    if (!err && rc != SQLITE_DONE)
        err = journal_failed(self, why);
    else if (err)
        (void)journal_fail(why, err, "journal %s: a row cannot be read (%s)", self->path, err_str(err));
    (void)sqlite3_finalize(s);
    return err;
}

static bool boot_is(journal_t *self, const char *boot_id) {
    sqlite3_stmt *s = NULL;
    bool same = sqlite3_prepare_v2(self->db, "SELECT value FROM meta WHERE key='boot_id'", -1, &s, NULL) ==
                    SQLITE_OK &&
                sqlite3_step(s) == SQLITE_ROW && strcmp(column_text(s, 0).ptr, boot_id) == 0;
    (void)sqlite3_finalize(s);
    return same;
}

/* Rewrites what is told in boot time, now that it is of another boot. */
static int adopt_boot(journal_t *self, const char *boot_id, moment_t now, char *why) {
    char sql[512];
    (void)snprintf(sql, sizeof sql,
                   "BEGIN IMMEDIATE; UPDATE task SET deadline_ms = expiry_wall - %lld, next_try_ms = 0;"
                   " UPDATE rate SET second = %lld; DELETE FROM meta WHERE key = 'pause'; COMMIT",
                   (long long)(now.wall_ms - now.ms), (long long)(now.ms / 1000));
    if (journal_exec(self, sql) != 0) {
        int err = journal_failed(self, why);
        journal_roll_back(self);
        return err;
    }
    sqlite3_stmt *s = self->statements[ST_META];
    journal_put_text(s, 1, str_of("boot_id"));
    journal_put_text(s, 2, str_of(boot_id));
    return journal_run(s) == 0 ? 0 : journal_failed(self, why);
}

int journal_restore(journal_t *self, core_t *core, const char *boot_id, moment_t now, uint32_t *tasks,
                    char why[JOURNAL_WHY_MAX]) {
    restore_t r = {core, now, boot_is(self, boot_id), 0, 0};
    int err = each_row(self, &r,
                       "SELECT number, task_id, method, host, state, call, flags, deadline_ms, expiry_wall,"
                       " accepted_wall, next_try_ms, attempt, tries, holder, generation, reason, length(doc),"
                       " buried_wall, trail"
                       " FROM task ORDER BY number",
                       restore_task, why);
    if (!err) err = each_row(self, &r, "SELECT instance, place, role FROM worker", restore_worker, why);
    if (!err)
        err = each_row(self, &r,
                       "SELECT instance, seq, mask, used FROM (SELECT instance, seq, mask, used FROM fetcher "
                       "ORDER BY used"
                       " DESC LIMIT 64) ORDER BY used",
                       restore_fetcher, why);
    if (!err)
        err = each_row(self, &r, "SELECT id, holder, stage, budget, used FROM credit ORDER BY id",
                       restore_credit, why);
    if (!err) err = each_row(self, &r, "SELECT second, units FROM rate", restore_rate, why);
    if (!err) err = each_row(self, &r, "SELECT value FROM meta WHERE key='drained'", restore_drain, why);
    if (!err) err = each_row(self, &r, "SELECT value FROM meta WHERE key='pause'", restore_pause, why);
    if (!err) err = each_row(self, &r, "SELECT value FROM meta WHERE key='config'", restore_config, why);
    if (!err && !r.same_boot) err = adopt_boot(self, boot_id, now, why);
    self->used = r.used;
    *tasks = r.tasks;
    return err;
}
