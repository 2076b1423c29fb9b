/* Processes: starts, crashes, stops, and the faults that a schedule deals out. */
#include <string.h>

#include "tests/sim/sim.h"

#define WINDOW_AT_RISK 1     /* with the window: one that the fetcher was just reading */
#define FETCH_AT_RISK  2     /* tasks that may be with the fetcher alone */
#define FETCH_INBOX_US 60000 /* and for how long */

static const char *const kind_names[] = {"broker", "fetch", "exec", "upload"};

static void restart_due(world_t *world, sim_event_t *event) {
    proc_t *p = &world->procs[event->proc];
    if (!p->alive && event->value == p->life) proc_start(world, event->proc);
}

void proc_restart(world_t *world, int proc, int64_t delay_us) {
    world_after(world, delay_us, proc, restart_due, world->procs[proc].life);
}

static void reconnected(world_t *world, sim_event_t *event) {
    if (world->procs[BROKER].alive) peer_reconnected(world, event->proc);
}

/* The peers of a restarted broker notice the new connection, or only its silence. */
static void tell_peers(world_t *world) {
    for (int i = 1; i < world->proc_count; i++) {
        if (!world->procs[i].alive || chance(world, 300000)) continue;
        sim_event_t *event = world_after(world, (int64_t)rnd(world, 400000), i, reconnected, 0);
        if (event) event->life = world->procs[i].life;
    }
}

void proc_start(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    p->alive = true;
    p->stopped = p->draining = p->doomed = p->timer_late = false;
    p->life++;
    p->started_us = world->now_us;
    p->instance = (1 + rnd(world, UINT32_MAX)) << 8 | (uint64_t)proc;
    p->waiting = NULL;
    p->waiting_end = &p->waiting;
    p->sends_left = -1;
    TRACE(world, "START  %s life=%u", p->name, p->life);
    if (proc == BROKER) {
        if (broker_start(world) != 0) world_fail(world, "the broker did not start");
        tell_peers(world);
    } else {
        peer_start(world, proc);
    }
}

static void release_waiting(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    sim_event_t *event = p->waiting;
    p->waiting = NULL;
    p->waiting_end = &p->waiting;
    while (event) {
        sim_event_t *next = event->next;
        event->next = NULL;
        (void)heap_put(&world->events, &event->node, world->now_us, ++world->order, event);
        event = next;
    }
    if (p->timer_late) proc_timer_late(world, proc); /* after what has come meanwhile */
    p->timer_late = false;
}

static bool in_inbox(const world_t *world, const ticket_t *ticket) {
    for (uint32_t i = 0; i < world->inbox_count; i++)
        if (world->inbox[i].instance == ticket->fetch_instance && world->inbox[i].seq == ticket->fetch_seq)
            return true;
    return false;
}

/* Tasks that only the fetcher's memory had: they are AC's loss that no agent can prevent, and few. */
static void book_at_risk(world_t *world, const proc_t *p) {
    unsigned count = 0;
    for (uint32_t i = 0; i < world->ticket_count; i++) {
        ticket_t *ticket = &world->tickets[i];
        if (!ticket->read || ticket->taken > 0 || ticket->held_already || ticket->at_risk ||
            in_inbox(world, ticket) || stand_in_window_has(world, i))
            continue;
        ticket->at_risk = true;
        count++;
        int64_t since_us = ticket->read_us > p->cont_us ? ticket->read_us : p->cont_us;
        if (world->disk_full_us > since_us)
            since_us = world->disk_full_us + SECOND; /* it tries each second */
        if (!p->stopped && world->now_us - since_us > FETCH_INBOX_US)
            world_fail(world, "lost: ticket %u was with the fetcher for %.3f s, and not in its inbox", i,
                       (double)(world->now_us - ticket->read_us) / 1e6);
    }
    if (count > (world->has_window ? WINDOW_AT_RISK : FETCH_AT_RISK))
        world_fail(world, "bound: %u tasks were with the fetcher alone when it died", count);
}

