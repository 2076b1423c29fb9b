/* What every worker does: the session dialogue, heartbeats, credits, and the list of what it holds. */
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
    *item = peer->items[--peer->item_count];
}

uint32_t peer_claimed_waiting(const peer_t *peer) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < peer->item_count; i++)
        n += peer->items[i].claimed && peer->items[i].phase == PHASE_UNSTARTED && !peer->items[i].returned;
    return n;
}

/* --- session --- */

static void say_hello(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    peer_t *peer = &p->peer;
    msg_held_t held[ITEMS_MAX];
    for (uint32_t i = 0; i < peer->item_count; i++)
        held[i] = (msg_held_t){peer->items[i].session, peer->items[i].number, peer->items[i].attempt,
                               peer->items[i].phase};
    uint64_t credit = 0;
    for (int i = 0; i < peer->lease_count && credit == 0; i++)
        if (peer->leases[i].state == LEASE_HELD && !peer->leases[i].lost) credit = peer->leases[i].credit;
    msg_t msg = {.type = MSG_HELLO};
    msg.hello = (msg_hello_t){.role = (uint8_t)p->kind,
                              .instance = p->instance,
                              .place = p->place,
                              .name = str_of(p->name),
                              .program_version = str_of("sim"),
                              .pid = (uint32_t)proc,
                              .slots = p->slots,
                              .seq = ++peer->hello_seq,
                              .credit = credit,
                              .held = {peer->item_count, held}};
    peer->session = 0;
    int64_t now_ms = proc_ms(world, proc);
    peer->hello_ms = peer->heard_ms = now_ms;
    peer->hello_ms += PROTOCOL_REPEAT_MS;
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

static void beat(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    uint64_t held[ITEMS_MAX];
    for (uint32_t i = 0; i < peer->item_count; i++)
        held[i] = peer->items[i].number;
    msg_t msg = {.type = MSG_HEARTBEAT};
    msg.heartbeat = (msg_heartbeat_t){peer->session, ++peer->beat_seq, {peer->item_count, held}};
    peer->beat_ms = proc_ms(world, proc) + PROTOCOL_HEARTBEAT_MS;
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

static void welcomed(world_t *world, int proc, const msg_welcome_t *welcome) {
    peer_t *peer = &world->procs[proc].peer;
    if (welcome->seq != peer->hello_seq || welcome->session == peer->session) return;
    peer->session = welcome->session;
    for (uint32_t i = 0; i < welcome->drop.count; i++) {
        item_t *item = peer_item(peer, welcome->drop.items[i]);
        if (item && item->phase == PHASE_STARTED && world->procs[proc].kind == PROC_UPLOADER)
            continue; /* its request ends first */
        if (item) peer_forget(peer, item);
    }
    for (uint32_t i = 0; i < peer->item_count; i++) {
        peer->items[i].session = welcome->session;
        peer->items[i].repeat_ms = 0;
        if (peer->items[i].phase == PHASE_UNSTARTED) peer->items[i].claimed = false;
    }
    for (int i = 0; i < peer->lease_count; i++)
        lease_welcome(&peer->leases[i], welcome->credit, proc_ms(world, proc));
    beat(world, proc);
}

void peer_start(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    memset(&p->peer, 0, sizeof p->peer);
    p->peer.request[0] = p->peer.request[1] = -1;
    if (p->kind == PROC_FETCHER) fetcher_start(world, proc);
    if (p->kind == PROC_UPLOADER) {
        p->peer.lease_count = world->plan.upload_leases;
        for (int i = 0; i < p->peer.lease_count; i++)
            lease_init(&p->peer.leases[i], CREDIT_UPLOAD, &p->peer.lease_seq);
    }
    say_hello(world, proc);
    peer_tick(world, proc);
}

void peer_reconnected(world_t *world, int proc) {
    say_hello(world, proc);
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

/* --- credits --- */

void peer_lease_release(world_t *world, int proc, int lease) {
    peer_t *peer = &world->procs[proc].peer;
    msg_t msg;
    if (peer->leases[lease].lost || !peer->session) {
        if (peer->leases[lease].lost || lease_must_abort(&peer->leases[lease], proc_ms(world, proc)))
            lease_drop(&peer->leases[lease]);
        return;
    }
    lease_release(&peer->leases[lease], peer->session, &msg);
    uint32_t at = peer->released_count++ % 8;
    peer->released[at].credit = msg.release.credit;
    peer->released[at].used = msg.release.used;
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

static void granted(world_t *world, int proc, const msg_grant_t *grant) {
    peer_t *peer = &world->procs[proc].peer;
    for (int i = 0; i < peer->lease_count; i++)
        if (lease_granted(&peer->leases[i], grant)) return;
    msg_t msg = {.type = MSG_RELEASE};
    msg.release = (msg_release_t){.session = peer->session, .credit = grant->credit};
    for (int i = 0; i < 8; i++)
        if (peer->released[i].credit == grant->credit) msg.release.used = peer->released[i].used;
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

static void leases_tick(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    msg_t msg;
    for (int i = 0; i < peer->lease_count; i++)
        while (lease_due(&peer->leases[i], proc_ms(world, proc), peer->session, &msg))
            peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

/* --- messages and time --- */

static uint64_t session_of(const msg_t *msg) {
    switch (msg->type) {
    case MSG_HEARTBEAT:
        return msg->heartbeat.session;
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
    case MSG_TASK:
        return msg->task.session;
    default:
        return 0;
    }
}

static void dispatch(world_t *world, int proc, const letter_t *letter) {
    proc_t *p = &world->procs[proc];
    const msg_t *msg = &letter->msg;
    if (msg->type == MSG_GRANT)
        granted(world, proc, &msg->grant);
    else if (msg->type == MSG_REVOKE)
        for (int i = 0; i < p->peer.lease_count; i++)
            (void)lease_revoked(&p->peer.leases[i], &msg->revoke);
    else if (msg->type == MSG_TASK && p->kind == PROC_EXECUTOR)
        executor_task(world, proc, letter);
    else if (msg->type == MSG_TASK)
        uploader_task(world, proc, letter);
    else if (p->kind == PROC_EXECUTOR)
        executor_message(world, proc, msg);
    else if (p->kind == PROC_UPLOADER)
        uploader_message(world, proc, msg);
}

void peer_receive(world_t *world, int proc, const letter_t *letter) {
    peer_t *peer = &world->procs[proc].peer;
    const msg_t *msg = &letter->msg;
    peer->heard_ms = proc_ms(world, proc);
    if (msg->type == MSG_WELCOME)
        welcomed(world, proc, &msg->welcome);
    else if (msg->type == MSG_ERROR &&
             (msg->error.code == MSG_ERR_SESSION || msg->error.code == MSG_ERR_FULL)) {
        if (peer->session) say_hello(world, proc);
    } else if (msg->type == MSG_ERROR) {
        world_fail(world, "%s was answered ERROR %u to %s: %.*s", world->procs[proc].name, msg->error.code,
                   msg_type_name(msg->error.type), (int)msg->error.text.len, msg->error.text.ptr);
    } else if (msg->type == MSG_ACCEPTED)
        fetcher_accepted(world, proc, &msg->accepted);
    else if (session_of(msg) != 0 && session_of(msg) == peer->session)
        dispatch(world, proc, letter);
    if (world->procs[proc].alive) peer_tick(world, proc);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t peer_due(const world_t *world, int proc) {
    const proc_t *p = &world->procs[proc];
    const peer_t *peer = &p->peer;
    int64_t due =
        peer->session ? least(peer->beat_ms, peer->heard_ms + PROTOCOL_LOST_MS + 1) : peer->hello_ms;
    for (int i = 0; i < peer->lease_count; i++)
        if (peer->session || peer->leases[i].state == LEASE_HELD)
            due = least(due, lease_next_ms(&peer->leases[i]));
    for (uint32_t i = 0; i < peer->item_count && peer->session; i++)
        if (peer->items[i].repeat_ms > 0) due = least(due, peer->items[i].repeat_ms);
    if (p->kind == PROC_FETCHER) due = least(due, fetcher_due(world, proc));
    if (p->draining) due = least(due, peer->drain_ms);
    return due;
}

static void say_bye(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    msg_t msg = {.type = MSG_BYE};
    msg.bye.session = peer->session;
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
    proc_exit(world, proc);
}

void peer_tick(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    peer_t *peer = &p->peer;
    int64_t now_ms = proc_ms(world, proc);
    if (!p->alive || world->failed) return;
    if (peer->session ? now_ms - peer->heard_ms > PROTOCOL_LOST_MS : now_ms >= peer->hello_ms)
        say_hello(world, proc);
    else if (peer->session && now_ms >= peer->beat_ms)
        beat(world, proc);
    if (p->kind == PROC_FETCHER)
        fetcher_tick(world, proc);
    else if (p->kind == PROC_EXECUTOR)
        executor_tick(world, proc);
    else
        uploader_tick(world, proc);
    leases_tick(world, proc);
    if (peer->bye && p->alive && peer->session)
        say_bye(world, proc);
    else if (p->alive)
        proc_timer(world, proc, peer_due(world, proc));
}
