/* The JSON of `sluice status`. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/json_put.h"
#include "broker/stage.h"
#include "common/clock.h"

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
    json_open(g, "ac");
    json_text(g, "state", state);
    json_number(g, "last_ok_ms", gate->ok_wall_ms);
    json_text(g, "last_error", gate->error);
    json_number(g, "last_error_ms", gate->error_wall_ms);
    (void)yajl_gen_map_close(g);
}

static void put_credit(yajl_gen g, const core_view_t *view, const credit_t *credit, int64_t now_ms) {
    const worker_t *holder = holder_of(view, credit->holder);
    (void)yajl_gen_map_open(g);
    json_number(g, "id", (int64_t)credit->credit);
    json_text(g, "kind", credit->stage == CREDIT_FETCH ? "fetch" : "upload");
    json_text(g, "holder", holder ? holder->name : "a process that is gone");
    json_number(g, "budget", credit->budget);
    json_number(g, "used", credit->used);
    json_number(g, "age_ms", now_ms - credit->granted_ms);
    json_number(g, "expires_in_ms", credit->renewed_ms + CREDIT_TTL_MS + CREDIT_TTL_MS / 4 - now_ms);
    (void)yajl_gen_map_close(g);
}

static void put_gate(yajl_gen g, const core_view_t *view, moment_t now) {
    const ac_gate_t *gate = view->gate;
    json_open(g, "gate");
    json_number(g, "max", gate->max);
    json_text(g, "waiting_for", view->waits_for);
    json_bool(g, "closed", gate->state == GATE_CLOSED);
    json_number(g, "paused_until_ms", gate->pause_ms > now.ms ? now.wall_ms + gate->pause_ms - now.ms : 0);
    json_number(g, "rate_limit", gate->rate);
    json_number(g, "rate_used", (int64_t)gate->rate - gate_rate_free(gate, now.ms));
    json_number(g, "fetch_room", view->fetch_room);
    json_key(g, "credits");
    (void)yajl_gen_array_open(g);
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        if (gate->credits[i].credit) put_credit(g, view, &gate->credits[i], now.ms);
    (void)yajl_gen_array_close(g);
    (void)yajl_gen_map_close(g);
}

static void put_queues(yajl_gen g, const core_view_t *view) {
    const uint32_t *counts = view->tasks->counts;
    json_open(g, "fetch");
    json_bool(g, "paused", view->fetch_paused != NULL);
    json_text(g, "reason", view->fetch_paused ? view->fetch_paused : "");
    if (view->drained_wall_ms) json_number(g, "by_hand_since_ms", view->drained_wall_ms);
    (void)yajl_gen_map_close(g);
    json_open(g, "tasks");
    json_number(g, "ready", counts[TASK_READY] + counts[TASK_PUSHED]);
    json_number(g, "running", counts[TASK_RUNNING]);
    json_number(g, "limit", view->settings->task_queue);
    json_number(g, "lookahead", view->lookahead);
    (void)yajl_gen_map_close(g);
    json_open(g, "results");
    json_number(g, "waiting", counts[TASK_DONE] + counts[TASK_DONE_PUSHED]);
    json_number(g, "uploading", counts[TASK_UPLOADING]);
    json_number(g, "given_up", tasks_given_up(view->tasks));
    json_number(g, "limit", view->settings->response_queue);
    json_number(g, "threshold", view->settings->response_threshold);
    (void)yajl_gen_map_close(g);
    json_number(g, "buried", counts[TASK_BURIED]);
    json_open(g, "dead_letters");
    json_number(g, "tasks", counts[TASK_BURIED]);
    json_number(g, "bytes", (int64_t)view->tasks->buried_bytes);
    json_number(g, "limit", (int64_t)view->settings->dead_letter_bytes);
    json_number(g, "days", view->settings->dead_letter_days);
    if (view->tasks->buried_first) json_number(g, "oldest_ms", view->tasks->buried_first->buried_wall_ms);
    (void)yajl_gen_map_close(g);
}

static void put_oldest(yajl_gen g, const core_view_t *view, moment_t now) {
    const task_t *oldest = tasks_oldest(view->tasks);
    json_key(g, "oldest");
    if (!oldest) {
        (void)yajl_gen_null(g);
        return;
    }
    (void)yajl_gen_map_open(g);
    json_text(g, "task", oldest->task_id);
    json_text(g, "state", task_state_name(oldest->state));
    json_number(g, "age_ms", now.wall_ms - oldest->accepted_wall_ms);
    json_number(g, "tries", oldest->tries);
    json_text(g, "reason", oldest->reason);
    (void)yajl_gen_map_close(g);
}

static void put_workers(yajl_gen g, const core_view_t *view, int64_t now_ms) {
    static const char *const names[] = {"?", "fetcher", "executor", "uploader", "tool"};
    const worker_t *lists[] = {view->fetchers, view->executors, view->uploaders};
    json_key(g, "workers");
    (void)yajl_gen_array_open(g);
    for (int i = 0; i < 3; i++) {
        for (const worker_t *w = lists[i]; w; w = w->next) {
            char instance[20];
            (void)snprintf(instance, sizeof instance, "%016" PRIx64, w->instance);
            (void)yajl_gen_map_open(g);
            json_text(g, "name", w->name);
            json_text(g, "role", names[w->role]);
            json_text(g, "instance", instance);
            json_text(g, "version", w->version);
            json_number(g, "pid", w->pid);
            json_text(g, "host", w->host);
            json_number(g, "slots", w->slots);
            json_number(g, "tasks", w->out);
            json_number(g, "session", (int64_t)w->session);
            json_number(g, "heard_ms", now_ms - w->heard_ms);
            json_bool(g, "leaving", w->leaving);
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
                    {"revived", view->counters.revived},
                    {"dropped", view->counters.dropped},
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
    json_open(g, "counters");
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        json_number(g, counters[i].name, (int64_t)counters[i].value);
    (void)yajl_gen_map_close(g);
}

/* Large bodies that wait for room. */
static void put_waiting(yajl_gen g, const bodies_t *bodies) {
    uint64_t number, bytes;
    unsigned waiting = bodies_waiting(bodies, &number, &bytes);
    json_number(g, "waiting", waiting);
    if (waiting == 0) return;
    const char *why = bodies_hold(bodies);
    json_number(g, "first_waiting", (int64_t)number);
    json_number(g, "first_waiting_bytes", (int64_t)bytes);
    json_text(g, "waits_for", why ? why : "");
}

