/* A journal in memory: the tables to which committed records are applied, and from which a new core is
 * restored under a new epoch, as from the real one. */
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "tests/sim/sim.h"

#define ROWS_MAX     1024
#define WORKERS_MAX  256
#define FETCHERS_MAX 64
#define CREDITS_MAX  8
#define RATES_MAX    64

struct journal_t {
    uint64_t epoch;
    int64_t boot_us; /* of the machine when its times were written */
    row_t rows[ROWS_MAX];
    uint32_t row_count;
    struct {
        uint64_t instance, place;
        uint8_t role;
    } workers[WORKERS_MAX];
    struct {
        uint64_t instance, seq, mask;
    } fetchers[FETCHERS_MAX];
    credit_t credits[CREDITS_MAX];
    struct {
        int64_t second;
        uint32_t units;
    } rates[RATES_MAX];
    uint64_t ended[CREDITS_MAX]; /* credits that the latest commit took out */
    uint32_t next_fetcher, ended_count;
    int64_t drained_wall_ms, pause_ms;
    uint64_t generation; /* 0: no configuration */
    global_config_t config;
};

int journal_open(world_t *world) {
    world->journal = calloc(1, sizeof *world->journal);
    return world->journal ? 0 : ERR_NOMEM;
}

void journal_destroy(world_t *world) {
    free(world->journal);
    world->journal = NULL;
}

static row_t *find(journal_t *self, uint64_t number) {
    for (uint32_t i = 0; i < self->row_count; i++)
        if (self->rows[i].used && self->rows[i].image.number == number) return &self->rows[i];
    return NULL;
}

const row_t *journal_find(const world_t *world, uint64_t number) {
    return find(world->journal, number);
}

const row_t *journal_find_ticket(const world_t *world, uint32_t ticket) {
    const journal_t *self = world->journal;
    for (uint32_t i = 0; i < self->row_count; i++)
        if (self->rows[i].used && self->rows[i].doc.ticket == ticket) return &self->rows[i];
    return NULL;
}

uint64_t journal_epoch(const world_t *world) {
    return world->journal->epoch;
}

bool journal_knows(const world_t *world, uint64_t instance) {
    for (int i = 0; i < WORKERS_MAX; i++)
        if (world->journal->workers[i].instance == instance) return true;
    return false;
}

const row_t *journal_find_id(const world_t *world, uint32_t id) {
    const journal_t *self = world->journal;
    for (uint32_t i = 0; i < self->row_count; i++)
        if (self->rows[i].used && world->tickets[self->rows[i].doc.ticket].id == id) return &self->rows[i];
    return NULL;
}

static credit_t *find_credit(journal_t *self, uint64_t credit) {
    for (int i = 0; i < CREDITS_MAX; i++)
        if (self->credits[i].credit == credit) return &self->credits[i];
    return NULL;
}

bool journal_has_credit(const world_t *world, uint64_t credit, uint16_t budget) {
    const credit_t *row = find_credit(world->journal, credit);
    for (int i = 0; i < CREDITS_MAX; i++)
        if (world->journal->ended[i] == credit) return true;
    return row && row->budget >= budget;
}

bool journal_has_fetch(const world_t *world, uint64_t instance, uint64_t seq) {
    const journal_t *self = world->journal;
    for (int i = 0; i < FETCHERS_MAX; i++) {
        if (self->fetchers[i].instance != instance || seq > self->fetchers[i].seq) continue;
        uint64_t back = self->fetchers[i].seq - seq;
        return back == 0 || back > 64 || (self->fetchers[i].mask >> (back - 1) & 1); /* older: all answered */
    }
    return false;
}

bool journal_has_pause(const world_t *world) {
    return world->journal->drained_wall_ms != 0;
}

/* --- records --- */

static void apply_new(world_t *world, const record_t *record) {
    journal_t *self = world->journal;
    if (self->row_count == ROWS_MAX) {
        world_fail(world, "the model journal is full");
        return;
    }
    row_t *row = &self->rows[self->row_count++];
    *row = (row_t){.image = record->task, .used = true, .doc = *(doc_t *)record->doc};
    row->image.task_id = str_of(str_copy(record->task.task_id, row->id, sizeof row->id));
    row->image.method = str_of(str_copy(record->task.method, row->method, sizeof row->method));
    row->image.host = row->image.reason = row->image.trail = str_of("");
}

