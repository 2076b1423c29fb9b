/* The core's own parts, shared by core_*.c only. */
#ifndef SLUICE_BROKER_CORE_INTERNAL_H
#define SLUICE_BROKER_CORE_INTERNAL_H

#include "broker/core.h"
#include "broker/stage.h"
#include "common/log.h"

#define LATE_WAKE_MS    1000   /* a longer gap between ticks means that this process stood still */
#define LATE_GRACE_MS   2000   /* and then nobody is judged for this long */
#define PAUSE_LOG_MS    1000   /* a pause is logged once it has lasted this long */
#define RUNNING_OVER_MS 10000  /* a claim is ended this long after its task's expiry */
#define RESULTS_OVER_MS 600000 /* or at most this long, while RESULTs of its executor come */
#define RESULT_APART_MS 21000  /* of two that come, on a way of 64 kB/s */
#define FETCHERS_MAX    64
#define WORKERS_MAX     256 /* sessions at a time; each costs descriptors */
#define TOOLS_MAX       4   /* of them, sessions of tools that ask for a credit */

/* A worker of the journal that has not come back since the restart. */
typedef struct awaited_t {
    uint64_t instance, place;
    role_t role;
    struct awaited_t *next;
} awaited_t;

/* Which fetches of a fetcher's instance have been accepted: the highest, and a bit for each of the 64 below
 * it. */
typedef struct {
    uint64_t instance, seq, mask;
    int64_t used; /* order of use, for replacing the oldest */
} fetcher_window_t;

struct core_t {
    core_settings_t settings;
    moment_t now;
    effects_t *fx;     /* of the step under way */
    uint64_t from_key; /* and where its message came from */
    bool from_tcp;
    int error;
    tasks_t tasks;
    stage_t execute, upload;
    worker_t *fetchers, *tools;
    awaited_t *awaited;
    int64_t grace_ms; /* the awaited are judged lost then */
    bool rejoined;    /* nobody is awaited and no task waits for somebody to come back */
    ac_gate_t gate;
    fetcher_window_t windows[FETCHERS_MAX];
    int64_t window_use;
    uint64_t next_session, next_number;
    uint64_t generation;     /* of the configuration; 1 until AC sets something */
    global_config_t given;   /* what AC has set so far */
    int64_t drained_wall_ms; /* since when fetching is paused by hand; 0: it is not */
    bool stopped, stop_told, results_full, reconfigured;
    const char *held_back;     /* why no more may be fetched, from outside the core */
    int64_t tick_ms, judge_ms; /* the last tick; nobody is judged late before judge_ms */
    const char *paused;        /* why fetching is paused */
    int64_t paused_ms;
    bool paused_logged;
    core_view_t view; /* counters */
};

/* core_session.c */
void session_hello(core_t *core, uint64_t peer, const msg_hello_t *hello);
void session_heartbeat(core_t *core, worker_t *worker, const msg_heartbeat_t *beat);
void session_end(core_t *core, worker_t *worker, const char *why);
void session_judge(core_t *core);
/* Tells all workers that the broker is about to end, so that no poll is begun that nobody would take. */
void session_tell_stop(core_t *core);
/* Ends all sessions of the key. */
void session_revoke(core_t *core, uint64_t key);
worker_t *session_find(core_t *core, uint64_t instance);
/* The executor of this session; NULL when it is over. */
worker_t *session_executor(const core_t *core, uint64_t session);
/* Whether a worker of the role that the journal knows has not come back yet. */
bool session_awaits(const core_t *core, role_t role);

/* core_fetched.c */
void task_fetched(core_t *core, const msg_fetched_t *fetched, void **doc, uint64_t doc_bytes);
/* core_work.c */
void task_claimed(core_t *core, worker_t *worker, const msg_ref_t *claim);
void task_result(core_t *core, const msg_result_t *result, void **doc, uint64_t doc_bytes);
void task_uploaded(core_t *core, worker_t *worker, const msg_uploaded_t *uploaded);
void task_returned(core_t *core, worker_t *worker, const msg_return_t *give_back);
/* Hands the worker a task it says it has; false when it is not the worker's to have. */
bool task_adopt(core_t *core, worker_t *worker, const msg_held_t *held, uint64_t former_session);
/* core_dispatch.c */
void tasks_judge(core_t *core);
void tasks_dispatch(core_t *core);

