/* A person: has buried results tried again, or drops them. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define TOOL_INSTANCE ((uint64_t)1 << 60) /* of no process: what it is answered goes nowhere */
#define EVERY_US      ((uint64_t)5 * SECOND)

static void order(world_t *world, order_t action, const char *task) {
    size_t len = strlen(task);
    letter_t *letter = calloc(1, sizeof *letter + len + 1);
    if (!letter) return;
    char *text = (char *)(letter + 1);
    memcpy(text, task, len);
    letter->from = FETCHER; /* it comes from no process of the world */
    letter->instance = TOOL_INSTANCE;
    letter->sock = SOCK_CONTROL;
    letter->msg.type = MSG_ORDER;
    letter->msg.order = (msg_order_t){
        .action = (uint8_t)action, .by = len ? ORDER_BY_EITHER : ORDER_BY_ALL, .task = {text, (uint32_t)len}};
    TRACE(world, "PERSON %s %s", action == ORDER_RETRY ? "retries" : "drops", len ? task : "all");
    broker_receive(world, letter);
}

static void act(world_t *world, sim_event_t *event) {
    char task[24] = "";
    (void)event;
    if (world->calm) return;
    if (chance(world, 500000))
        (void)snprintf(task, sizeof task, "id-%u", (unsigned)rnd(world, world->next_id + 1));
    if (world->broker) order(world, chance(world, 700000) ? ORDER_RETRY : ORDER_DROP, task);
    world_after(world, (int64_t)rnd(world, EVERY_US), -1, act, 0);
}

void person_begin(world_t *world) {
    world_after(world, (int64_t)rnd(world, EVERY_US), -1, act, 0);
}
