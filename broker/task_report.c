/* The JSON of `sluice task`: what is known of a task, held or gone; and of `sluice dead`: the buried ones. */
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/json_put.h"
#include "broker/stage.h"

/* --- the timeline --- */

static const char *event_name(trail_kind_t kind) {
    static const char *const names[TRAIL_KINDS] = {[TRAIL_FETCHED] = "fetched",
                                                   [TRAIL_ACCEPTED] = "accepted",
                                                   [TRAIL_PUSHED] = "pushed",
                                                   [TRAIL_CLAIMED] = "claimed",
                                                   [TRAIL_KEPT] = "kept",
                                                   [TRAIL_TAKEN_BACK] = "taken_back",
                                                   [TRAIL_LOST] = "lost",
                                                   [TRAIL_STARTED] = "started",
                                                   [TRAIL_CONNECTED] = "connected",
                                                   [TRAIL_FIRST_BYTE] = "first_byte",
                                                   [TRAIL_RESULT] = "result",
                                                   [TRAIL_FAILED] = "failed",
                                                   [TRAIL_TRY] = "upload_failed",
                                                   [TRAIL_BURIED] = "buried",
                                                   [TRAIL_REVIVED] = "revived",
                                                   [TRAIL_DELIVERED] = "delivered",
                                                   [TRAIL_DROPPED] = "dropped",
                                                   [TRAIL_HELD_AGAIN] = "handed_out_again",
                                                   [TRAIL_OMITTED] = "omitted",
                                                   [TRAIL_NOT_DONE] = "result",
                                                   [TRAIL_GIVEN_BACK] = "given_back",
                                                   [TRAIL_UNCLAIMED] = "taken_back"};
    return names[kind];
}

static const char *outcome_name(uint64_t outcome) {
    static const char *const names[] = {"?",        "done",     "empty",  "refused", "busy",
                                        "limited",  "denied",   "server", "network", "malformed",
                                        "redirect", "not sent", "aborted"};
    return outcome < sizeof names / sizeof names[0] ? names[outcome] : "?";
}

static void put_upload(yajl_gen g, const trail_entry_t *entry) {
    static const char *const calls[] = {"?",          "get-task",    "put-result", "upload-result",
                                        "upload-url", "upload-logs", "store"};
    uint64_t call = entry->b / 16;
    json_text(g, "call", call < sizeof calls / sizeof calls[0] ? calls[call] : "?");
    json_text(g, "outcome", outcome_name(entry->b % 16));
    json_number(g, "status", (int64_t)entry->a);
    if (entry->kind != TRAIL_TRY) return;
    json_number(g, "next_try_in_ms", (int64_t)entry->c);
    json_str(g, "why", entry->text);
}

static void put_entry(yajl_gen g, const trail_entry_t *entry) {
    (void)yajl_gen_map_open(g);
    json_number(g, "at_ms", entry->at_wall_ms);
    json_text(g, "event", event_name(entry->kind));
    switch (entry->kind) {
    case TRAIL_PUSHED:
    case TRAIL_KEPT:
        json_str(g, "worker", entry->text);
        json_number(g, "pid", (int64_t)entry->pid);
        json_str(g, "host", entry->host);
        if (entry->kind == TRAIL_PUSHED) json_number(g, "attempt", (int64_t)entry->a);
        break;
    case TRAIL_RESULT:
    case TRAIL_NOT_DONE:
        json_number(g, "status", (int64_t)entry->a);
        json_number(g, "body_bytes", (int64_t)entry->b);
        json_bool(g, "agent_error", entry->kind == TRAIL_NOT_DONE || entry->c != 0);
        if (entry->text.len > 0) json_str(g, "why", entry->text);
        break;
    case TRAIL_TRY:
    case TRAIL_DELIVERED:
        put_upload(g, entry);
        break;
    case TRAIL_OMITTED:
        json_number(g, "count", (int64_t)entry->a);
        break;
    default:
        if (entry->text.len > 0) json_str(g, "why", entry->text);
    }
    (void)yajl_gen_map_close(g);
}

/* Until a kind that is not true yet; TRAIL_KINDS for all of it. */
static void put_timeline(yajl_gen g, const void *trail, size_t len, int64_t base_ms, trail_kind_t until) {
    trail_entry_t entry;
    size_t at = 0;
    json_key(g, "timeline");
    (void)yajl_gen_array_open(g);
    while (trail_next(trail, len, base_ms, &at, &entry) && entry.kind != until)
        put_entry(g, &entry);
    (void)yajl_gen_array_close(g);
}

/* --- a task that is held --- */