/* core_buried.c */
void buried_add(core_t *core, task_t *task, const msg_uploaded_t *uploaded);
/* What a person wants done with one buried result, or with all. */
void buried_order(core_t *core, uint64_t peer, const msg_order_t *order);
/* Drops what is too old or too much. */
void buried_turn(core_t *core);

/* core_tasks.c */
/* What has happened to it, for its trail. */
void task_note(core_t *core, task_t *task, trail_kind_t kind);
void task_note_text(core_t *core, task_t *task, trail_kind_t kind, str_t text);
void task_note_worker(core_t *core, task_t *task, trail_kind_t kind, const worker_t *worker);
/* A record with all that records of tasks may tell, but for texts. */
record_t *task_record(core_t *core, record_type_t type, task_t *task);
/* What the journal has not been told of any trail, for it goes on by the next start. */
void tasks_tell_trails(core_t *core);
void task_answer(core_t *core, uint64_t peer, msg_type_t type, uint64_t session, const task_t *task);
void task_log(core_t *core, const task_t *task, const char *what, const char *why);
stage_t *task_stage(core_t *core, const task_t *task);
/* Takes the task from its worker, if any. */
void task_take_back(task_t *task);
void task_watch(core_t *core, task_t *task);
void task_claim(core_t *core, task_t *task);
/* The worker lost it: done again, or an error result, as the method allows. */
void task_lost(core_t *core, task_t *task, const char *why);
void task_ready_again(core_t *core, task_t *task, task_event_t event);
void task_becomes_done(core_t *core, task_t *task);
/* The broker answers for the task: an error result takes the place of its work. */
void task_fail(core_t *core, task_t *task, const char *text);
void task_fail_expired(core_t *core, task_t *task);
/* It is over: its history is all that stays. */
void task_gone(core_t *core, task_t **task, task_state_t from);
/* Back into its stage's queue, unless it has to wait. */
void task_enqueue(core_t *core, task_t *task);
void task_deny(core_t *core, uint64_t peer, uint64_t session, uint64_t number, uint32_t attempt,
               denied_t reason);

/* It is with its worker, and not claimed yet. */
void task_await_claim(core_t *core, task_t *task);
/* Its document could not be read. */
void task_not_pushed(core_t *core, uint64_t number, uint32_t attempt);
/* The request has ended in time: a claim is not judged by its task's expiry any more. */
void task_ended(core_t *core, task_t *task);
/* core_body.c: BODY, the result of the task has a body that comes as a stream. */
void task_body(core_t *core, worker_t *worker, const msg_body_t *body);
/* There is no room for its body. */
void task_no_room(core_t *core, uint64_t number, uint32_t attempt);
/* core_config.c */
/* The globalConfig of a task: what it changes becomes a new generation. */
void config_take(core_t *core, str_t json);
void config_send(core_t *core, const worker_t *worker);
void config_send_all(core_t *core);

/* core_gate.c */
void credit_want(core_t *core, worker_t *worker, const msg_want_t *want);
void credit_renew(core_t *core, worker_t *worker, const msg_renew_t *renew);
void credit_release(core_t *core, uint64_t holder, const msg_release_t *release);
/* Ends what the worker had when it came back without it. */
void credits_disowned(core_t *core, const worker_t *worker);
void credit_report(core_t *core, worker_t *worker, const msg_report_t *report);
void credit_outcome(core_t *core, call_t call, outcome_t outcome, uint64_t number, uint16_t http_status,
                    int64_t retry_after_ms, uint32_t elapsed_ms, str_t reason);
void credits_turn(core_t *core);
uint32_t fetch_room(core_t *core, const char **why);
gate_view_t gate_view_of(core_t *core);

/* Moves the task and notes a programmer's error when the table forbids it. */
void core_move(core_t *core, task_t *task, task_event_t event);
void core_check(core_t *core, int err);
bool task_idempotent(const task_t *task);
stage_t *stage_of(core_t *core, role_t role); /* NULL for a fetcher */

#endif