static void apply_task(world_t *world, const record_t *record) {
    row_t *row = find(world->journal, record->task.number);
    if (!row) {
        world_fail(world, "a record %d for task %llu, which the journal does not have", (int)record->type,
                   (unsigned long long)record->task.number);
        return;
    }
    task_image_t *image = &row->image;
    switch (record->type) {
    case REC_TASK_RUNNING:
        image->state = TASK_RUNNING;
        image->attempt = record->task.attempt;
        image->holder = row->claimed_by = record->task.holder;
        break;
    case REC_TASK_READY:
        image->state = TASK_READY;
        image->attempt = record->task.attempt;
        break;
    case REC_TASK_DONE:
        image->state = TASK_DONE;
        image->call = record->task.call;
        row->doc = *(doc_t *)record->doc;
        row->body = image->call == CALL_UPLOAD_RESULT || image->call == CALL_UPLOAD_URL;
        sim_bodies_check_stored(world, row);
        break;
    case REC_TASK_FAIL:
        image->state = TASK_DONE;
        row->doc.kind = DOC_ERROR;
        break;
    case REC_TASK_TRY:
        image->tries = record->task.tries;
        image->next_try_ms = record->task.next_try_ms;
        break;
    case REC_TASK_BURIED:
        image->state = TASK_BURIED;
        image->buried_wall_ms = record->task.buried_wall_ms;
        break;
    case REC_TASK_REVIVED:
        image->state = TASK_DONE;
        image->tries = 0;
        image->next_try_ms = 0;
        break;
    default: /* REC_TASK_GONE */
        row->used = false;
    }
}

static void apply_worker(journal_t *self, const record_t *record) {
    int place = -1;
    for (int i = 0; i < WORKERS_MAX; i++) {
        if (self->workers[i].instance == record->instance) {
            place = i;
            break;
        }
        if (place < 0 && self->workers[i].instance == 0) place = i;
    }
    if (place < 0) return;
    self->workers[place].instance = record->type == REC_WORKER ? record->instance : 0;
    self->workers[place].place = record->place;
    self->workers[place].role = record->role;
}

static void apply_fetcher(journal_t *self, const record_t *record) {
    int place = -1;
    for (int i = 0; i < FETCHERS_MAX && place < 0; i++)
        if (self->fetchers[i].instance == record->instance) place = i;
    if (place < 0) place = (int)(self->next_fetcher++ % FETCHERS_MAX);
    self->fetchers[place].instance = record->instance;
    self->fetchers[place].seq = record->seq;
    self->fetchers[place].mask = record->mask;
}

void journal_begin(world_t *world) {
    memset(world->journal->ended, 0, sizeof world->journal->ended);
    for (uint32_t i = 0; i < world->journal->row_count; i++) {
        row_t *row = &world->journal->rows[i];
        row->claimed_by = row->image.state == TASK_RUNNING ? row->image.holder : 0;
    }
}

static void apply_credit(world_t *world, const record_t *record) {
    journal_t *self = world->journal;
    bool gone = record->type == REC_CREDIT_GONE;
    credit_t *row = find_credit(self, record->number);
    if (gone) self->ended[self->ended_count++ % CREDITS_MAX] = record->number;
    if (!row && !gone) row = find_credit(self, 0);
    if (!row) {
        world_fail(world, "no place for, or no such, credit %llu in the journal",
                   (unsigned long long)record->number);
        return;
    }
    *row = (credit_t){.credit = gone ? 0 : record->number,
                      .holder = record->instance,
                      .stage = record->role,
                      .budget = (uint16_t)record->units,
                      .used = (uint16_t)record->used};
}

static void apply_rate(journal_t *self, const record_t *record) {
    int i = (int)(record->at % RATES_MAX);
    self->rates[i].second = record->at;
    self->rates[i].units = record->units;
}