static void die(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    p->alive = false;
    p->died_us = world->now_us;
    p->pipe_us = world->now_us + (int64_t)rnd(world, chance(world, 500000) ? 1 : 20000);
    if (proc == BROKER) broker_crash(world);
    if (p->kind == PROC_FETCHER) book_at_risk(world, p);
    world->books.uploader_losses += p->kind == PROC_UPLOADER;
    ac_close_all(world, proc);
    if (proc != BROKER) peer_end(world, proc);
    p->stopped = p->doomed = p->timer_late = false;
    proc_timer_stop(world, proc);
    release_waiting(world, proc);
}

void proc_kill(world_t *world, int proc, const char *why) {
    proc_t *p = &world->procs[proc];
    if (!p->alive) return;
    TRACE(world, "CRASH  %s %s", p->name, why);
    world->books.crashes++;
    die(world, proc);
}

void proc_exit(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    if (!p->alive) return;
    TRACE(world, "EXIT   %s", p->name);
    die(world, proc);
    p->pipe_us = NEVER; /* linger: what it has sent still goes out */
    proc_restart(world, proc, (int64_t)(100000 + rnd(world, SECOND)));
}

void proc_tick(world_t *world, int proc) {
    if (proc == BROKER)
        broker_tick(world);
    else
        peer_tick(world, proc);
}

/* --- faults --- */

static void cont(world_t *world, sim_event_t *event) {
    proc_t *p = &world->procs[event->value >> 32];
    if (!p->alive || !p->stopped || p->life != (uint32_t)event->value) return;
    TRACE(world, "CONT   %s", p->name);
    p->stopped = false;
    p->cont_us = world->now_us;
    release_waiting(world, p->index);
}

static void stop(world_t *world, int proc, int64_t for_us) {
    proc_t *p = &world->procs[proc];
    if (!p->alive || p->stopped) return;
    TRACE(world, "STOP   %s for %.3f s", p->name, (double)for_us / 1e6);
    world->books.stops++;
    p->stopped = true;
    uint64_t who = (uint64_t)proc << 32 | p->life;
    world_after(world, for_us, -1, cont, who);
}

static void cut(world_t *world, int proc) {
    proc_t *p = &world->procs[proc];
    p->cut_until_us = world->now_us + (int64_t)rnd(world, 9 * SECOND);
    p->cut_loses = chance(world, 500000);
    uint64_t way = rnd(world, 4);
    p->cut_out = way != 1;
    p->cut_in = way != 2;
    world->books.cuts++;
    TRACE(world, "CUT    %s until %.3f s", p->name, (double)p->cut_until_us / 1e6);
}

static void crash_soon(world_t *world, int proc) {
    int64_t after_us = (int64_t)(100000 + rnd(world, chance(world, 500000) ? SECOND : 8 * SECOND));
    if (proc == BROKER && chance(world, 600000)) {
        broker_arm(world, 1 + (int)rnd(world, 3));
    } else if (proc != BROKER && chance(world, 400000)) {
        world->procs[proc].sends_left = 1 + (int)rnd(world, 12);
    } else if (world->procs[proc].alive) {
        proc_kill(world, proc, "killed");
        proc_restart(world, proc, after_us);
    }
}

/* What the window had not synced may be gone, and with it tasks that nobody else has. */
static void power_off(world_t *world) {
    bool had[TICKETS_MAX];
    for (uint32_t i = 0; i < world->ticket_count; i++)
        had[i] = stand_in_window_has(world, i);
    for (int i = 0; i < WINDOW_SLOTS; i++)
        if (chance(world, 500000)) stand_in_window_empty(world, i);
    for (uint32_t i = 0; i < world->ticket_count; i++) {
        ticket_t *ticket = &world->tickets[i];
        bool gone = had[i] && !stand_in_window_has(world, i);
        if (gone && ticket->taken == 0 && !in_inbox(world, ticket)) ticket->at_risk = true;
    }
}

