/* Credits: the gate's decisions as records and messages, and what fetching waits for. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/core_internal.h"

#define FETCH_LEAST_MAX 10
#define KEEPS_LOG_MS    10000

static bool has_claimed(void *ctx, uint64_t holder) {
    worker_t *worker = session_find(ctx, holder);
    return worker && (worker->claimed > 0 || worker->role == ROLE_TOOL);
}

static bool is_present(void *ctx, uint64_t holder, uint64_t session) {
    worker_t *worker = session_find(ctx, holder);
    return worker && worker->session == session;
}

/* Without those that were given up and whose next try is minutes away. */
static uint32_t results_that_may_go(const core_t *core) {
    size_t queued = core->upload.queue.count + core->upload.large.count;
    uint32_t done = core->tasks.counts[TASK_DONE], later = done > queued ? done - (uint32_t)queued : 0;
    uint32_t given_up = core->tasks.given_up[TASK_DONE];
    return tasks_results(&core->tasks) - (given_up < later ? given_up : later);
}

static bool results_full(core_t *core) {
    uint32_t results = tasks_results_counted(&core->tasks);
    uint32_t percent = core->settings.response_threshold;
    uint64_t size = core->settings.response_queue;
    uint32_t resume = percent > 10 ? percent - 10 : 0;
    if ((uint64_t)results * 100 >= size * percent)
        core->results_full = true;
    else if ((uint64_t)results * 100 <= size * resume)
        core->results_full = false;
    return core->results_full;
}

uint32_t fetch_room(core_t *core, const char **why) {
    const uint32_t *counts = core->tasks.counts;
    uint32_t slots = stage_slots(&core->execute);
    uint32_t lookahead = core->settings.lookahead ? core->settings.lookahead : slots;
    uint32_t ready = counts[TASK_READY] + counts[TASK_PUSHED];
    uint32_t limit = lookahead < core->settings.task_queue ? lookahead : core->settings.task_queue;
    bool full = results_full(core);
    *why = NULL;
    if (core->stopped)
        *why = "the broker is ending";
    else if (core->drained_wall_ms)
        *why = "paused by hand";
    else if (core->held_back)
        *why = core->held_back;
    else if (slots == 0)
        *why = "no executor is connected";
    else if (full)
        *why = "the response queue is at its threshold";
    else if (ready >= limit)
        *why = limit == lookahead ? "ready tasks reach the lookahead" : "the task queue is full";
    return *why ? 0 : limit - ready;
}

gate_view_t gate_view_of(core_t *core) {
    const uint32_t *counts = core->tasks.counts;
    const char *why;
    gate_view_t view = {.claimed = has_claimed, .present = is_present, .ctx = core};
    view.fetch_room = fetch_room(core, &why);
    view.fetch_least = (view.fetch_room + counts[TASK_READY] + counts[TASK_PUSHED]) / 2;
    if (view.fetch_least > FETCH_LEAST_MAX) view.fetch_least = FETCH_LEAST_MAX;
    view.waiting = results_that_may_go(core);
    view.coming = counts[TASK_READY] + counts[TASK_PUSHED] + counts[TASK_RUNNING];
    return view;
}

static void record_bucket(core_t *core, int bucket) {
    if (bucket < 0) return;
    int64_t second = core->gate.window.second[bucket];
    record_t *record = effects_latest(core->fx, REC_RATE);
    if (!record || record->at != second) record = effects_record(core->fx, REC_RATE);
    record->at = second;
    record->units = core->gate.window.units[bucket];
}

void credit_want(core_t *core, worker_t *worker, const msg_want_t *want) {
    if (core->stopped && want->stage == CREDIT_FETCH) return;
    gate_want(&core->gate, worker->instance, worker->session, want->seq, want->stage, core->now.ms);
}

static void send_revoke(core_t *core, const worker_t *worker, uint64_t credit, uint8_t reason) {
    msg_t *msg = effects_msg(core->fx, worker->instance, MSG_REVOKE);
    msg->revoke = (msg_revoke_t){worker->session, credit, reason};
}

