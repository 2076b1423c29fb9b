/* Sessions: who is there, what it holds, and what follows when it is gone. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"
#include "common/err.h"

static worker_t **list_of(core_t *core, role_t role) {
    stage_t *stage = stage_of(core, role);
    if (stage) return &stage->workers;
    return role == ROLE_TOOL ? &core->tools : &core->fetchers;
}

#define ROLES 4
static const role_t roles[ROLES] = {ROLE_FETCHER, ROLE_EXECUTOR, ROLE_UPLOADER, ROLE_TOOL};

worker_t *session_find(core_t *core, uint64_t instance) {
    for (int i = 0; i < ROLES; i++)
        for (worker_t *worker = *list_of(core, roles[i]); worker; worker = worker->next)
            if (worker->instance == instance) return worker;
    return NULL;
}

worker_t *session_executor(const core_t *core, uint64_t session) {
    for (worker_t *worker = core->execute.workers; worker; worker = worker->next)
        if (worker->session == session) return worker;
    return NULL;
}

bool core_session_key(const core_t *self, uint64_t session, uint64_t *key) {
    const worker_t *const lists[] = {self->execute.workers, self->upload.workers, self->fetchers,
                                     self->tools};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (const worker_t *worker = lists[i]; worker; worker = worker->next) {
            if (worker->session != session) continue;
            *key = worker->key;
            return true;
        }
    }
    return false;
}

static unsigned session_count(core_t *core, role_t role) {
    unsigned count = 0;
    for (const worker_t *worker = *list_of(core, role); worker; worker = worker->next)
        count++;
    return count;
}

/* Tools have a few places of their own, so that they take none from workers. */
static bool session_room(core_t *core, role_t role) {
    if (role == ROLE_TOOL) return session_count(core, ROLE_TOOL) < TOOLS_MAX;
    return session_count(core, ROLE_FETCHER) + session_count(core, ROLE_EXECUTOR) +
               session_count(core, ROLE_UPLOADER) <
           WORKERS_MAX;
}

static worker_t *find_place(core_t *core, role_t role, uint64_t place) {
    for (worker_t *worker = place ? *list_of(core, role) : NULL; worker; worker = worker->next)
        if (worker->place == place && worker->key == core->from_key) return worker;
    return NULL;
}

static void unlink_worker(core_t *core, worker_t *worker) {
    stage_t *stage = stage_of(core, worker->role);
    if (stage) {
        stage_remove_worker(stage, worker);
        return;
    }
    for (worker_t **at = list_of(core, worker->role); *at; at = &(*at)->next) {
        if (*at != worker) continue;
        *at = worker->next;
        return;
    }
}

/* Takes the worker out; what it had is judged by the method. Nothing is sent: it is gone, or says HELLO anew.
 */
static void remove_worker(core_t *core, worker_t *worker, const char *why) {
    while (worker->tasks)
        task_lost(core, worker->tasks, why);
    gate_forget_wants(&core->gate, worker->instance);
    unlink_worker(core, worker);
    free(worker);
}

void session_end(core_t *core, worker_t *worker, const char *why) {
    char name[LOG_QUOTED_MAX];
    effects_log(core->fx, LOG_LEVEL_INFO, "worker_gone", "name=%s session=%" PRIu64 " tasks=%u why=\"%s\"",
                log_quote(worker->name, name), worker->session, worker->out, why);
    core->view.counters.sessions_lost++;
    if (stage_of(core, worker->role)) {
        effects_out(core->fx, OUT_CLOSE, worker->instance);
        effects_record(core->fx, REC_WORKER_GONE)->instance = worker->instance;
    }
    remove_worker(core, worker, why);
}

static void awaited_over(core_t *core, awaited_t **at) {
    awaited_t *awaited = *at;
    *at = awaited->next;
    uint64_t instance = awaited->instance;
    free(awaited);
    for (task_t *task = tasks_first(&core->tasks); task; task = tasks_next(&core->tasks))
        if (task->waits_rejoin && task->state == TASK_RUNNING && task->holder == instance && !task->worker)
            task_lost(core, task, "its executor did not come back");
}

bool session_awaits(const core_t *core, role_t role) {
    for (const awaited_t *a = core->awaited; a; a = a->next)
        if (a->role == role) return true;
    return false;
}

/* With the last awaited worker of a stage the stage's tasks that might have been with it are free. */
static void rejoin_complete(core_t *core) {
    bool executors = session_awaits(core, ROLE_EXECUTOR), uploaders = session_awaits(core, ROLE_UPLOADER);
    for (task_t *task = tasks_first(&core->tasks); task; task = tasks_next(&core->tasks)) {
        bool awaits = task->state <= TASK_RUNNING ? executors : uploaders;
        if (!task->waits_rejoin || task->worker || awaits) continue;
        task->waits_rejoin = false;
        if (task->state == TASK_RUNNING)
            task_lost(core, task, "its executor did not come back");
        else
            task_enqueue(core, task);
    }
    core->rejoined = core->awaited == NULL;
}