void journal_apply(world_t *world, record_t *record) {
    journal_t *self = world->journal;
    self->boot_us = world->boot_us;
    switch (record->type) {
    case REC_TASK_NEW:
        apply_new(world, record);
        break;
    case REC_WORKER:
    case REC_WORKER_GONE:
        apply_worker(self, record);
        break;
    case REC_FETCHER:
        apply_fetcher(self, record);
        break;
    case REC_CREDIT:
    case REC_CREDIT_GONE:
        apply_credit(world, record);
        break;
    case REC_RATE:
        apply_rate(self, record);
        break;
    case REC_CONFIG:
        self->generation = record->seq;
        self->config = record->config;
        break;
    case REC_PAUSE:
        self->pause_ms = record->at;
        break;
    case REC_DRAIN:
        self->drained_wall_ms = record->at;
        break;
    default:
        apply_task(world, record);
    }
}

/* --- recovery --- */

/* After a boot the times of the former one are moved to the new clock, and the units of the rate window date
 * from now. */
static void follow_boot(world_t *world, moment_t now) {
    journal_t *self = world->journal;
    if (self->boot_us == world->boot_us) return;
    int64_t moved_ms = (self->boot_us - world->boot_us) / 1000;
    int64_t former_s = (world->now_us - self->boot_us) / SECOND;
    self->boot_us = world->boot_us;
    self->pause_ms = 0;
    for (uint32_t i = 0; i < self->row_count; i++) {
        self->rows[i].image.deadline_ms += moved_ms;
        if (self->rows[i].image.next_try_ms) self->rows[i].image.next_try_ms += moved_ms;
    }
    uint32_t units = 0;
    for (int i = 0; i < RATES_MAX; i++) {
        if (former_s - self->rates[i].second < 63) units += self->rates[i].units;
        self->rates[i].units = 0;
    }
    self->rates[now.ms / 1000 % RATES_MAX].second = now.ms / 1000;
    self->rates[now.ms / 1000 % RATES_MAX].units = units;
}

static int restore_tables(const journal_t *self, core_t *core, moment_t now) {
    int err = 0;
    for (uint32_t i = 0; i < self->row_count && !err; i++)
        if (self->rows[i].used) err = core_restore_task(core, &self->rows[i].image);
    for (int i = 0; i < WORKERS_MAX && !err; i++)
        if (self->workers[i].instance)
            err = core_restore_worker(core, self->workers[i].instance, self->workers[i].place,
                                      (role_t)self->workers[i].role);
    for (int i = 0; i < FETCHERS_MAX && !err; i++)
        if (self->fetchers[i].instance)
            err = core_restore_fetcher(core, self->fetchers[i].instance, self->fetchers[i].seq,
                                       self->fetchers[i].mask);
    for (int i = 0; i < CREDITS_MAX; i++)
        if (self->credits[i].credit) core_restore_credit(core, &self->credits[i], now.ms);
    for (int i = 0; i < RATES_MAX; i++)
        if (self->rates[i].units) core_restore_rate(core, self->rates[i].second, self->rates[i].units);
    core_restore_drain(core, self->drained_wall_ms);
    core_restore_pause(core, self->pause_ms, now.ms);
    if (self->generation) core_restore_config(core, self->generation, &self->config);
    return err;
}

int journal_restore(world_t *world, core_t **core, moment_t now) {
    journal_t *self = world->journal;
    const plan_t *plan = &world->plan;
    follow_boot(world, now);
    self->epoch++;
    core_settings_t settings = {.epoch = self->epoch,
                                .seed = rnd(world, UINT32_MAX),
                                .agent_id = "sim",
                                .ac_max = plan->ac_max,
                                .rate_per_min = plan->rate,
                                .lookahead = plan->lookahead,
                                .task_queue = plan->task_queue,
                                .response_queue = plan->response_queue,
                                .response_threshold = plan->threshold,
                                .redeliver = plan->redeliver};
    *core = core_new(&settings);
    if (!*core) return ERR_NOMEM;
    int err = restore_tables(self, *core, now);
    return err ? err : core_start(*core, now);
}