static void journal_credit(core_t *core, const credit_t *credit) {
    record_t *record = effects_record(core->fx, REC_CREDIT);
    record->number = credit->credit;
    record->instance = credit->holder;
    record->role = credit->stage;
    record->units = credit->budget;
    record->used = gate_known_used(credit);
}

static void send_grant(core_t *core, const credit_t *credit, uint64_t seq) {
    msg_t *msg = effects_msg(core->fx, credit->holder, MSG_GRANT);
    msg->grant =
        (msg_grant_t){credit->session, seq, credit->credit, credit->stage, CREDIT_TTL_MS, credit->budget};
}

void credit_renew(core_t *core, worker_t *worker, const msg_renew_t *renew) {
    credit_t *credit = gate_find(&core->gate, renew->credit);
    if (!credit || credit->holder != worker->instance) {
        send_revoke(core, worker, renew->credit, REVOKE_UNKNOWN);
        return;
    }
    record_bucket(core, gate_used(&core->gate, credit, renew->used, core->now.ms));
    credit->renewed_ms = core->now.ms;
    credit->recovered = false;
    credit->revoked = false; /* the REVOKE may be lost; it is sent again if it still holds */
    credit->session = worker->session;
    send_grant(core, credit, renew->seq);
}

static void drop_credit(core_t *core, credit_t *credit) {
    effects_record(core->fx, REC_CREDIT_GONE)->number = credit->credit;
    gate_release(&core->gate, credit, core->now.ms);
}

void credit_release(core_t *core, uint64_t holder, const msg_release_t *release) {
    credit_t *credit = gate_find(&core->gate, release->credit);
    if (!credit || credit->holder != holder) return;
    record_bucket(core, gate_all_ended(&core->gate, credit, release->used, core->now.ms));
    drop_credit(core, credit);
}

void credit_report(core_t *core, worker_t *worker, const msg_report_t *report) {
    (void)worker;
    if (report->call == CALL_GET_TASK && report->outcome != OUTCOME_NOT_SENT)
        gate_fetch_ended(&core->gate, report->credit);
    if (report->outcome == OUTCOME_MALFORMED) core->view.counters.malformed++;
    credit_outcome(core, (call_t)report->call, (outcome_t)report->outcome, 0, report->http_status,
                   report->retry_after_ms, report->elapsed_ms, report->reason);
}

static const char *call_name(call_t call) {
    static const char *const names[] = {"?",          "get-task",    "put-result", "upload-result",
                                        "upload-url", "upload-logs", "store"};
    return (unsigned)call < sizeof names / sizeof names[0] ? names[call] : "?";
}

void credit_outcome(core_t *core, call_t call, outcome_t outcome, uint64_t number, uint16_t http_status,
                    int64_t retry_after_ms, uint32_t elapsed_ms, str_t reason) {
    ac_gate_t *gate = &core->gate;
    bool good = outcome == OUTCOME_DONE || outcome == OUTCOME_EMPTY;
    int64_t paused = gate->pause_ms;
    bool changed = gate_report(gate, call, outcome, number, retry_after_ms, elapsed_ms, core->now.ms);
    if (good) {
        gate->ok_wall_ms = core->now.wall_ms;
    } else if (outcome == OUTCOME_ABORTED) {
        char quoted[LOG_QUOTED_MAX], why[201];
        str_copy(reason, why, sizeof why);
        effects_log(core->fx, LOG_LEVEL_WARN, "ac_call_aborted", "call=%s why=%s", call_name(call),
                    log_quote(why, quoted));
    } else if (outcome != OUTCOME_NOT_SENT) {
        gate->error_wall_ms = core->now.wall_ms;
        str_copy(reason.len ? reason : str_of(call_name(call)), gate->error, sizeof gate->error);
        bool loud = outcome == OUTCOME_DENIED || outcome == OUTCOME_REDIRECT;
        char quoted[LOG_QUOTED_MAX];
        effects_log(core->fx, loud ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "ac_call_failed",
                    "call=%s status=%u why=%s", call_name(call), http_status, log_quote(gate->error, quoted));
    }
    if (gate->pause_ms != paused) {
        effects_record(core->fx, REC_PAUSE)->at = gate->pause_ms;
        effects_log(core->fx, LOG_LEVEL_WARN, "ac_pause", "ms=%" PRId64, gate->pause_ms - core->now.ms);
    }
    if (changed)
        effects_log(core->fx, good ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, good ? "gate_opened" : "gate_closed",
                    "call=%s status=%u", call_name(call), http_status);
}

