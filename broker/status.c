/* The JSON of `sluice status`. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <yajl/yajl_gen.h>

#include "broker/broker.h"
#include "broker/stage.h"
#include "common/clock.h"

static void key(yajl_gen g, const char *name) {
    (void)yajl_gen_string(g, (const unsigned char *)name, strlen(name));
}

static void put_text(yajl_gen g, const char *name, const char *text) {
    key(g, name);
    if (text)
        (void)yajl_gen_string(g, (const unsigned char *)text, strlen(text));
    else
        (void)yajl_gen_null(g);
}

static void put_number(yajl_gen g, const char *name, int64_t value) {
    key(g, name);
    (void)yajl_gen_integer(g, value);
}

static void put_bool(yajl_gen g, const char *name, bool value) {
    key(g, name);
    (void)yajl_gen_bool(g, value);
}

static void open_map(yajl_gen g, const char *name) {
    key(g, name);
    (void)yajl_gen_map_open(g);
}

static const worker_t *holder_of(const core_view_t *view, uint64_t instance) {
    const worker_t *lists[] = {view->fetchers, view->executors, view->uploaders};
    for (int i = 0; i < 3; i++)
        for (const worker_t *w = lists[i]; w; w = w->next)
            if (w->instance == instance) return w;
    return NULL;
}

static void put_ac(yajl_gen g, const core_view_t *view) {
    const ac_gate_t *gate = view->gate;
    const char *state = gate->state == GATE_CLOSED ? "closed"
                        : gate->failed_call        ? "failing"
                        : gate->seen_ok            ? "ok"
                                                   : "unknown";
    open_map(g, "ac");
    put_text(g, "state", state);
    put_number(g, "last_ok_ms", gate->ok_wall_ms);
    put_text(g, "last_error", gate->error);
    put_number(g, "last_error_ms", gate->error_wall_ms);
    (void)yajl_gen_map_close(g);
}

static void put_credit(yajl_gen g, const core_view_t *view, const credit_t *credit, int64_t now_ms) {
    const worker_t *holder = holder_of(view, credit->holder);
    (void)yajl_gen_map_open(g);
    put_number(g, "id", (int64_t)credit->credit);
    put_text(g, "kind", credit->stage == CREDIT_FETCH ? "fetch" : "upload");
    put_text(g, "holder", holder ? holder->name : "a process that is gone");
    put_number(g, "budget", credit->budget);
    put_number(g, "used", credit->used);
    put_number(g, "age_ms", now_ms - credit->granted_ms);
    put_number(g, "expires_in_ms", credit->renewed_ms + CREDIT_TTL_MS + CREDIT_TTL_MS / 4 - now_ms);
    (void)yajl_gen_map_close(g);
}

static void put_gate(yajl_gen g, const core_view_t *view, moment_t now) {
    const ac_gate_t *gate = view->gate;
    open_map(g, "gate");
    put_number(g, "max", gate->max);
    put_text(g, "waiting_for", view->waits_for);
    put_bool(g, "closed", gate->state == GATE_CLOSED);
    put_number(g, "paused_until_ms", gate->pause_ms > now.ms ? now.wall_ms + gate->pause_ms - now.ms : 0);
    put_number(g, "rate_limit", gate->rate);
    put_number(g, "rate_used", (int64_t)gate->rate - gate_rate_free(gate, now.ms));
    put_number(g, "fetch_room", view->fetch_room);
    key(g, "credits");
    (void)yajl_gen_array_open(g);
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        if (gate->credits[i].credit) put_credit(g, view, &gate->credits[i], now.ms);
    (void)yajl_gen_array_close(g);
    (void)yajl_gen_map_close(g);
}

static void put_queues(yajl_gen g, const core_view_t *view) {
    const uint32_t *counts = view->tasks->counts;
    open_map(g, "fetch");
    put_bool(g, "paused", view->fetch_paused != NULL);
    put_text(g, "reason", view->fetch_paused ? view->fetch_paused : "");
    (void)yajl_gen_map_close(g);
    open_map(g, "tasks");
    put_number(g, "ready", counts[TASK_READY] + counts[TASK_PUSHED]);
    put_number(g, "running", counts[TASK_RUNNING]);
    put_number(g, "limit", view->settings->task_queue);
    put_number(g, "lookahead", view->lookahead);
    (void)yajl_gen_map_close(g);
    open_map(g, "results");
    put_number(g, "waiting", counts[TASK_DONE] + counts[TASK_DONE_PUSHED]);
    put_number(g, "uploading", counts[TASK_UPLOADING]);
    put_number(g, "retrying", view->tasks->retrying);
    put_number(g, "limit", view->settings->response_queue);
    put_number(g, "threshold", view->settings->response_threshold);
    (void)yajl_gen_map_close(g);
    put_number(g, "buried", counts[TASK_BURIED]);
}

static void put_oldest(yajl_gen g, const core_view_t *view, moment_t now) {
    const task_t *oldest = tasks_oldest(view->tasks);
    key(g, "oldest");
    if (!oldest) {
        (void)yajl_gen_null(g);
        return;
    }
    (void)yajl_gen_map_open(g);
    put_text(g, "task", oldest->task_id);
    put_text(g, "state", task_state_name(oldest->state));
    put_number(g, "age_ms", now.wall_ms - oldest->accepted_wall_ms);
    put_number(g, "tries", oldest->tries);
    put_text(g, "reason", oldest->reason);
    (void)yajl_gen_map_close(g);
}

static void put_workers(yajl_gen g, const core_view_t *view, int64_t now_ms) {
    static const char *const names[] = {"?", "fetcher", "executor", "uploader", "tool"};
    const worker_t *lists[] = {view->fetchers, view->executors, view->uploaders};
    key(g, "workers");
    (void)yajl_gen_array_open(g);
    for (int i = 0; i < 3; i++) {
        for (const worker_t *w = lists[i]; w; w = w->next) {
            char instance[20];
            (void)snprintf(instance, sizeof instance, "%016" PRIx64, w->instance);
            (void)yajl_gen_map_open(g);
            put_text(g, "name", w->name);
            put_text(g, "role", names[w->role]);
            put_text(g, "instance", instance);
            put_text(g, "version", w->version);
            put_number(g, "pid", w->pid);
            put_number(g, "slots", w->slots);
            put_number(g, "tasks", w->out);
            put_number(g, "session", (int64_t)w->session);
            put_number(g, "heard_ms", now_ms - w->heard_ms);
            put_bool(g, "leaving", w->leaving);
            (void)yajl_gen_map_close(g);
        }
    }
    (void)yajl_gen_array_close(g);
}

static void put_counters(yajl_gen g, const broker_t *self, const core_view_t *view) {
    uint64_t commits, records;
    journal_counts(self->journal, &commits, &records);
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {{"fetched", view->counters.fetched},
                    {"results", view->counters.results},
                    {"delivered", view->counters.delivered},
                    {"buried", view->counters.refused},
                    {"upload_retries", view->counters.retried},
                    {"expired", view->counters.expired},
                    {"outcome_unknown", view->counters.outcome_unknown},
                    {"redelivered", view->counters.redelivered},
                    {"returned", view->counters.returned},
                    {"taken_back", view->counters.unclaimed},
                    {"tasks_invalid", view->counters.invalid},
                    {"answers_malformed", view->counters.malformed},
                    {"fetches_repeated", view->counters.repeated},
                    {"tasks_held_already", view->counters.held_already},
                    {"tasks_without_room", view->counters.no_room},
                    {"claims_denied", view->counters.denied},
                    {"sessions_lost", view->counters.sessions_lost},
                    {"stale_messages", view->counters.bad_sessions},
                    {"credits_lost", view->counters.credits_lost},
                    {"bad_messages", self->bad_messages},
                    {"commits", commits},
                    {"records", records}};
    open_map(g, "counters");
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        put_number(g, counters[i].name, (int64_t)counters[i].value);
    (void)yajl_gen_map_close(g);
}

static void put_all(yajl_gen g, broker_t *self, const core_view_t *view, moment_t now) {
    (void)yajl_gen_map_open(g);
    put_text(g, "version", SLUICE_VERSION);
    put_text(g, "agent_id", view->settings->agent_id);
    put_number(g, "pid", getpid());
    put_number(g, "started_ms", self->started_wall_ms);
    put_number(g, "now_ms", now.wall_ms);
    put_number(g, "session_epoch", (int64_t)view->settings->epoch);
    put_ac(g, view);
    put_gate(g, view, now);
    put_queues(g, view);
    put_oldest(g, view, now);
    put_number(g, "awaited_workers", view->awaited);
    put_workers(g, view, now.ms);
    put_counters(g, self, view);
    open_map(g, "journal");
    put_text(g, "path", journal_path(self->journal));
    put_number(g, "bytes", journal_bytes(self->journal));
    put_bool(g, "ok", self->journal_ok);
    put_text(g, "error", self->journal_ok ? "" : self->journal_why);
    (void)yajl_gen_map_close(g);
    open_map(g, "spool");
    put_number(g, "bytes", (int64_t)spool_bytes(self->spool));
    put_number(g, "limit", (int64_t)spool_max(self->spool));
    put_number(g, "streams", bodies_count(self->bodies));
    (void)yajl_gen_map_close(g);
    open_map(g, "config");
    put_number(g, "generation", (int64_t)view->generation);
    put_bool(g, "debug", view->settings->debug);
    put_bool(g, "verify", view->settings->verify);
    if (view->pool_size) put_number(g, "pool_size", view->pool_size);
    put_bool(g, "upload_to_ac", view->settings->upload_to_ac);
    put_number(g, "rate_per_min", view->settings->rate_per_min);
    (void)yajl_gen_map_close(g);
    (void)yajl_gen_map_close(g);
}

doc_t *broker_status(broker_t *self) {
    yajl_gen g = yajl_gen_alloc(NULL);
    if (!g) return NULL;
    moment_t now = broker_now();
    core_view_t view;
    core_look(self->core, now.ms, &view);
    if (!self->journal_ok) { /* nothing that waits for the commit has been said to anybody */
        view.fetch_paused = "the journal cannot be written";
        view.waits_for = "the journal to be writable";
    }
    put_all(g, self, &view, now);
    const unsigned char *json;
    size_t size;
    doc_t *doc = yajl_gen_get_buf(g, &json, &size) == yajl_gen_status_ok ? doc_copy_of(json, size) : NULL;
    yajl_gen_free(g);
    return doc;
}
