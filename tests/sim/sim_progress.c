/* Progress: once the faults have ceased, tasks go on, and all ends. */
#include <inttypes.h>

#include "tests/sim/sim.h"

#define LOOK_US 250000

/* Each task's steps, from AC and back, only ever become more. */
static uint32_t steps_of(const world_t *world) {
    uint32_t steps = (uint32_t)world->books.buried; /* one that was tried again by hand may be so twice */
    for (uint32_t i = 0; i < world->ticket_count; i++) {
        const ticket_t *t = &world->tickets[i];
        steps += t->handed + t->read + t->held_already + t->taken + t->starts + t->delivered + t->gone;
        steps += t->stored.kind != DOC_NONE;
    }
    return steps;
}

/* A result's next try, a get-task after 5xx, and AC's answer to a request that met a fault may be minutes
 * away.
 */
static bool waits_long(world_t *world) {
    core_view_t view;
    for (int i = 0; i < REQUESTS_MAX; i++)
        if (world->requests[i].open && world->requests[i].started_us < world->calm_us) return true;
    if (world->plan.failing && world->now_us < OTHERS_US) return true;
    if (!broker_core(world)) return false;
    int64_t now_ms = proc_ms(world, BROKER);
    core_look(broker_core(world), now_ms, &view);
    if (view.gate->fetch_failures > 0 && view.gate->fetch_pause_ms > now_ms) return true;
    for (const task_t *task = tasks_first(view.tasks); task; task = tasks_next(view.tasks)) {
        const row_t *row = journal_find(world, task->number);
        if (row && ac_fails_on(world, &world->tickets[row->doc.ticket]) && task->tries >= FAILING_TRIES)
            continue; /* no other has to wait for that */
        if (task->state == TASK_DONE && task->next_try_ms > now_ms) return true;
    }
    return false;
}

/* How long it may take a task to make its next step: a process stands still for 30 s, and a tool for 20; a
 * message is lost. Then the minute's units are used up, and a poll and the other of a result's two calls come
 * first where AC takes one call at a time. */
static int64_t still_max_us(const plan_t *plan) {
    bool full = plan->rate <= 20 || (plan->rate == 250 && plan->flood);
    return 60 * SECOND + (full ? 62 * SECOND : 0) + 2 * plan->poll_us;
}

static void check_still(world_t *world) {
    uint32_t steps = steps_of(world);
    if (steps != world->progress.steps || world->progress.since_us < world->calm_us || waits_long(world)) {
        world->progress.steps = steps;
        world->progress.since_us = world->now_us;
    }
    int64_t still_us = world->now_us - world->progress.since_us, max_us = still_max_us(&world->plan);
    int64_t percent = still_us * 100 / max_us;
    if (percent > world->books.most_still) world->books.most_still = percent;
    if (still_us > max_us)
        world_fail(world,
                   "progress: no task has made a step for %" PRId64 " s, and none waits for its next try",
                   still_us / SECOND);
}

static void check_bound(world_t *world) {
    const plan_t *plan = &world->plan;
    /* a retry waits 602 s at most, a get-task 600 s; then each task needs a poll and a result */
    int64_t bound =
        1400 * SECOND + (int64_t)world->ticket_count * 3 * 62 * SECOND / plan->rate +
        (int64_t)world->ticket_count * (plan->tool_us + plan->upload_us + plan->poll_us / 4 + SECOND);
    if (plan->failing) bound += OTHERS_US + 602 * SECOND;      /* then those that fail have one more wait */
    if (plan->failing && plan->response_queue < plan->failing) /* it is full until each has been given up */
        bound += (int64_t)plan->failing * GIVEN_UP_US;
    if (world->now_us - world->calm_us <= bound) return;
    check_end(world);
    world_fail(world, "progress: not all delivered or buried %" PRId64 " s after the faults ceased",
               bound / SECOND);
}

static void look_for_end(world_t *world, sim_event_t *event) {
    (void)event;
    if (!world->calm) {
        world_after(world, SECOND, -1, look_for_end, 0);
        return;
    }
    if (all_settled(world)) {
        check_end(world);
        world->done = true;
        return;
    }
    broker_by_hand(world, false);
    check_still(world);
    check_bound(world);
    if (!world->failed) world_after(world, LOOK_US, -1, look_for_end, 0);
}

void progress_begin(world_t *world) {
    world_after(world, LOOK_US, -1, look_for_end, 0);
}