static void expire_credits(core_t *core) {
    int bucket;
    credit_t *credit;
    while (core->now.ms >= core->judge_ms && (credit = gate_expired(&core->gate, core->now.ms, &bucket))) {
        effects_log(core->fx, LOG_LEVEL_WARN, "credit_expired", "credit=%" PRIu64 " stage=%s", credit->credit,
                    credit->stage == CREDIT_FETCH ? "fetch" : "upload");
        core->view.counters.credits_lost++;
        record_bucket(core, bucket);
        drop_credit(core, credit);
    }
}

void credits_disowned(core_t *core, const worker_t *worker) {
    int bucket;
    credit_t *credit;
    while ((credit = gate_disowned(&core->gate, worker->instance, core->now.ms, &bucket)) != NULL) {
        effects_log(core->fx, LOG_LEVEL_INFO, "credit_disowned",
                    "credit=%" PRIu64 " stage=%s remark=\"its holder has come back without it\"",
                    credit->credit, credit->stage == CREDIT_FETCH ? "fetch" : "upload");
        record_bucket(core, bucket);
        drop_credit(core, credit);
    }
}

/* Pauses that last are logged once, with the numbers; the many short ones of a busy pipeline are not, nor
 * those of one that uses up its rate. */
static void log_pause(core_t *core, const gate_view_t *view) {
    const char *why;
    fetch_room(core, &why);
    bool keeps = !why && gate_keeps_units(&core->gate, view, core->now.ms);
    if (keeps) why = gate_units_kept;
    const uint32_t *counts = core->tasks.counts;
    uint32_t results = tasks_results(&core->tasks);
    if (why && !core->paused) core->paused_ms = core->now.ms;
    bool lasting = why && core->now.ms - core->paused_ms >= (keeps ? KEEPS_LOG_MS : PAUSE_LOG_MS);
    bool changed = why != core->paused;
    if (!why && core->paused_logged)
        effects_log(core->fx, LOG_LEVEL_INFO, "fetch_resumed", "ready=%u running=%u results=%u slots=%u",
                    counts[TASK_READY], counts[TASK_RUNNING], results, stage_slots(&core->execute));
    else if (lasting && (!core->paused_logged || changed))
        effects_log(core->fx, LOG_LEVEL_INFO, "fetch_paused",
                    "why=\"%s\" ready=%u running=%u results=%u slots=%u", why, counts[TASK_READY],
                    counts[TASK_RUNNING], results, stage_slots(&core->execute));
    core->paused_logged = why && (lasting || core->paused_logged);
    core->paused = why;
}

void credits_turn(core_t *core) {
    expire_credits(core);
    gate_view_t view = gate_view_of(core);
    log_pause(core, &view);
    uint8_t reason;
    credit_t *credit;
    while ((credit = gate_recall(&core->gate, &view, core->now.ms, &reason)) != NULL) {
        worker_t *worker = session_find(core, credit->holder);
        if (worker) send_revoke(core, worker, credit->credit, reason);
    }
    uint64_t seq;
    while ((credit = gate_decide(&core->gate, &view, core->now.ms, &seq)) != NULL) {
        journal_credit(core, credit);
        send_grant(core, credit, seq);
    }
    int bucket;
    while ((credit = gate_raise(&core->gate, &view, core->now.ms, &bucket)) != NULL) {
        record_bucket(core, bucket);
        journal_credit(core, credit);
        send_grant(core, credit, 0);
    }
}
