/* What every worker does: the session dialogue, heartbeats, the list of what it holds. */
#include <string.h>

#include "tests/sim/sim.h"

void peer_send(world_t *world, int proc, sock_t sock, const msg_t *msg, doc_t doc) {
    net_send(world, proc, BROKER, sock, msg, doc);
}

void peer_ref(world_t *world, int proc, msg_type_t type, const item_t *item) {
    msg_t msg = {.type = type};
    msg.ref = (msg_ref_t){item->session, item->number, item->attempt};
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

item_t *peer_item(peer_t *peer, uint64_t number) {
    for (uint32_t i = 0; i < peer->item_count; i++)
        if (peer->items[i].number == number) return &peer->items[i];
    return NULL;
}

bool peer_had(const peer_t *peer, const msg_task_t *task) {
    for (uint32_t i = 0; i < PAST_MAX && i < peer->past_count; i++)
        if (peer->past[i].session == task->session && peer->past[i].number == task->number &&
            peer->past[i].attempt >= task->attempt)
            return true;
    return false;
}

void peer_forget(peer_t *peer, item_t *item) {
    uint32_t at = peer->past_count++ % PAST_MAX;
    peer->past[at].session = item->session;
    peer->past[at].number = item->number;
    peer->past[at].attempt = item->attempt;
    if (item->run) executor_drop_run(peer, item);
    *item = peer->items[--peer->item_count];
}

/* --- session --- */

static uint32_t list_held(const world_t *world, int proc, msg_held_t *held, uint32_t max) {
    const proc_t *p = &world->procs[proc];
    const peer_t *peer = &p->peer;
    if (p->kind == PROC_UPLOADER) return uploader_held(peer->uploader, held, max);
    for (uint32_t i = 0; i < peer->item_count; i++)
        held[i] = (msg_held_t){peer->items[i].session, peer->items[i].number, peer->items[i].attempt,
                               peer->items[i].phase};
    return peer->item_count;
}

static uint64_t credit_of(const proc_t *p) {
    if (p->kind == PROC_FETCHER) return fetcher_credit(p->peer.fetcher);
    return p->kind == PROC_UPLOADER ? uploader_credit(p->peer.uploader) : 0;
}

/* The next HELLO begins another dialogue; it is said now, and until it is answered. */
static void end_session(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    world->books.uploader_losses += peer->session && peer->uploader;
    peer->session = 0;
    peer->hello_seq++;
    peer->hello_ms = proc_ms(world, proc);
}

static void say_hello(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    peer_t *peer = &p->peer;
    msg_held_t held[ITEMS_MAX];
    msg_t msg = {.type = MSG_HELLO};
    msg.hello = (msg_hello_t){.role = (uint8_t)p->kind,
                              .instance = p->instance,
                              .place = p->place,
                              .name = str_of(p->name),
                              .program_version = str_of("sim"),
                              .pid = (uint32_t)proc,
                              .slots = p->slots,
                              .seq = peer->hello_seq,
                              .credit = credit_of(p),
                              .held = {list_held(world, proc, held, ITEMS_MAX), held}};
    peer->hello_ms = proc_ms(world, proc) + PROTOCOL_REPEAT_MS;
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

static void beat(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    msg_held_t held[ITEMS_MAX];
    uint64_t numbers[ITEMS_MAX];
    uint32_t count = list_held(world, proc, held, ITEMS_MAX);
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = held[i].number;
    msg_t msg = {.type = MSG_HEARTBEAT};
    msg.heartbeat = (msg_heartbeat_t){peer->session, ++peer->beat_seq, {count, numbers}};
    peer->beat_ms = proc_ms(world, proc) + PROTOCOL_HEARTBEAT_MS;
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

static void welcomed(world_t *world, int proc, const msg_welcome_t *welcome) {
    peer_t *peer = &world->procs[proc].peer;
    if (welcome->seq != peer->hello_seq || welcome->session == peer->session) return;
    world->books.uploader_losses += peer->session && peer->uploader;
    peer->session = welcome->session;
    peer->heard_ms = proc_ms(world, proc);
    if (peer->fetcher)
        fetcher_welcome(world, proc, welcome);
    else if (peer->uploader)
        uploader_welcome(world, proc, welcome);
    else
        executor_welcome(peer, welcome);
    beat(world, proc);
}

void peer_start(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    memset(&p->peer, 0, sizeof p->peer);
    p->peer.link = (link_t){world, proc};
    p->peer.door = (ac_door_t){world, proc};
    p->peer.hello_seq = 1;
    p->peer.hello_ms = proc_ms(world, proc);
    stand_in_enter(world, proc);
    if (p->kind == PROC_FETCHER) fetcher_start(world, proc);
    if (p->kind == PROC_UPLOADER) uploader_start(world, proc);
    if (p->kind == PROC_EXECUTOR) executor_start(world, proc);
    peer_tick(world, proc);
}

void peer_end(world_t *world, int proc) {
    stand_in_enter(world, proc);
    fetcher_end(&world->procs[proc].peer.fetcher);
    uploader_end(&world->procs[proc].peer.uploader);
    executor_end(&world->procs[proc].peer);
}

void peer_reconnected(world_t *world, int proc) {
    if (world->procs[proc].peer.session)
        end_session(world, proc);
    else
        world->procs[proc].peer.hello_ms = proc_ms(world, proc);
    peer_tick(world, proc);
}

void peer_drain(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    if (!p->alive || p->stopped || p->draining) return;
    TRACE(world, "DRAIN  %s", p->name);
    p->draining = true;
    p->peer.drain_ms = proc_ms(world, proc) + DRAIN_LIMIT_MS;
    peer_tick(world, proc);
}

/* --- messages and time --- */

static uint64_t session_of(const msg_t *msg) {
    switch (msg->type) {
    case MSG_HEARTBEAT:
        return msg->heartbeat.session;
    case MSG_CONFIG:
        return msg->config.session;
    case MSG_DRAIN:
        return msg->drain.session;
    case MSG_GRANT:
        return msg->grant.session;
    case MSG_REVOKE:
        return msg->revoke.session;
    case MSG_CLAIMED:
    case MSG_STORED:
    case MSG_GONE:
        return msg->ref.session;
    case MSG_DENIED:
        return msg->denied.session;
    case MSG_CREDIT:
        return msg->credit.session;
    case MSG_ABORT:
        return msg->abort.session;
    case MSG_TASK:
        return msg->task.session;
    default:
        return 0;
    }
}

static void dispatch(world_t *world, int proc, const letter_t *letter) {
    proc_t *p = &world->procs[proc];
    const msg_t *msg = &letter->msg;
    if (p->kind == PROC_FETCHER)
        fetcher_message(world, proc, msg);
    else if (p->kind == PROC_EXECUTOR && msg->type == MSG_TASK)
        executor_task(world, proc, letter);
    else if (p->kind == PROC_EXECUTOR)
        executor_message(world, proc, msg);
    else if (msg->type == MSG_TASK)
        uploader_task(world, proc, letter);
    else
        uploader_message(world, proc, msg);
}

static void take_error(world_t *world, int proc, const msg_error_t *error) {
    if (error->code == MSG_ERR_SESSION) {
        if (world->procs[proc].peer.session) end_session(world, proc);
    } else if (error->code != MSG_ERR_FULL && error->code != MSG_ERR_BUSY) {
        world_fail(world, "%s was answered ERROR %u to %s: %.*s", world->procs[proc].name, error->code,
                   msg_type_name(error->type), (int)error->text.len, error->text.ptr);
    }
}

void peer_receive(world_t *world, int proc, const letter_t *letter) {
    peer_t *peer = &world->procs[proc].peer;
    const msg_t *msg = &letter->msg;
    uint64_t session = session_of(msg);
    stand_in_enter(world, proc);
    if (msg->type == MSG_WELCOME) {
        welcomed(world, proc, &msg->welcome);
    } else if (msg->type == MSG_ERROR) {
        take_error(world, proc, &msg->error);
    } else if (peer->session && (session == peer->session || msg->type == MSG_ACCEPTED)) {
        peer->heard_ms = proc_ms(world, proc);
        dispatch(world, proc, letter);
    }
    peer_tick(world, proc);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t peer_due(const world_t *world, int proc) {
    const proc_t *p = &world->procs[proc];
    const peer_t *peer = &p->peer;
    int64_t due =
        peer->session ? least(peer->beat_ms, peer->heard_ms + PROTOCOL_LOST_MS + 1) : peer->hello_ms;
    if (p->kind == PROC_FETCHER) due = least(due, fetcher_due(world, proc));
    if (p->kind == PROC_UPLOADER) due = least(due, uploader_due(world, proc));
    if (p->kind == PROC_EXECUTOR) due = least(due, executor_due(world, proc));
    for (uint32_t i = 0; i < peer->item_count && peer->session; i++)
        if (peer->items[i].repeat_ms > 0) due = least(due, peer->items[i].repeat_ms);
    if (p->draining) {
        bool over = proc_ms(world, proc) >= peer->drain_ms;
        due = least(due, peer->drain_ms + (over ? PROTOCOL_LOST_MS : 0));
    }
    return due;
}

static void say_bye(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    msg_t msg = {.type = MSG_BYE};
    msg.bye.session = peer->session;
    if (peer->session) peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
    if (proc_runs(world, proc)) proc_exit(world, proc);
}

void peer_tick(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    peer_t *peer = &p->peer;
    if (!proc_runs(world, proc) || world->failed) return;
    stand_in_enter(world, proc);
    int64_t now_ms = proc_ms(world, proc);
    if (peer->session && now_ms - peer->heard_ms > PROTOCOL_LOST_MS) end_session(world, proc);
    if (!peer->session && now_ms >= peer->hello_ms)
        say_hello(world, proc);
    else if (peer->session && now_ms >= peer->beat_ms)
        beat(world, proc);
    if (p->kind == PROC_FETCHER)
        fetcher_tick(world, proc);
    else if (p->kind == PROC_EXECUTOR)
        executor_tick(world, proc);
    else
        uploader_tick(world, proc);
    if (!proc_runs(world, proc)) return;
    if (peer->bye)
        say_bye(world, proc);
    else
        proc_timer(world, proc, peer_due(world, proc));
}
