#include "broker/core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"
#include "common/err.h"

core_t *core_new(const core_settings_t *settings) {
    core_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->settings = *settings;
    if (tasks_init(&self->tasks) != 0) {
        free(self);
        return NULL;
    }
    stage_init(&self->execute, STAGE_EXECUTE);
    stage_init(&self->upload, STAGE_UPLOAD);
    uint64_t first = settings->epoch << 32;
    gate_init(&self->gate, settings->ac_max, settings->rate_per_min, settings->seed, first + 1);
    self->next_session = first + 1;
    self->next_number = first + 1;
    self->generation = 1;
    self->given = GLOBAL_CONFIG_NONE;
    return self;
}

static void free_list(worker_t **list) {
    while (*list) {
        worker_t *worker = *list;
        *list = worker->next;
        free(worker);
    }
}

void core_destroy(core_t **self) {
    if (!*self) return;
    core_t *core = *self;
    stage_clear(&core->execute);
    stage_clear(&core->upload);
    free_list(&core->fetchers);
    free_list(&core->tools);
    while (core->awaited) {
        awaited_t *awaited = core->awaited;
        core->awaited = awaited->next;
        free(awaited);
    }
    tasks_clear(&core->tasks);
    free(core);
    *self = NULL;
}

/* --- recovery --- */

int core_restore_task(core_t *self, const task_image_t *image) {
    task_t *task = tasks_add(&self->tasks, image);
    if (!task) return ERR_NOMEM;
    task->journaled = task->state == TASK_RUNNING;
    return 0;
}

int core_restore_worker(core_t *self, uint64_t instance, uint64_t place, role_t role) {
    awaited_t *awaited = malloc(sizeof *awaited);
    if (!awaited) return ERR_NOMEM;
    *awaited = (awaited_t){instance, place, role, self->awaited};
    self->awaited = awaited;
    return 0;
}

int core_restore_fetcher(core_t *self, uint64_t instance, uint64_t seq, uint64_t mask) {
    for (int i = 0; i < FETCHERS_MAX; i++) {
        if (self->windows[i].instance != 0) continue;
        self->windows[i] = (fetcher_window_t){instance, seq, mask, ++self->window_use};
        return 0;
    }
    return 0; /* more than are kept: the rest are the oldest */
}

void core_restore_credit(core_t *self, const credit_t *credit, int64_t now_ms) {
    gate_restore(&self->gate, credit, now_ms);
}

void core_restore_rate(core_t *self, int64_t second, uint32_t units) {
    rate_restore(&self->gate.window, second, units);
}

void core_restore_pause(core_t *self, int64_t until_ms, int64_t now_ms) {
    int64_t latest_ms = now_ms + GATE_PAUSE_MAX_MS;
    if (until_ms > now_ms) self->gate.pause_ms = until_ms < latest_ms ? until_ms : latest_ms;
}

void core_restore_drain(core_t *self, int64_t since_wall_ms) {
    self->drained_wall_ms = since_wall_ms;
}

int core_start(core_t *self, moment_t now) {
    self->now = now;
    self->tick_ms = now.ms;
    self->judge_ms = now.ms;
    self->grace_ms = now.ms + PROTOCOL_GRACE_MS;
    for (task_t *task = tasks_first(&self->tasks); task; task = tasks_next(&self->tasks)) {
        role_t role = task->state <= TASK_RUNNING ? ROLE_EXECUTOR : ROLE_UPLOADER;
        task->waits_rejoin = session_awaits(self, role) || task->state == TASK_RUNNING;
        task->in_line_ms = task->next_try_ms > now.ms ? task->next_try_ms : now.ms;
        task_enqueue(self, task);
    }
    return self->error;
}

/* --- steps --- */

void core_check(core_t *core, int err) {
    if (err && !core->error) core->error = err;
}

void core_move(core_t *core, task_t *task, task_event_t event) {
    int err = tasks_event(&core->tasks, task, event);
    assert(err == 0);
    core_check(core, err);
}

bool task_idempotent(const task_t *task) {
    return (task->flags & TASK_IDEMPOTENT) != 0;
}

stage_t *stage_of(core_t *core, role_t role) {
    if (role == ROLE_EXECUTOR) return &core->execute;
    return role == ROLE_UPLOADER ? &core->upload : NULL;
}

static void answer_error(core_t *core, uint64_t peer, msg_err_t code, msg_type_t type, const char *text) {
    msg_t *msg = effects_msg(core->fx, peer, MSG_ERROR);
    msg->error.code = (uint16_t)code;
    msg->error.type = (uint8_t)type;
    msg->error.text = str_of(text);
}

