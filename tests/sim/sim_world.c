/* The scheduler: virtual time, the events in their order, and the run of one seed. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "broker/backoff.h"
#include "tests/sim/sim.h"

#define EVENTS_LIMIT 3000000u

uint64_t rnd(world_t *world, uint64_t below) {
    return below ? random_below(&world->random, below) : 0;
}

bool chance(world_t *world, uint32_t ppm) {
    return ppm > 0 && rnd(world, 1000000) < ppm;
}

void world_trace(world_t *world, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fprintf(world->trace, "%11.6f ", (double)world->now_us / 1e6);
    vfprintf(world->trace, fmt, args);
    fputc('\n', world->trace);
    va_end(args);
}

void world_fail(world_t *world, const char *fmt, ...) {
    if (world->failed) return;
    world->failed = true;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(world->failure, sizeof world->failure, fmt, args);
    va_end(args);
    TRACE(world, "FAILED %s", world->failure);
}

/* --- clocks and events --- */

/* The broker's machine boots anew now and then; all clocks count from that. */
static int64_t elapsed_us(const world_t *world) {
    return world->now_us - world->boot_us;
}

int64_t proc_ms(const world_t *world, int proc) {
    const proc_t *p = &world->procs[proc];
    int64_t us = elapsed_us(world);
    return (p->clock_us + us + us * p->drift_ppm / 1000000) / 1000;
}

sim_event_t *world_after(world_t *world, int64_t delay_us, int proc, action_t action, uint64_t value) {
    sim_event_t *event = world->free_events;
    if (event)
        world->free_events = event->next;
    else
        event = malloc(sizeof *event);
    if (!event) {
        world_fail(world, "out of memory");
        return NULL;
    }
    *event = (sim_event_t){.action = action, .proc = proc, .value = value};
    if (delay_us < 0) delay_us = 0;
    if (heap_put(&world->events, &event->node, world->now_us + delay_us, ++world->order, event) != 0) {
        world_fail(world, "out of memory");
        free(event);
        return NULL;
    }
    return event;
}

bool proc_runs(const world_t *world, int proc) {
    return world->procs[proc].alive && !world->procs[proc].doomed;
}

static void timer_due(world_t *world, sim_event_t *event) {
    proc_t *p = &world->procs[event->proc];
    p->timer = NULL;
    if (p->alive && p->stopped)
        p->timer_late = true;
    else if (p->alive)
        proc_tick(world, event->proc);
}

void proc_timer_stop(world_t *world, int proc) {
    sim_event_t *event = world->procs[proc].timer;
    world->procs[proc].timer = NULL;
    if (!event) return;
    heap_remove(&world->events, &event->node);
    event->next = world->free_events;
    world->free_events = event;
}

static void timer_in(world_t *world, int proc, int64_t delay_us) {
    proc_t *p = &world->procs[proc];
    if (!p->timer)
        p->timer = world_after(world, delay_us, proc, timer_due, 0);
    else /* a timer that is there cannot fail to be moved */
        (void)heap_put(&world->events, &p->timer->node, world->now_us + delay_us, ++world->order, p->timer);
}

void proc_timer_late(world_t *world, int proc) {
    timer_in(world, proc, 0);
}

void proc_timer(world_t *world, int proc, int64_t at_ms) {
    proc_t *p = &world->procs[proc];
    if (at_ms == NEVER) {
        proc_timer_stop(world, proc);
        return;
    }
    int64_t wait_ms = at_ms - proc_ms(world, proc);
    if (wait_ms < 1) wait_ms = 1;
    if (wait_ms > 3600000) wait_ms = 3600000;
    if (p->stopped)
        p->timer_late = true;
    else
        timer_in(world, proc, wait_ms * 1000);
}

static void dispatch(world_t *world, sim_event_t *event) {
    proc_t *proc = event->proc >= 0 ? &world->procs[event->proc] : NULL;
    if (proc && proc->stopped && proc->alive && event->action != timer_due) {
        event->next = NULL;
        *proc->waiting_end = event;
        proc->waiting_end = &event->next;
        return;
    }
    bool dead = event->life != 0 && proc && (!proc->alive || proc->life != event->life);
    if (!dead) event->action(world, event);
    if (world->doomed) {
        int doomed = world->doomed;
        world->doomed = 0;
        proc_kill(world, doomed, "between two sends");
        proc_restart(world, doomed, (int64_t)(100000 + rnd(world, 8 * SECOND)));
    }
    event->data = NULL;
    event->next = world->free_events;
    world->free_events = event;
}

/* --- a run --- */

static void calm_down(world_t *world, sim_event_t *event) {
    (void)event;
    world->calm = true;
    world->calm_us = world->now_us;
    if (world->disk_full_us > world->now_us) world->disk_full_us = world->now_us;
    TRACE(world, "CALM   no more faults");
}

static int world_open(world_t *world, uint64_t seed, FILE *trace) {
    world->seed = seed;
    world->has_window = seed % 4 != 0;
    world->random = seed * 0x9e3779b97f4a7c15u + 1;
    world->trace = trace;
    world->next_id = 1;
    plan_choose(world);
    world->boot_us = -(int64_t)rnd(world, 2) * 1000 * SECOND;
    plan_tasks(world);
    if (journal_open(world) != 0) return -1;
    world->proc_count = 2 + world->plan.executors + world->plan.uploaders;
    faults_begin(world);
    world_after(world, world->plan.chaos_us, -1, calm_down, 0);
    progress_begin(world);
    return 0;
}

int world_run(uint64_t seed, FILE *trace, world_t **out) {
    world_t *world = calloc(1, sizeof *world);
    *out = world;
    if (!world || world_open(world, seed, trace) != 0) return -1;
    while (!world->failed && !world->done) {
        sim_event_t *event = heap_first(&world->events);
        if (!event) break;
        heap_remove(&world->events, &event->node);
        if (event->node.key > world->now_us) world->now_us = event->node.key;
        dispatch(world, event);
        if (++world->books.events > EVENTS_LIMIT) world_fail(world, "progress: events without end");
    }
    if (!world->done) world_fail(world, "progress: nothing more happens");
    for (uint32_t i = 0; i < world->ticket_count; i++) {
        const ticket_t *t = &world->tickets[i];
        world->books.dead_connections += t->dead_connection;
        world->books.lost_with_fetcher += t->at_risk && !ticket_settled(t);
        world->books.held_already += t->held_already;
    }
    return world->failed ? -1 : 0;
}

static void event_free(sim_event_t *event) {
    net_free(event->data);
    free(event);
}

void world_destroy(world_t **self) {
    world_t *world = *self;
    if (!world) return;
    for (int i = 1; i < world->proc_count; i++)
        peer_end(world, i);
    stand_in_enter(NULL, 0);
    for (int i = 0; i < WINDOW_SLOTS; i++)
        stand_in_window_empty(world, i);
    for (uint32_t i = 0; i < world->inbox_count; i++) {
        free(world->inbox[i].header);
        free(world->inbox[i].task);
    }
    broker_destroy(world);
    sim_bodies_destroy(world);
    journal_destroy(world);
    for (int i = 0; i < PROCS_MAX; i++) {
        for (sim_event_t *event = world->procs[i].waiting, *next; event; event = next) {
            next = event->next;
            event_free(event);
        }
    }
    for (sim_event_t *event; (event = heap_first(&world->events)) != NULL;) {
        heap_remove(&world->events, &event->node);
        event_free(event);
    }
    heap_clear(&world->events);
    while (world->free_events) {
        sim_event_t *event = world->free_events;
        world->free_events = event->next;
        event_free(event);
    }
    free(world);
    *self = NULL;
}