static void put_all(yajl_gen g, broker_t *self, const core_view_t *view, moment_t now) {
    (void)yajl_gen_map_open(g);
    json_text(g, "version", SLUICE_VERSION);
    json_text(g, "agent_id", view->settings->agent_id);
    json_number(g, "pid", getpid());
    json_number(g, "started_ms", self->started_wall_ms);
    json_number(g, "now_ms", now.wall_ms);
    json_number(g, "session_epoch", (int64_t)view->settings->epoch);
    put_ac(g, view);
    put_gate(g, view, now);
    put_queues(g, view);
    put_oldest(g, view, now);
    json_number(g, "awaited_workers", view->awaited);
    put_workers(g, view, now.ms);
    put_counters(g, self, view);
    json_open(g, "journal");
    json_text(g, "path", journal_path(self->journal));
    json_number(g, "bytes", journal_bytes(self->journal));
    json_bool(g, "ok", self->journal_ok);
    json_text(g, "error", self->journal_ok ? "" : self->journal_why);
    (void)yajl_gen_map_close(g);
    json_open(g, "spool");
    json_number(g, "bytes", (int64_t)spool_bytes(self->spool));
    json_number(g, "limit", (int64_t)spool_max(self->spool));
    json_number(g, "buried", (int64_t)view->tasks->buried_bodies);
    json_number(g, "streams", bodies_count(self->bodies));
    put_waiting(g, self->bodies);
    (void)yajl_gen_map_close(g);
    json_open(g, "config");
    json_number(g, "generation", (int64_t)view->generation);
    json_bool(g, "debug", view->settings->debug);
    json_bool(g, "verify", view->settings->verify);
    if (view->pool_size) json_number(g, "pool_size", view->pool_size);
    json_bool(g, "upload_to_ac", view->settings->upload_to_ac);
    json_number(g, "rate_per_min", view->settings->rate_per_min);
    (void)yajl_gen_map_close(g);
    (void)yajl_gen_map_close(g);
}

doc_t *broker_status(broker_t *self) {
    yajl_gen g = json_begin();
    if (!g) return NULL;
    moment_t now = broker_now();
    core_view_t view;
    core_look(self->core, now.ms, &view);
    if (!self->journal_ok) { /* nothing that waits for the commit has been said to anybody */
        view.fetch_paused = "the journal cannot be written";
        view.waits_for = "the journal to be writable";
    }
    put_all(g, self, &view, now);
    doc_t *doc = json_doc(g);
    yajl_gen_free(g);
    return doc;
}
