/* Rows of the journal, with values of any kind in any column: the broker starts with them and works, or
 * refuses. Each row is an octet for the table and, for each column, one for the kind and what the kind has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/journal_private.h"
#include "common/err.h"
#include "fuzz.h"

#define TABLES_MAX  16
#define COLUMNS_MAX 32
#define ROWS_MAX    40

typedef struct {
    const uint8_t *at, *end;
} input_t;

typedef struct {
    char name[64];
    int columns;
} table_t;

static journal_t *journal;
static table_t tables[TABLES_MAX];
static unsigned table_count;

static void must(bool holds) {
    if (!holds) abort();
}

static uint8_t octet(input_t *in) {
    return in->at < in->end ? *in->at++ : 0;
}

static void read_tables(void) {
    sqlite3_stmt *s = NULL;
    must(sqlite3_prepare_v2(journal->db,
                            "SELECT m.name, count(*) FROM sqlite_master m, pragma_table_info(m.name)"
                            " WHERE m.type='table' GROUP BY m.name ORDER BY m.name",
                            -1, &s, NULL) == SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW && table_count < TABLES_MAX) {
        table_t *table = &tables[table_count++];
        (void)snprintf(table->name, sizeof table->name, "%s", (const char *)sqlite3_column_text(s, 0));
        table->columns = sqlite3_column_int(s, 1);
        must(table->columns <= COLUMNS_MAX);
    }
    must(sqlite3_finalize(s) == SQLITE_OK && table_count > 0);
}

static void open_once(void) {
    static char dir[] = "/tmp/fuzz-journal.XXXXXX";
    char why[JOURNAL_WHY_MAX];
    if (journal) return;
    must(mkdtemp(dir) != NULL && journal_open(dir, &journal, why) == 0);
    must(journal_exec(journal, "PRAGMA synchronous=OFF") == 0);
    read_tables();
}

static void bind_value(sqlite3_stmt *s, int column, input_t *in) {
    static const char *const keys[] = {"config", "drained", "boot_id", "starts"};
    uint8_t kind = octet(in);
    int64_t number = 0;
    size_t size = 0;
    switch (kind % 6) {
    case 0:
        (void)sqlite3_bind_int(s, column, octet(in));
        break;
    case 1:
        for (int i = 0; i < 8; i++)
            number = (int64_t)((uint64_t)number << 8 | octet(in));
        (void)sqlite3_bind_int64(s, column, number);
        break;
    case 2:
        size = octet(in);
        if (size > (size_t)(in->end - in->at)) size = (size_t)(in->end - in->at);
        (void)sqlite3_bind_text(s, column, (const char *)in->at, (int)size, SQLITE_TRANSIENT);
        in->at += size;
        break;
    case 3:
        (void)sqlite3_bind_text(s, column, keys[octet(in) % 4], -1, SQLITE_STATIC);
        break;
    case 4:
        (void)sqlite3_bind_zeroblob(s, column, octet(in));
        break;
    default:
        (void)sqlite3_bind_null(s, column);
    }
}

static void add_row(input_t *in) {
    const table_t *table = &tables[octet(in) % table_count];
    char sql[256];
    sqlite3_stmt *s = NULL;
    int len = snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO %s VALUES (?", table->name);
    for (int i = 1; i < table->columns; i++)
        len += snprintf(sql + len, sizeof sql - (size_t)len, ",?");
    (void)snprintf(sql + len, sizeof sql - (size_t)len, ")");
    must(sqlite3_prepare_v2(journal->db, sql, -1, &s, NULL) == SQLITE_OK);
    for (int i = 1; i <= table->columns; i++)
        bind_value(s, i, in);
    (void)sqlite3_step(s); /* what the schema itself refuses is not there */
    (void)sqlite3_finalize(s);
}

static void no_doc(void **doc) {
    *doc = NULL;
}

/* Starts a core with what there is, and lets it work for a minute. */
static void start(void) {
    const core_settings_t settings = {.epoch = 3,
                                      .seed = 1,
                                      .agent_id = "a",
                                      .ac_max = 2,
                                      .rate_per_min = 250,
                                      .task_queue = 100,
                                      .response_queue = 100,
                                      .response_threshold = 80};
    moment_t now = {1000000, 1700000000000};
    char why[JOURNAL_WHY_MAX] = "";
    uint32_t count = 0;
    core_t *core = core_new(&settings);
    effects_t *fx = effects_new();
    must(core && fx);
    int err = journal_restore(journal, core, "boot", now, &count, why);
    must(err == 0 || (err == ERR_CORRUPT && why[0] != '\0'));
    if (!err) must(core_start(core, now) == 0);
    for (int i = 0; !err && i < 60; i++, now.ms += 1000, now.wall_ms += 1000) {
        must(core_step(core, &(event_t){.kind = EV_TICK}, now, fx) == 0);
        effects_clear(fx, no_doc);
    }
    core_destroy(&core);
    effects_destroy(&fx, no_doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_t in = {data, data + size};
    char sql[128];
    open_once();
    must(journal_exec(journal, "BEGIN IMMEDIATE") == 0);
    for (int i = 0; in.at < in.end && i < ROWS_MAX; i++)
        add_row(&in);
    must(journal_exec(journal, "COMMIT") == 0);
    start();
    for (unsigned i = 0; i < table_count; i++) {
        (void)snprintf(sql, sizeof sql, "DELETE FROM %s", tables[i].name);
        must(journal_exec(journal, sql) == 0);
    }
    return 0;
}
