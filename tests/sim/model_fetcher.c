/* The fetcher: polls AC under a credit, and keeps each task until the broker has it on disk. */
#include <string.h>

#include "tests/sim/sim.h"

#define WINDOW 64 /* no fetch is sent that is this far ahead of the oldest unanswered one */

void fetcher_start(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    peer->lease_count = 1;
    lease_init(&peer->leases[0], CREDIT_FETCH, &peer->lease_seq);
    for (uint32_t i = 0; i < world->inbox_count && peer->fetch_count < FETCHES_MAX; i++)
        peer->fetches[peer->fetch_count++] = world->inbox[i];
    for (uint32_t i = 0; i < peer->fetch_count; i++)
        peer->fetches[i].repeat_ms = 0;
}

static uint64_t oldest_seq(const world_t *world, int proc) {
    const peer_t *peer = &world->procs[proc].peer;
    uint64_t oldest = peer->fetch_seq + 1;
    for (uint32_t i = 0; i < peer->fetch_count; i++)
        if (peer->fetches[i].instance == world->procs[proc].instance && peer->fetches[i].seq < oldest)
            oldest = peer->fetches[i].seq;
    return oldest;
}

static bool has_window(const world_t *world, int proc) {
    const peer_t *peer = &world->procs[proc].peer;
    return peer->fetch_count < WINDOW && peer->fetch_seq + 1 - oldest_seq(world, proc) < WINDOW;
}

static void inbox_remove(world_t *world, uint64_t instance, uint64_t seq) {
    for (uint32_t i = 0; i < world->inbox_count; i++) {
        if (world->inbox[i].instance != instance || world->inbox[i].seq != seq) continue;
        world->inbox[i] = world->inbox[--world->inbox_count];
        return;
    }
}

static void save(world_t *world, fetch_t *fetch) {
    if (world->inbox_count == INBOX_MAX) {
        world_fail(world, "the inbox is full");
        return;
    }
    fetch->saved = true;
    world->inbox[world->inbox_count++] = *fetch;
    TRACE(world, "inbox  keeps ticket %u", fetch->ticket);
}

static void send_fetched(world_t *world, int proc, fetch_t *fetch) {
    const ticket_t *ticket = &world->tickets[fetch->ticket];
    char id[16];
    (void)snprintf(id, sizeof id, "id-%u", ticket->id);
    msg_t msg = {.type = MSG_FETCHED};
    msg.fetched = (msg_fetched_t){.instance = fetch->instance,
                                  .seq = fetch->seq,
                                  .credit = fetch->credit,
                                  .task_id = str_of(id),
                                  .flags = method_idempotent(ticket->method) ? TASK_IDEMPOTENT : 0,
                                  .method = str_of(method_name(ticket->method)),
                                  .host = str_of("tool.invalid"),
                                  .expiry_ms = fetch->fetched_wall_ms + ticket->lifetime_ms,
                                  .fetched_ms = fetch->fetched_wall_ms,
                                  .config = str_of(""),
                                  .error = str_of("")};
    if (ticket->lifetime_ms % 20 == 3) { /* AC sets something, now this way, now that */
        msg.fetched.flags |= TASK_CONFIG;
        msg.fetched.config =
            str_of(ticket->id % 2 ? "{\"debugMode\":true}" : "{\"debugMode\":false,\"poolSize\":0}");
    }
    if (ticket->lifetime_ms % 50 == 7) { /* AC sent something that is no task */
        msg.fetched.flags |= TASK_INVALID;
        msg.fetched.error = str_of("Agent Side Error: invalid");
    }
    if (ticket_is_logs(ticket)) msg.fetched.flags |= TASK_LOGS;
    fetch->repeat_ms = proc_ms(world, proc) + PROTOCOL_REPEAT_MS;
    peer_send(world, proc, SOCK_TASKS_IN, &msg, (doc_t){DOC_TASK, fetch->ticket});
}

/* The broker took it for a task it holds already: one of the same taskId has to have been taken in. */
static void book_accepted(world_t *world, uint32_t index) {
    ticket_t *ticket = &world->tickets[index];
    if (ticket->taken > 0) return;
    ticket->held_already = true;
    for (uint32_t i = 0; i < world->ticket_count; i++)
        if (world->tickets[i].id == ticket->id && world->tickets[i].taken > 0) return;
    world_fail(world, "lost: ticket %u was ACCEPTED, and is no task", index);
}