/* What the uploaders have noted was not synced. */
static void lose_notes(world_t *world) {
    for (uint32_t i = 0; i < world->ticket_count; i++)
        world->tickets[i].answered = false;
    for (int i = 0; i < TICKETS_MAX; i++)
        if (chance(world, 500000)) world->taken[i] = 0;
}

/* Power off: everything dies, and boot time starts anew. */
static void reboot(world_t *world) {
    TRACE(world, "REBOOT");
    world->books.reboots++;
    power_off(world);
    for (int i = 0; i < world->proc_count; i++)
        if (world->procs[i].alive) die(world, i);
    lose_notes(world);
    world->boot_us = world->now_us - (int64_t)rnd(world, 3) * SECOND;
    for (int i = 0; i < world->proc_count; i++)
        proc_restart(world, i, (int64_t)rnd(world, 4 * SECOND));
}

/* The broker and those with a request in flight are hit more often than the rest. */
static int victim(world_t *world) {
    int proc = (int)rnd(world, (uint64_t)world->proc_count);
    if (chance(world, 200000)) return BROKER;
    bool busy = chance(world, 300000);
    for (int i = 0; busy && i < REQUESTS_MAX; i++)
        if (world->requests[i].open) return world->requests[i].proc;
    return proc;
}

static void fill_disk(world_t *world) {
    int64_t until_us = world->now_us + (int64_t)rnd(world, 12 * SECOND);
    if (until_us > world->disk_full_us) world->disk_full_us = until_us;
    world->books.disk_full++;
    TRACE(world, "DISK   is full until %.3f s", (double)world->disk_full_us / 1e6);
}

static void fault_of_broker(world_t *world, uint64_t what) {
    if (what < 30 && world->plan.disk_full)
        fill_disk(world);
    else if (what < 60)
        broker_by_hand(world, chance(world, 500000));
    else if (what < 80)
        broker_stop(world);
    else if (world->plan.reboots)
        reboot(world);
}

static void fault(world_t *world, sim_event_t *event) {
    (void)event;
    if (world->calm) return;
    int proc = victim(world);
    uint64_t what = rnd(world, 100);
    if (what < 48)
        crash_soon(world, proc);
    else if (what < 70)
        stop(world, proc, (int64_t)rnd(world, (chance(world, 300000) ? 30 : 6) * SECOND));
    else if (what < 82 && proc != BROKER)
        cut(world, proc);
    else if (what < 90 && proc != BROKER)
        peer_drain(world, proc);
    else
        fault_of_broker(world, rnd(world, 100));
    world_after(world, (int64_t)rnd(world, 2 * (uint64_t)world->plan.fault_gap_us), -1, fault, 0);
}

static void first_start(world_t *world, sim_event_t *event) {
    if (!world->procs[event->proc].alive && world->procs[event->proc].life == 0)
        proc_start(world, event->proc);
}

void faults_begin(world_t *world) {
    for (int i = 0; i < world->proc_count; i++) {
        proc_t *p = &world->procs[i];
        p->index = i;
        p->kind = i < 2 ? (proc_kind_t)i : i < 2 + world->plan.executors ? PROC_EXECUTOR : PROC_UPLOADER;
        (void)snprintf(p->name, sizeof p->name, "%s%d", kind_names[p->kind], i);
        p->place = chance(world, 700000) ? 1000 + (uint64_t)i : 0;
        p->slots = p->kind == PROC_EXECUTOR ? world->plan.slots
                                            : (uint16_t)(p->kind == PROC_UPLOADER ? 1 + rnd(world, 4) : 0);
        p->waiting_end = &p->waiting;
        if (world->plan.drift) p->drift_ppm = (int)rnd(world, 20001) - 10000;
        if (i != BROKER) p->clock_us = (int64_t)rnd(world, 1000 * SECOND);
        p->first_us = (int64_t)rnd(world, 3 * SECOND);
        world_after(world, p->first_us, i, first_start, 0);
    }
    if (world->plan.chaos_us > 0) world_after(world, SECOND, -1, fault, 0);
    if (world->plan.chaos_us > 0) person_begin(world);
}