uint64_t core_session_of(const msg_t *msg) {
    switch (msg->type) {
    case MSG_HEARTBEAT:
        return msg->heartbeat.session;
    case MSG_BYE:
        return msg->bye.session;
    case MSG_DRAIN:
        return msg->drain.session;
    case MSG_WANT:
        return msg->want.session;
    case MSG_RENEW:
        return msg->renew.session;
    case MSG_RELEASE:
        return msg->release.session;
    case MSG_REPORT:
        return msg->report.session;
    case MSG_CLAIM:
        return msg->ref.session;
    case MSG_RETURN:
        return msg->give_back.session;
    case MSG_UPLOADED:
        return msg->uploaded.session;
    case MSG_BODY:
        return msg->body.session;
    default:
        return 0;
    }
}

static bool role_may(role_t role, const msg_t *msg) {
    switch (msg->type) {
    case MSG_WANT:
        return msg->want.stage == CREDIT_FETCH ? role == ROLE_FETCHER
                                               : role == ROLE_UPLOADER || role == ROLE_TOOL;
    case MSG_RENEW:
    case MSG_RELEASE:
        return role == ROLE_FETCHER || role == ROLE_UPLOADER || role == ROLE_TOOL;
    case MSG_REPORT:
        return role == ROLE_FETCHER || (role == ROLE_TOOL && msg->report.call == CALL_UPLOAD_URL);
    case MSG_CLAIM:
    case MSG_RETURN:
        return role == ROLE_EXECUTOR || role == ROLE_UPLOADER;
    case MSG_UPLOADED:
        return role == ROLE_UPLOADER;
    case MSG_BODY:
    case MSG_DRAIN:
        return role == ROLE_EXECUTOR;
    default:
        return msg->type == MSG_HEARTBEAT || msg->type == MSG_BYE;
    }
}

static void worker_message(core_t *core, worker_t *worker, const msg_t *msg) {
    worker->heard_ms = core->now.ms;
    switch (msg->type) {
    case MSG_HEARTBEAT:
        session_heartbeat(core, worker, &msg->heartbeat);
        break;
    case MSG_BYE:
        session_end(core, worker, "it said goodbye");
        break;
    case MSG_WANT:
        credit_want(core, worker, &msg->want);
        break;
    case MSG_RENEW:
        credit_renew(core, worker, &msg->renew);
        break;
    case MSG_RELEASE:
        credit_release(core, worker->instance, &msg->release);
        break;
    case MSG_REPORT:
        credit_report(core, worker, &msg->report);
        break;
    case MSG_DRAIN:
        worker->leaving = worker->leaving || msg->drain.mode == 1;
        break;
    case MSG_CLAIM:
        task_claimed(core, worker, &msg->ref);
        break;
    case MSG_RETURN:
        task_returned(core, worker, &msg->give_back);
        break;
    case MSG_BODY:
        task_body(core, worker, &msg->body);
        break;
    default:
        task_uploaded(core, worker, &msg->uploaded);
    }
}

/* Said twice, the first time counts. */
static void pause_by_hand(core_t *core, uint64_t peer, bool pause) {
    bool changes = pause != (core->drained_wall_ms != 0);
    if (changes) {
        core->drained_wall_ms = pause ? core->now.wall_ms : 0;
        effects_record(core->fx, REC_DRAIN)->at = core->drained_wall_ms;
        effects_log(core->fx, LOG_LEVEL_WARN, pause ? "fetch_stopped" : "fetch_resumed", "by=hand");
    }
    effects_msg(core->fx, peer, MSG_DRAIN)->drain.mode = pause;
}

static void control_message(core_t *core, uint64_t peer, const msg_t *msg) {
    if (msg->type == MSG_HELLO) {
        session_hello(core, peer, &msg->hello);
        return;
    }
    if (msg->type == MSG_DRAIN && msg->drain.session == 0) {
        pause_by_hand(core, peer, msg->drain.mode == 1);
        return;
    }
    if (msg->type == MSG_ORDER) {
        buried_order(core, peer, &msg->order);
        return;
    }
    uint64_t session = core_session_of(msg);
    if (session == 0) {
        answer_error(core, peer, MSG_ERR_TYPE, msg->type, "this type is not for the broker's control socket");
        return;
    }
    worker_t *worker = session_find(core, peer);
    if (!worker || worker->session != session) {
        core->view.counters.bad_sessions++;
        /* Said to a broker that died: whose credit it was has no use for it any more, in whatever session. */
        if (msg->type == MSG_RELEASE) credit_release(core, peer, &msg->release);
        /* A message overtaken by the worker's own new HELLO needs no answer: WELCOME was it. */
        if (!worker) answer_error(core, peer, MSG_ERR_SESSION, msg->type, "no such session; say HELLO");
        return;
    }
    if (!role_may(worker->role, msg)) {
        answer_error(core, peer, MSG_ERR_ROLE, msg->type, "this role may not send this type");
        return;
    }
    worker_message(core, worker, msg);
}