/* Nobody waits any more for the worker, or for those whose place it has taken. */
static void not_awaited(core_t *core, uint64_t instance, uint64_t place, bool itself) {
    bool any = false;
    for (awaited_t **at = &core->awaited; *at;) {
        bool same = (*at)->instance == instance, replaced = !same && place != 0 && (*at)->place == place;
        if (!(same && itself) && !replaced) {
            at = &(*at)->next;
            continue;
        }
        any = true;
        if (!same) effects_record(core->fx, REC_WORKER_GONE)->instance = (*at)->instance;
        awaited_over(core, at);
    }
    if (any) rejoin_complete(core);
}

/* A place proves a death only among those who have the same key. */
static uint64_t place_of(const core_t *core, const msg_hello_t *hello) {
    return hello->place ? hello->place ^ core->from_key : 0;
}

static worker_t *new_worker(core_t *core, uint64_t peer, const msg_hello_t *hello) {
    worker_t *worker = calloc(1, sizeof *worker);
    if (!worker) {
        core_check(core, ERR_NOMEM);
        return NULL;
    }
    worker->instance = peer;
    worker->place = place_of(core, hello);
    worker->key = core->from_key;
    worker->session = core->next_session++;
    worker->role = (role_t)hello->role;
    str_copy(hello->name, worker->name, sizeof worker->name);
    str_copy(hello->program_version, worker->version, sizeof worker->version);
    str_copy(hello->host, worker->host, sizeof worker->host);
    worker->pid = hello->pid;
    worker->slots = hello->slots;
    worker->hello_seq = hello->seq;
    worker->heard_ms = core->now.ms;
    stage_t *stage = stage_of(core, worker->role);
    if (stage) {
        stage_add_worker(stage, worker);
    } else {
        worker_t **list = list_of(core, worker->role);
        worker->next = *list;
        *list = worker;
    }
    return worker;
}

/* Gives the worker what it holds and may keep; returns the numbers of the rest. */
static msg_nums_t adopt(core_t *core, worker_t *worker, const msg_hello_t *hello, uint64_t former) {
    uint64_t *drop = effects_memory(core->fx, (hello->held.count + 1) * sizeof *drop);
    msg_nums_t list = {0, drop};
    for (uint32_t i = 0; drop && i < hello->held.count; i++)
        if (!task_adopt(core, worker, &hello->held.items[i], former))
            drop[list.count++] = hello->held.items[i].number;
    return list;
}

static void welcome(core_t *core, worker_t *worker, const msg_hello_t *hello, msg_nums_t drop) {
    bool kept = hello->credit != 0 &&
                gate_rejoin(&core->gate, hello->credit, worker->instance, worker->session, core->now.ms);
    gate_disown(&core->gate, worker->instance, hello->credit == 0);
    out_t *out =
        effects_out(core->fx, stage_of(core, worker->role) ? OUT_OPEN : OUT_CONTROL, worker->instance);
    out->slots = worker->slots;
    out->key = worker->key;
    out->tcp = core->from_tcp;
    out->msg.type = MSG_WELCOME;
    out->msg.welcome = (msg_welcome_t){.seq = hello->seq,
                                       .session = worker->session,
                                       .heartbeat_ms = PROTOCOL_HEARTBEAT_MS,
                                       .lost_ms = PROTOCOL_LOST_MS,
                                       .endpoint = str_of(""),
                                       .agent_id = str_of(core->settings.agent_id),
                                       .credit = kept ? hello->credit : 0,
                                       .drop = drop};
    config_send(core, worker);
}

/* Why the peer may not say it; NULL when it may. `former` is its session so far. */
static const char *hello_forbidden(const core_t *core, uint64_t peer, const msg_hello_t *hello,
                                   const worker_t *former) {
    if (hello->instance != peer || peer == 0) return "the instance of HELLO must be the routing id";
    if (former && former->key != core->from_key) return "this instance has a session under another key";
    if (former && former->role != (role_t)hello->role) return "this instance has a session in another role";
    return NULL;
}

/* It was said before the one that began the session, or is that one's repeat and comes after the worker has
 * read WELCOME: what it lists is out of date. */
static bool is_old(const worker_t *former, const msg_hello_t *hello) {
    return hello->seq < former->hello_seq || (hello->seq == former->hello_seq && former->ready);
}