/* Credits for uploads that the worker may make requests under. */
static uint32_t upload_credits(const ac_gate_t *gate, const worker_t *worker) {
    uint32_t count = 0;
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        const credit_t *credit = &gate->credits[i];
        count += credit->credit && credit->stage == CREDIT_UPLOAD && credit->holder == worker->instance &&
                 !credit->disowned;
    }
    return count;
}

/* Its uploader holds no credit. With a body for the store it may have had one, and be there. */
static const char *waits_for_credit(const core_view_t *view, const task_t *task, moment_t now) {
    if (task->call == CALL_UPLOAD_URL) return "an AC credit, or the store to take its body";
    if (now.ms < view->gate->pause_ms) return "an AC credit: none is granted while AC wants a pause";
    if (view->gate->state == GATE_CLOSED)
        return "an AC credit: AC does not answer as it should, and one probe goes every 30 s at most";
    if (gate_count(view->gate, 0) >= view->gate->max) return "an AC credit: all are with others";
    if (gate_rate_free(view->gate, now.ms) == 0) return "an AC credit: the rate limit's minute is used up";
    return "an AC credit";
}

/* An uploader has claimed it, with others perhaps: of these as many are under way as it holds credits. */
static const char *waits_at_uploader(const core_view_t *view, const task_t *task, moment_t now) {
    uint32_t credits = upload_credits(view->gate, task->worker);
    if (credits == 0) return waits_for_credit(view, task, now);
    if (credits < task->worker->claimed) return "AC's answer, or its turn";
    return task->call == CALL_UPLOAD_URL ? "AC's answer, or the store's" : "AC's answer";
}

static const char *waits_for_upload(const core_view_t *view, const task_t *task, moment_t now) {
    if (task->waits_rejoin) return "the uploaders known from before the broker's start";
    if (task->state == TASK_UPLOADING && task->worker) return waits_at_uploader(view, task, now);
    if (task->next_try_ms > now.ms) return "its next try";
    if (!view->uploaders) return "an uploader: none is connected";
    if (now.ms < view->gate->pause_ms) return "the end of the pause that AC asked for";
    if (view->gate->state == GATE_CLOSED) return "AC to answer again; one probe goes every 30 s at most";
    if (gate_rate_free(view->gate, now.ms) == 0) return "the rate limit's minute";
    return "its turn";
}

/* The tool has answered: what keeps the answer from being here. */
static const char *waits_for_body(const broker_t *self, const body_view_t *body) {
    const char *hold = bodies_hold(self->bodies);
    if (!body) return "its executor to bring the answer";
    if (body->place == 0) return "its body to come";
    return hold && strcmp(hold, SPOOL_DISK_FULL) == 0 ? "room on the disk" : "room in the spool";
}

static const char *waits_for_executor(const core_view_t *view, const task_t *task) {
    unsigned count = 0, mute = 0, leaving = 0;
    if (task->waits_rejoin) return "the executors known from before the broker's start";
    if (task->unread) return "its next reading: the journal did not give it";
    for (const worker_t *worker = view->executors; worker; worker = worker->next) {
        count++;
        leaving += worker->leaving;
        mute += !worker->leaving && worker->mute > 0;
    }
    if (count == 0) return "an executor: none is connected";
    if (leaving == count) return "an executor: those that are connected are about to end";
    if (leaving + mute == count) return "an executor that tasks reach: can they reach their worker ports?";
    return "a free slot of an executor";
}

/* What has to come before it goes on; NULL when nothing is to be waited for. */
static const char *waits_for(const broker_t *self, const core_view_t *view, const task_t *task,
                             moment_t now) {
    bool waits = task->state == TASK_READY || task->state == TASK_DONE;
    if (!self->journal_ok && waits) return "the journal to be writable";
    switch (task->state) {
    case TASK_READY:
        return waits_for_executor(view, task);
    case TASK_PUSHED:
        return "the executor to claim it";
    case TASK_DONE_PUSHED:
        return "the uploader to claim it";
    case TASK_DONE:
    case TASK_UPLOADING:
        return waits_for_upload(view, task, now);
    default:
        return NULL;
    }
}

/* Of an uploader that has claimed it also how many it has, and how many of them may be under way. */
static void put_worker(yajl_gen g, const core_view_t *view, const task_t *task) {
    const worker_t *worker = task->worker;
    if (!worker) return;
    json_open(g, "worker");
    json_text(g, "name", worker->name);
    json_number(g, "pid", worker->pid);
    json_text(g, "host", worker->host);
    if (task->state == TASK_UPLOADING) {
        json_number(g, "results", worker->claimed);
        json_number(g, "credits", upload_credits(view->gate, worker));
    }
    (void)yajl_gen_map_close(g);
}

