/* An uploader: claims results, asks for a credit once it has one claimed, and tells how each upload ended. */
#include "tests/sim/sim.h"

void uploader_task(world_t *world, int proc, const letter_t *letter) {
    peer_t *peer = &world->procs[proc].peer;
    const msg_task_t *task = &letter->msg.task;
    item_t *item = peer_item(peer, task->number);
    if (item && item->session == task->session && item->attempt >= task->attempt) return;
    if (peer_had(peer, task)) return;
    if (!item) {
        if (peer->item_count == ITEMS_MAX) {
            world_fail(world, "%s holds more than %d results", world->procs[proc].name, ITEMS_MAX);
            return;
        }
        item = &peer->items[peer->item_count++];
        *item = (item_t){.number = task->number, .phase = PHASE_UNSTARTED, .doc = letter->doc};
    }
    item->session = task->session;
    item->attempt = task->attempt;
    item->claimed = item->returned = false;
    item->call = task->call;
    item->repeat_ms = proc_ms(world, proc);
}

void uploader_message(world_t *world, int proc, const msg_t *msg) {
    peer_t *peer = &world->procs[proc].peer;
    bool denied = msg->type == MSG_DENIED;
    item_t *item = peer_item(peer, denied ? msg->denied.number : msg->ref.number);
    if (!item || item->attempt != (denied ? msg->denied.attempt : msg->ref.attempt)) return;
    if (msg->type == MSG_CLAIMED) {
        item->claimed = true;
    } else if (item->phase == PHASE_STARTED) {
        item->claimed = false; /* its request ends first */
    } else if (msg->type == MSG_DENIED || msg->type == MSG_GONE) {
        peer_forget(peer, item);
    }
}

/* --- requests --- */

static item_t *item_of(peer_t *peer, uint64_t tag) {
    for (uint32_t i = 0; i < peer->item_count; i++)
        if (peer->items[i].tag == tag) return &peer->items[i];
    return NULL;
}

static void ended(world_t *world, int proc, const request_t *request) {
    item_t *item = item_of(&world->procs[proc].peer, request->tag);
    if (!item) return;
    item->phase = PHASE_FINISHED;
    item->tag = 0;
    item->outcome = request->outcome;
    item->status = request->status;
    item->retry_after_ms = request->retry_after_ms;
    item->repeat_ms = proc_ms(world, proc);
}

void uploader_answer(world_t *world, int proc, request_t *request) {
    ended(world, proc, request);
    peer_tick(world, proc);
}

static void begin(world_t *world, int proc, int lease) {
    peer_t *peer = &world->procs[proc].peer;
    for (uint32_t i = 0; i < peer->item_count; i++) {
        item_t *item = &peer->items[i];
        if (!item->claimed || item->phase != PHASE_UNSTARTED || item->returned) continue;
        lease_start(&peer->leases[lease]);
        int request = ac_start(world, proc, lease, item->call, item->doc);
        peer->request[lease] = request;
        if (request < 0) return;
        item->phase = PHASE_STARTED;
        item->credit = peer->leases[lease].credit;
        item->tag = world->requests[request].tag;
        return;
    }
}

static void use_lease(world_t *world, int proc, int i) {
    proc_t *p = &world->procs[proc];
    lease_t *lease = &p->peer.leases[i];
    int64_t now_ms = proc_ms(world, proc);
    if (p->peer.request[i] >= 0) {
        if (!lease_must_abort(lease, now_ms) && lease->state == LEASE_HELD) return;
        request_t aborted = world->requests[p->peer.request[i]];
        ac_close(world, p->peer.request[i]);
        p->peer.request[i] = -1;
        aborted.outcome = OUTCOME_NETWORK;
        aborted.status = 0;
        ended(world, proc, &aborted);
    }
    if (lease->state != LEASE_HELD) return;
    if (p->peer.session && lease_may_start(lease, now_ms) && peer_claimed_waiting(&p->peer) > 0)
        begin(world, proc, i);
    else
        peer_lease_release(world, proc, i);
}

static void want_leases(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    uint32_t waiting = peer_claimed_waiting(peer);
    for (int i = 0; i < peer->lease_count; i++) {
        if (waiting > (uint32_t)i && peer->session)
            lease_want(&peer->leases[i], proc_ms(world, proc));
        else
            lease_unwant(&peer->leases[i]);
    }
}

/* --- messages due --- */

static void send_uploaded(world_t *world, int proc, item_t *item) {
    msg_t msg = {.type = MSG_UPLOADED};
    msg.uploaded = (msg_uploaded_t){.session = item->session,
                                    .number = item->number,
                                    .attempt = item->attempt,
                                    .credit = item->credit,
                                    .call = item->call,
                                    .outcome = item->outcome,
                                    .http_status = item->status,
                                    .retry_after_ms = item->retry_after_ms,
                                    .elapsed_ms = 1,
                                    .reason = str_of("simulated")};
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

static void send_return(world_t *world, int proc, item_t *item) {
    msg_t msg = {.type = MSG_RETURN};
    msg.give_back = (msg_return_t){item->session, item->number, item->attempt, 0};
    item->returned = true;
    peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

static void send_due(world_t *world, int proc, item_t *item) {
    item->repeat_ms = proc_ms(world, proc) + PROTOCOL_REPEAT_MS;
    if (item->returned)
        send_return(world, proc, item);
    else if (item->phase == PHASE_FINISHED)
        send_uploaded(world, proc, item);
    else if (item->phase == PHASE_UNSTARTED && !item->claimed)
        peer_ref(world, proc, MSG_CLAIM, item);
    else
        item->repeat_ms = NEVER;
}

static void drain(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    for (uint32_t i = 0; i < p->peer.item_count && p->alive; i++) {
        item_t *item = &p->peer.items[i];
        bool late = proc_ms(world, proc) >= p->peer.drain_ms;
        if (item->returned || item->phase != PHASE_UNSTARTED || (item->claimed && !late)) continue;
        item->repeat_ms = proc_ms(world, proc) + PROTOCOL_REPEAT_MS;
        send_return(world, proc, item);
    }
    bool held = false;
    for (int i = 0; i < p->peer.lease_count; i++)
        held = held || p->peer.leases[i].state == LEASE_HELD;
    if (p->peer.item_count == 0 && !held) p->peer.bye = true;
}

void uploader_tick(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    peer_t *peer = &p->peer;
    for (int i = 0; i < peer->lease_count && p->alive; i++)
        use_lease(world, proc, i);
    if (p->draining && peer->session) drain(world, proc);
    for (uint32_t i = 0; i < peer->item_count && peer->session && p->alive; i++)
        if (proc_ms(world, proc) >= peer->items[i].repeat_ms) send_due(world, proc, &peer->items[i]);
    if (p->alive) want_leases(world, proc);
}