void session_hello(core_t *core, uint64_t peer, const msg_hello_t *hello) {
    worker_t *former = session_find(core, peer);
    const char *forbidden = hello_forbidden(core, peer, hello, former);
    if (forbidden) {
        msg_t *msg = effects_msg(core->fx, peer, MSG_ERROR);
        msg->error = (msg_error_t){MSG_ERR_ROLE, MSG_HELLO, str_of(forbidden)};
        return;
    }
    if (former && is_old(former, hello)) return;
    uint64_t place = place_of(core, hello);
    worker_t *replaced = former ? NULL : find_place(core, (role_t)hello->role, place);
    if (replaced) session_end(core, replaced, "its place was taken by a new process");
    if (!former && !session_room(core, (role_t)hello->role)) {
        msg_t *msg = effects_msg(core->fx, peer, MSG_ERROR);
        msg->error = (msg_error_t){MSG_ERR_FULL, MSG_HELLO, str_of("no room for another worker")};
        return;
    }
    worker_t *worker = new_worker(core, peer, hello);
    if (!worker) return;
    msg_nums_t drop = adopt(core, worker, hello, former ? former->session : 0);
    bool news = !former;
    if (former) {
        core->view.counters.sessions_lost++;
        remove_worker(core, former, "its worker began anew without it");
    }
    not_awaited(core, peer, place, false);
    if (stage_of(core, worker->role)) { /* the others hold nothing that the broker has handed out */
        record_t *record = effects_record(core->fx, REC_WORKER);
        record->instance = peer;
        record->place = place;
        record->role = hello->role;
    }
    welcome(core, worker, hello, drop);
    char name[LOG_QUOTED_MAX];
    effects_log(core->fx, news ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "worker_joined",
                "name=%s session=%" PRIu64 " slots=%u kept=%u dropped=%u pid=%u",
                log_quote(worker->name, name), worker->session, worker->slots, worker->out, drop.count,
                worker->pid);
}

void session_revoke(core_t *core, uint64_t key) {
    for (int i = 0; i < ROLES; i++) {
        for (worker_t *worker = *list_of(core, roles[i]), *next; worker; worker = next) {
            next = worker->next;
            if (worker->key != key) continue;
            msg_t *msg = effects_msg(core->fx, worker->instance, MSG_ERROR);
            msg->error = (msg_error_t){MSG_ERR_SESSION, 0, str_of("the key was revoked")};
            session_end(core, worker, "its key was revoked");
        }
    }
}

void session_heartbeat(core_t *core, worker_t *worker, const msg_heartbeat_t *beat) {
    if (!worker->ready) { /* not with HELLO, which may be an old one that lists nothing yet */
        not_awaited(core, worker->instance, 0, true);
        credits_disowned(core, worker);
    }
    worker->ready = true;
    msg_t *answer = effects_msg(core->fx, worker->instance, MSG_HEARTBEAT);
    answer->heartbeat.session = beat->session;
    answer->heartbeat.seq = beat->seq;
    if (beat->seq <= worker->beat_seq) return; /* repeated or overtaken: its list is out of date */
    worker->beat_seq = beat->seq;
    worker->beat++;
    for (uint32_t i = 0; i < beat->held.count; i++) {
        task_t *task = tasks_find(&core->tasks, beat->held.items[i]);
        if (task && task->worker == worker) task->beat = worker->beat;
    }
    for (task_t *task = worker->tasks, *next; task; task = next) {
        next = task->next;
        bool claimed = task->state == TASK_RUNNING || task->state == TASK_UPLOADING;
        if (!claimed || task->beat == worker->beat) {
            task->missed = 0;
            continue;
        }
        if (++task->missed < 2) continue;
        task_deny(core, worker->instance, worker->session, task->number, task->attempt, DENIED_LOST);
        task_lost(core, task, "its worker no longer lists it");
    }
}

void session_tell_stop(core_t *core) {
    for (int i = 0; i < ROLES; i++) {
        for (worker_t *worker = *list_of(core, roles[i]); worker; worker = worker->next) {
            msg_t *msg = effects_msg(core->fx, worker->instance, MSG_DRAIN);
            msg->drain = (msg_drain_t){.session = worker->session, .mode = 1};
        }
    }
}

static void judge_list(core_t *core, role_t role) {
    for (worker_t *worker = *list_of(core, role), *next; worker; worker = next) {
        next = worker->next;
        if (core->now.ms - worker->heard_ms > PROTOCOL_LOST_MS)
            session_end(core, worker, "nothing was heard from it");
    }
}

void session_judge(core_t *core) {
    if (core->now.ms < core->judge_ms) return;
    for (int i = 0; i < ROLES; i++)
        judge_list(core, roles[i]);
    if (core->rejoined || core->now.ms < core->grace_ms) return;
    while (core->awaited) {
        uint64_t instance = core->awaited->instance;
        if (!session_find(core, instance)) /* else its session is young, and the next broker waits for it */
            effects_record(core->fx, REC_WORKER_GONE)->instance = instance;
        awaited_over(core, &core->awaited);
    }
    rejoin_complete(core);
}
