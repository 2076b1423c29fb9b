/* What a seed chooses: settings, sizes, how bad the network and AC are, and the tasks. */
#include "tests/sim/sim.h"

static uint64_t pick(world_t *world, const uint64_t *of, uint64_t count) {
    return of[rnd(world, count)];
}
#define PICK(world, ...)                                                                                     \
    pick(world, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void plan_settings(world_t *world, plan_t *plan) {
    plan->ac_max = (int)PICK(world, 1, 2, 2);
    plan->rate = (uint32_t)PICK(world, 20, 250, 250, 1000000);
    plan->lookahead = (uint32_t)PICK(world, 0, 0, 0, 1, 4, 30);
    plan->task_queue = (uint32_t)PICK(world, 100, 100, 3);
    plan->response_queue = (uint32_t)PICK(world, 100, 100, 10);
    plan->threshold = 80;
    plan->redeliver = chance(world, 250000) ? REDELIVER_NEVER : REDELIVER_IDEMPOTENT;
    plan->executors = (int)(1 + rnd(world, EXECUTORS_MAX));
    plan->uploaders = (int)(1 + rnd(world, UPLOADERS_MAX));
    plan->slots = (uint16_t)PICK(world, 1, 2, 5, 10);
    plan->tasks = (uint32_t)(plan->rate == 20 ? 6 + rnd(world, 12) : 4 + rnd(world, 16));
}

static void plan_weather(world_t *world, plan_t *plan) {
    plan->delay_us = (int64_t)PICK(world, 300, 2000, 20000, 200000);
    plan->loss_ppm = (uint32_t)PICK(world, 0, 0, 2000, 20000, 80000);
    plan->repeat_ppm = (uint32_t)PICK(world, 0, 0, 5000, 50000);
    plan->late_ppm = (uint32_t)PICK(world, 0, 0, 3000, 20000);
    plan->fifo = !chance(world, 150000);
    plan->drift = chance(world, 500000);
    plan->chaos_us = (int64_t)PICK(world, 0, 4, 6, 8, 12, 20) * SECOND;
    plan->fault_gap_us = (int64_t)PICK(world, 200, 600, 1500) * 1000;
    plan->reboots = chance(world, 300000);
    plan->disk_full = chance(world, 300000);
    plan->ac_fail_percent = (uint32_t)PICK(world, 0, 0, 5, 30);
    plan->poll_us = (int64_t)PICK(world, 0, 2, 30) * SECOND;
    plan->tool_us = (int64_t)PICK(world, 20, 300, 3000, 20000) * 1000;
    plan->upload_us = (int64_t)PICK(world, 5, 50, 500, 6000) * 1000;
    plan->commit_us = (int64_t)PICK(world, 200, 2000, 20000, 300000);
    plan->eager = chance(world, 700000);
    plan->flood = plan->rate > 20 && chance(world, plan->rate == 250 ? 15000 : 80000);
    if (plan->flood) {
        plan->tasks = 100 + (uint32_t)rnd(world, 150);
        plan->tool_us = 20000;
        plan->slots = 10;
    }
    if (plan->flood && plan->rate == 250) plan->upload_us = 50000; /* so that a minute gets full */
    if (plan->rate == 20 && chance(world, 10000)) { /* more results that AC fails on than units in a minute */
        plan->failing = 20 + (uint32_t)rnd(world, 4);
        plan->tasks = plan->failing + 6;
        plan->response_queue = (uint32_t)PICK(world, 100, 10, 2, 1);
        plan->task_queue = 100;
        plan->lookahead = 30;
    }
    plan->heavy = !plan->failing && chance(world, 15000); /* large answers, one after the other */
    plan->spool_bytes = plan->heavy && chance(world, 500000) ? (uint64_t)40 * MSG_CHUNK_MAX : UINT64_MAX / 2;
    if (plan->heavy) plan->slots = 10;
    if (plan->chaos_us == 0) { /* a calm day, to see that nothing needs a fault to go on */
        plan->loss_ppm = plan->repeat_ppm = plan->late_ppm = plan->ac_fail_percent = 0;
        plan->fifo = true;
    }
}

void plan_choose(world_t *world) {
    plan_settings(world, &world->plan);
    plan_weather(world, &world->plan);
    const plan_t *p = &world->plan;
    TRACE(world, "plan ac_max=%d rate=%u executors=%d slots=%u uploaders=%d tasks=%u redeliver=%d", p->ac_max,
          p->rate, p->executors, p->slots, p->uploaders, p->tasks, (int)p->redeliver);
    TRACE(world,
          "plan lookahead=%u task_queue=%u response_queue=%u delay_us=%lld loss=%u repeat=%u late=%u fifo=%d",
          p->lookahead, p->task_queue, p->response_queue, (long long)p->delay_us, p->loss_ppm, p->repeat_ppm,
          p->late_ppm, p->fifo);
    TRACE(world,
          "plan chaos_s=%lld gap_us=%lld ac_fail=%u poll_us=%lld tool_us=%lld upload_us=%lld commit_us=%lld",
          (long long)(p->chaos_us / SECOND), (long long)p->fault_gap_us, p->ac_fail_percent,
          (long long)p->poll_us, (long long)p->tool_us, (long long)p->upload_us, (long long)p->commit_us);
}

void plan_tasks(world_t *world) {
    int64_t at_us = 0;
    bool burst = chance(world, 500000) || (world->plan.flood && world->plan.rate == 250);
    for (uint32_t i = 0; i < world->plan.tasks; i++) {
        ticket_t *ticket = &world->tickets[world->ticket_count++];
        *ticket = (ticket_t){
            .id = world->next_id++,
            .method = (uint8_t)rnd(world, 5),
            .failing = i < world->plan.failing,
            .refused = i >= world->plan.failing && chance(world, 30000),
            .lifetime_ms = chance(world, 100000)                               ? (int32_t)rnd(world, 12000)
                           : chance(world, 40000)                              ? 300000 + LOGS_LIFETIME
                           : chance(world, world->plan.heavy ? 700000 : 60000) ? 300000 + LARGE_LIFETIME
                                                                               : 300000,
            .release_us = world->plan.failing && i >= world->plan.failing ? OTHERS_US : at_us};
        if (ticket_is_large(ticket) && world->plan.heavy)
            ticket->refused = false; /* what is buried keeps its room */
        if (!burst || chance(world, 100000)) at_us += (int64_t)rnd(world, 2 * (uint64_t)SECOND);
        if (ticket->failing) ticket->lifetime_ms = 300000;
        if (i > 0 && chance(world, 20000)) {
            const ticket_t *former = &world->tickets[rnd(world, i)]; /* AC repeats itself */
            ticket->id = former->id;
            if (ticket_is_logs(former) != ticket_is_logs(ticket)) ticket->lifetime_ms = former->lifetime_ms;
        }
    }
}