/* Its number among those of its state, the one that is next being 1. */
static int64_t place_in_queue(const core_view_t *view, const task_t *task) {
    int64_t place = 1;
    for (const task_t *other = tasks_first(view->tasks); other; other = tasks_next(view->tasks))
        place += other->state == task->state && other->number < task->number;
    return place;
}

/* What has become of the task in the turn whose commit fails, if there is one: nobody has been told of it. */
typedef enum { STEPS_WRITTEN, STEPS_UNWRITTEN, STEPS_NONE_WRITTEN } steps_t;

static bool tells_of(const out_t *out, uint64_t number) {
    if (out->type == OUT_PUSH) return out->number == number;
    bool answer = out->msg.type == MSG_CLAIMED || out->msg.type == MSG_STORED || out->msg.type == MSG_GONE;
    return out->type == OUT_CONTROL && answer && out->msg.ref.number == number;
}

static steps_t steps_of(const broker_t *self, uint64_t number) {
    size_t records_count, outs_count;
    steps_t steps = STEPS_WRITTEN;
    if (self->journal_ok) return steps;
    const record_t *records = effects_records(self->effects, &records_count);
    const out_t *outs = effects_outs(self->effects, &outs_count);
    for (size_t i = 0; i < outs_count; i++)
        if (tells_of(&outs[i], number)) steps = STEPS_UNWRITTEN;
    for (size_t i = 0; i < records_count; i++) {
        if (records[i].type > REC_TASK_GONE || records[i].task.number != number) continue;
        if (records[i].type == REC_TASK_NEW) return STEPS_NONE_WRITTEN;
        steps = STEPS_UNWRITTEN;
    }
    return steps;
}

static void put_body(yajl_gen g, const body_view_t *body) {
    json_open(g, "body");
    json_number(g, "bytes", (int64_t)body->length);
    json_number(g, "come", (int64_t)body->received);
    if (body->place > 0) json_number(g, "place", body->place);
    (void)yajl_gen_map_close(g);
}

static void put_held(yajl_gen g, const broker_t *self, const core_view_t *view, const task_t *task,
                     moment_t now) {
    body_view_t body;
    steps_t steps = steps_of(self, task->number);
    bool answered = task->state == TASK_RUNNING && task->ended;
    bool comes = answered && bodies_look(self->bodies, task->number, &body);
    const char *waits = steps != STEPS_WRITTEN ? "the journal to be writable"
                        : answered             ? waits_for_body(self, comes ? &body : NULL)
                                               : waits_for(self, view, task, now);
    (void)yajl_gen_map_open(g);
    json_text(g, "task", task->task_id);
    json_number(g, "number", (int64_t)task->number);
    json_text(g, "state", task_state_name(task->state));
    json_text(g, "method", task->method);
    json_text(g, "host", task->host);
    json_number(g, "accepted_ms", task->accepted_wall_ms);
    if (!answered) json_number(g, "expires_ms", now.wall_ms + task->deadline_ms - now.ms);
    json_number(g, "tries", task->tries);
    json_text(g, "reason", task->reason);
    json_number(g, "bytes", (int64_t)task_bytes(task));
    if (task->next_try_ms > now.ms) json_number(g, "next_try_ms", now.wall_ms + task->next_try_ms - now.ms);
    if (task->state == TASK_BURIED) json_number(g, "buried_ms", task->buried_wall_ms);
    if (task->state == TASK_READY) json_number(g, "place", place_in_queue(view, task));
    if (waits) json_text(g, "waits_for", waits);
    if (steps != STEPS_WRITTEN) json_bool(g, "unwritten", true);
    if (answered) json_bool(g, "answered", true);
    if (comes) put_body(g, &body);
    put_worker(g, view, task);
    put_timeline(g, task->trail.bytes, task->trail.len, task->accepted_wall_ms,
                 steps == STEPS_NONE_WRITTEN ? TRAIL_ACCEPTED : TRAIL_KINDS);
    (void)yajl_gen_map_close(g);
}

/* --- those that are gone --- */

static void put_gone(void *ctx, const history_t *row) {
    yajl_gen g = ctx;
    (void)yajl_gen_map_open(g);
    json_text(g, "task", row->task_id);
    json_number(g, "number", (int64_t)row->number);
    json_text(g, "state", row->state == TASK_BURIED ? "dropped" : "gone");
    json_text(g, "method", row->method);
    json_text(g, "host", row->host);
    json_number(g, "accepted_ms", row->accepted_wall_ms);
    json_number(g, "ended_ms", row->ended_wall_ms);
    put_timeline(g, row->trail, row->trail_bytes, row->accepted_wall_ms, TRAIL_KINDS);
    (void)yajl_gen_map_close(g);
}