void fetcher_accepted(world_t *world, int proc, const msg_accepted_t *accepted) {
    peer_t *peer = &world->procs[proc].peer;
    for (uint32_t i = 0; i < peer->fetch_count; i++) {
        if (peer->fetches[i].instance != accepted->instance || peer->fetches[i].seq != accepted->seq)
            continue;
        book_accepted(world, peer->fetches[i].ticket);
        inbox_remove(world, accepted->instance, accepted->seq);
        peer->fetches[i] = peer->fetches[--peer->fetch_count];
        return;
    }
}

static void report(world_t *world, int proc, const request_t *request) {
    peer_t *peer = &world->procs[proc].peer;
    msg_t msg = {.type = MSG_REPORT};
    msg.report = (msg_report_t){.session = peer->session,
                                .credit = peer->leases[0].credit,
                                .call = CALL_GET_TASK,
                                .outcome = request->outcome,
                                .http_status = request->status,
                                .retry_after_ms = request->retry_after_ms,
                                .elapsed_ms = (uint32_t)((world->now_us - request->started_us) / 1000),
                                .reason = str_of("simulated")};
    if (peer->session) peer_send(world, proc, SOCK_CONTROL, &msg, (doc_t){0});
}

void fetcher_answer(world_t *world, int proc, request_t *request) {
    peer_t *peer = &world->procs[proc].peer;
    int64_t now_ms = proc_ms(world, proc);
    if (request->found) {
        fetch_t *fetch = &peer->fetches[peer->fetch_count++];
        *fetch = (fetch_t){.instance = world->procs[proc].instance,
                           .seq = ++peer->fetch_seq,
                           .credit = peer->leases[0].credit,
                           .ticket = request->doc.ticket,
                           .fetched_wall_ms = WALL_START_MS + world->now_us / 1000,
                           .inbox_ms = now_ms + FETCH_INBOX_MS};
        send_fetched(world, proc, fetch);
    } else {
        report(world, proc, request);
        if (peer->leases[0].state == LEASE_HELD && !peer->leases[0].lost)
            peer_lease_release(world, proc, 0); /* it has to wait */
    }
    peer_tick(world, proc);
}

static void poll_ac(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    lease_t *lease = &p->peer.leases[0];
    int64_t now_ms = proc_ms(world, proc);
    if (p->peer.request[0] >= 0) {
        if (!lease_must_abort(lease, now_ms) && lease->state == LEASE_HELD) return;
        request_t aborted = world->requests[p->peer.request[0]];
        ac_close(world, p->peer.request[0]);
        p->peer.request[0] = -1;
        aborted.outcome = OUTCOME_NETWORK;
        aborted.status = 0;
        report(world, proc, &aborted);
    }
    bool may = p->peer.session && !p->draining && has_window(world, proc);
    if (lease->state == LEASE_HELD && may && lease_may_start(lease, now_ms)) {
        lease_start(lease);
        p->peer.request[0] = ac_start(world, proc, 0, CALL_GET_TASK, (doc_t){0});
    } else if (lease->state == LEASE_HELD) {
        peer_lease_release(world, proc, 0);
    }
    if (may)
        lease_want(lease, now_ms);
    else
        lease_unwant(lease);
}

void fetcher_tick(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    int64_t now_ms = proc_ms(world, proc);
    for (uint32_t i = 0; i < peer->fetch_count; i++) {
        fetch_t *fetch = &peer->fetches[i];
        if (!fetch->saved && now_ms >= fetch->inbox_ms) save(world, fetch);
        if (now_ms >= fetch->repeat_ms) send_fetched(world, proc, fetch);
        if (!world->procs[proc].alive) return;
    }
    poll_ac(world, proc);
    if (world->procs[proc].draining && peer->fetch_count == 0 && peer->leases[0].state != LEASE_HELD)
        peer->bye = true;
}

int64_t fetcher_due(const world_t *world, int proc) {
    const peer_t *peer = &world->procs[proc].peer;
    int64_t due = NEVER;
    for (uint32_t i = 0; i < peer->fetch_count; i++) {
        const fetch_t *fetch = &peer->fetches[i];
        if (fetch->repeat_ms < due) due = fetch->repeat_ms;
        if (!fetch->saved && fetch->inbox_ms < due) due = fetch->inbox_ms;
    }
    return due;
}