/* After a stop what others have sent meanwhile is read first. In that time a further gap counts as one of
 * LATE_WAKE_MS, so that turns which are always long (a slow disk) do not put off the judging for good. */
static void judge_later(core_t *core) {
    int64_t gap = core->now.ms - core->tick_ms;
    if (gap <= LATE_WAKE_MS) return;
    if (core->tick_ms < core->judge_ms && gap <= PROTOCOL_LOST_MS)
        core->judge_ms += gap - LATE_WAKE_MS;
    else
        core->judge_ms = core->now.ms + LATE_GRACE_MS;
}

static void tick(core_t *core) {
    judge_later(core);
    core->tick_ms = core->now.ms;
    if (core->stopped && !core->stop_told) session_tell_stop(core);
    core->stop_told = core->stopped;
    if (core->reconfigured) config_send_all(core);
    core->reconfigured = false;
    session_judge(core);
    tasks_judge(core);
    buried_turn(core);
    credits_turn(core);
    if (core->stopped)
        tasks_tell_trails(core);
    else
        tasks_dispatch(core);
}

int core_step(core_t *self, const event_t *event, moment_t now, effects_t *effects) {
    self->now = now;
    self->fx = effects;
    self->from_key = event->key;
    self->from_tcp = event->tcp;
    worker_t *worker;
    switch (event->kind) {
    case EV_MESSAGE:
        if (event->msg->type == MSG_FETCHED)
            task_fetched(self, &event->msg->fetched, event->doc, event->doc_bytes);
        else if (event->msg->type == MSG_RESULT)
            task_result(self, &event->msg->result, event->doc, event->doc_bytes);
        else
            control_message(self, event->peer, event->msg);
        break;
    case EV_OPEN_FAILED:
        worker = session_find(self, event->peer);
        if (worker) session_end(self, worker, "its socket could not be opened");
        answer_error(self, event->peer, MSG_ERR_FULL, MSG_HELLO, "no room for another worker");
        break;
    case EV_KEY_REVOKED:
        session_revoke(self, event->key);
        break;
    case EV_NOT_PUSHED:
        task_not_pushed(self, event->number, event->attempt);
        break;
    case EV_NO_ROOM:
        task_no_room(self, event->number, event->attempt);
        break;
    case EV_TICK:
        tick(self);
    }
    self->fx = NULL;
    return effects_failed(effects) ? ERR_NOMEM : self->error;
}

int64_t core_due_ms(const core_t *self, int64_t now_ms) {
    int64_t due = heap_first_key(&self->tasks.timers);
    int64_t gate = gate_next_ms(&self->gate, now_ms);
    if (gate < due) due = gate;
    if ((self->stopped && !self->stop_told) || self->reconfigured) return now_ms;
    bool peers =
        self->execute.workers || self->upload.workers || self->fetchers || self->tools || self->awaited;
    int64_t look = now_ms + LATE_WAKE_MS / 2; /* silent workers, the log of a pause */
    if ((peers || self->paused) && look < due) due = look;
    if (due < self->judge_ms) /* what is overdue waits; but a sleep of our own must not pass for a stop */
        due = self->judge_ms < look ? self->judge_ms : look;
    return due;
}

bool core_debug(const core_t *self) {
    return self->settings.debug;
}

void core_stop(core_t *self) {
    self->stopped = true;
}

void core_hold_fetching(core_t *self, const char *why) {
    self->held_back = why;
}

static uint32_t awaited_count(const core_t *core) {
    uint32_t n = 0;
    for (const awaited_t *a = core->awaited; a; a = a->next)
        n++;
    return n;
}

void core_look(core_t *self, int64_t now_ms, core_view_t *view) {
    self->now.ms = now_ms;
    *view = self->view;
    view->gate = &self->gate;
    view->tasks = &self->tasks;
    view->executors = self->execute.workers;
    view->uploaders = self->upload.workers;
    view->fetchers = self->fetchers;
    view->fetch_room = fetch_room(self, &view->fetch_paused);
    view->executor_slots = stage_slots(&self->execute);
    view->lookahead = self->settings.lookahead ? self->settings.lookahead : view->executor_slots;
    view->awaited = awaited_count(self);
    view->drained_wall_ms = self->drained_wall_ms;
    view->settings = &self->settings;
    view->generation = self->generation;
    view->pool_size = self->given.pool_size;
    gate_view_t gate_view = gate_view_of(self);
    view->waits_for = gate_waits_for(&self->gate, &gate_view, now_ms);
    if (view->waits_for == gate_no_room && self->drained_wall_ms)
        view->waits_for = "`sluice resume`: fetching is paused by hand";
    if (!view->fetch_paused && self->gate.state == GATE_CLOSED)
        view->fetch_paused = "AC does not answer as it should";
    if (!view->fetch_paused && now_ms < self->gate.pause_ms) view->fetch_paused = "AC asked for a pause";
}
