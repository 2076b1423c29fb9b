/* The fetcher: its own code (fetcher/poll_ac.c, fetcher/to_broker.c, common/ac_seat.c) in the loop that
 * fetcher/fetcher.c has around it. */
#include <stdlib.h>

#include "common/ac_seat.h"
#include "fetcher/inbox.h"
#include "fetcher/poll_ac.h"
#include "fetcher/to_broker.h"
#include "tests/sim/sim.h"

struct fetcher_parts_t {
    ac_seat_t *seat;
    inbox_t *inbox;
    window_t *window;
    to_broker_t *to_broker;
    poll_ac_t *poll_ac;
    uint64_t credit_seq;
    bool broker_drains;
};

void fetcher_start(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    fetcher_parts_t *self = calloc(1, sizeof *self);
    p->peer.fetcher = self;
    if (!self || inbox_open("", &self->inbox) != 0) abort();
    self->seat = ac_seat_new(&p->peer.door, &p->peer.link, CREDIT_FETCH, &self->credit_seq);
    (void)window_open("", &self->window);
    self->to_broker = to_broker_new(self->inbox, self->window, p->instance);
    if (!self->seat || !self->to_broker || to_broker_load(self->to_broker) != 0) abort();
    self->poll_ac = poll_ac_new(self->seat, &p->peer.door, &p->peer.link, self->to_broker, NULL);
    if (!self->poll_ac) abort();
}

void fetcher_end(fetcher_parts_t **self) {
    if (!*self) return;
    ac_seat_destroy(&(*self)->seat);
    poll_ac_destroy(&(*self)->poll_ac);
    to_broker_destroy(&(*self)->to_broker);
    inbox_close(&(*self)->inbox);
    window_close(&(*self)->window);
    free(*self);
    *self = NULL;
}

uint64_t fetcher_credit(const fetcher_parts_t *self) {
    return ac_seat_credit(self->seat);
}

bool fetcher_idle(const fetcher_parts_t *self) {
    return to_broker_count(self->to_broker) == 0;
}

void fetcher_welcome(world_t *world, int proc, const msg_welcome_t *welcome) {
    fetcher_parts_t *self = world->procs[proc].peer.fetcher;
    self->broker_drains = false;
    ac_seat_welcome(self->seat, welcome->credit, proc_ms(world, proc));
    to_broker_welcome(self->to_broker, proc_ms(world, proc));
}

void fetcher_message(world_t *world, int proc, const msg_t *msg) {
    fetcher_parts_t *self = world->procs[proc].peer.fetcher;
    switch (msg->type) {
    case MSG_ACCEPTED:
        ac_accepted(world, &msg->accepted);
        to_broker_accepted(self->to_broker, &msg->accepted);
        break;
    case MSG_GRANT:
        if (!ac_seat_granted(self->seat, &msg->grant))
            ac_seat_decline(&world->procs[proc].peer.link, &msg->grant,
                            ac_seat_used(self->seat, msg->grant.credit));
        break;
    case MSG_REVOKE:
        (void)ac_seat_revoked(self->seat, &msg->revoke);
        break;
    case MSG_DRAIN:
        self->broker_drains = msg->drain.mode != 0;
        break;
    default:
        break;
    }
}

static bool drained(const world_t *world, int proc) {
    const proc_t *p = &world->procs[proc];
    const fetcher_parts_t *self = p->peer.fetcher;
    if (!p->draining) return false;
    if (proc_ms(world, proc) >= p->peer.drain_ms) {
        ac_seat_abort(self->seat, "the drain timeout is up");
        ac_seat_release(self->seat);
        return true;
    }
    return poll_ac_idle(self->poll_ac) &&
           (to_broker_count(self->to_broker) == 0 || to_broker_saved(self->to_broker));
}

void fetcher_tick(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    fetcher_parts_t *self = p->peer.fetcher;
    int64_t now_ms = proc_ms(world, proc);
    ac_seat_turn(self->seat, now_ms);
    poll_ac_stop(self->poll_ac, p->draining || self->broker_drains);
    poll_ac_turn(self->poll_ac, now_ms);
    ac_seat_turn(self->seat, now_ms);
    to_broker_turn(self->to_broker, &p->peer.link, !ac_seat_busy(self->seat), now_ms);
    p->peer.bye = drained(world, proc);
}

int64_t fetcher_due(const world_t *world, int proc) {
    const fetcher_parts_t *self = world->procs[proc].peer.fetcher;
    int64_t seat = ac_seat_due(self->seat, proc_ms(world, proc));
    int64_t send = to_broker_due(self->to_broker, world->procs[proc].peer.session != 0);
    return seat < send ? seat : send;
}