static void put_history(yajl_gen g, broker_t *self, int64_t now_wall_ms) {
    uint32_t tasks = 0;
    int64_t since_ms = 0;
    bool ok = journal_history_cover(self->journal, now_wall_ms, &tasks, &since_ms) == 0;
    json_open(g, "history");
    json_bool(g, "readable", ok);
    json_number(g, "tasks", tasks);
    json_number(g, "since_ms", since_ms);
    json_number(g, "limit", HISTORY_TASKS);
    json_number(g, "days", HISTORY_DAYS);
    (void)yajl_gen_map_close(g);
}

static uint64_t number_of(const char *text) {
    char *end;
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits < 20 && text[digits] == '\0' ? strtoull(text, &end, 10) : 0;
}

doc_t *broker_find(broker_t *self, const msg_find_t *find) {
    yajl_gen g = json_begin();
    if (!g) return NULL;
    char id[MSG_TASK_ID_MAX + 1];
    moment_t now = broker_now();
    core_view_t view;
    task_t *by_id, *by_number;
    core_look(self->core, now.ms, &view);
    str_copy(find->task, id, sizeof id);
    (void)core_find(self->core, find->task, find->by == ORDER_BY_NUMBER, &by_id, &by_number);
    (void)yajl_gen_map_open(g);
    json_number(g, "now_ms", now.wall_ms);
    json_number(g, "dead_letter_days", view.settings->dead_letter_days);
    json_key(g, "tasks");
    (void)yajl_gen_array_open(g);
    (void)journal_history_find(self->journal, find->by == ORDER_BY_NUMBER ? NULL : id, number_of(id),
                               MSG_LIVES_MAX, now.wall_ms, put_gone, g);
    if (by_id) put_held(g, self, &view, by_id, now);
    if (by_number && by_number != by_id) put_held(g, self, &view, by_number, now);
    (void)yajl_gen_array_close(g);
    put_history(g, self, now.wall_ms);
    json_open(g, "journal");
    json_bool(g, "ok", self->journal_ok);
    json_text(g, "error", self->journal_ok ? "" : self->journal_why);
    (void)yajl_gen_map_close(g);
    (void)yajl_gen_map_close(g);
    doc_t *doc = json_doc(g);
    yajl_gen_free(g);
    return doc;
}

/* --- the buried --- */

static void put_buried(yajl_gen g, const task_t *task) {
    (void)yajl_gen_map_open(g);
    json_text(g, "task", task->task_id);
    json_number(g, "number", (int64_t)task->number);
    json_text(g, "method", task->method);
    json_text(g, "host", task->host);
    json_text(g, "reason", task->reason);
    json_number(g, "tries", task->tries);
    json_number(g, "accepted_ms", task->accepted_wall_ms);
    json_number(g, "buried_ms", task->buried_wall_ms);
    json_number(g, "bytes", (int64_t)task->buried_bytes);
    (void)yajl_gen_map_close(g);
}

doc_t *broker_list(broker_t *self, const msg_list_t *list) {
    yajl_gen g = json_begin();
    if (!g) return NULL;
    task_t *tasks[MSG_LIST_MAX];
    bool more;
    moment_t now = broker_now();
    core_view_t view;
    core_look(self->core, now.ms, &view);
    uint32_t count = core_buried(self->core, list->after, list->max, tasks, &more);
    (void)yajl_gen_map_open(g);
    json_number(g, "now_ms", now.wall_ms);
    json_number(g, "started_ms", self->started_wall_ms);
    json_number(g, "dropped", (int64_t)view.counters.dropped);
    json_number(g, "total", view.tasks->counts[TASK_BURIED]);
    json_number(g, "bytes", (int64_t)view.tasks->buried_bytes);
    json_number(g, "limit_bytes", (int64_t)view.settings->dead_letter_bytes);
    json_number(g, "days", view.settings->dead_letter_days);
    json_bool(g, "more", more);
    json_key(g, "tasks");
    (void)yajl_gen_array_open(g);
    for (uint32_t i = 0; i < count; i++)
        put_buried(g, tasks[i]);
    (void)yajl_gen_array_close(g);
    (void)yajl_gen_map_close(g);
    doc_t *doc = json_doc(g);
    yajl_gen_free(g);
    return doc;
}
