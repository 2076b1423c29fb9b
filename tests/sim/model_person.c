/* A person: has buried results tried again, or drops them, and pauses fetching by hand for a while. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define TOOL_INSTANCE 0x100 /* of no process: what it is answered goes nowhere */
#define EVERY_US      ((uint64_t)20 * SECOND)

static void order(world_t *world, const msg_t *msg, const char *task) {
    letter_t *letter = world->broker ? calloc(1, sizeof *letter + strlen(task) + 1) : NULL;
    if (!letter) return;
    *letter = (letter_t){.from = FETCHER, .instance = TOOL_INSTANCE, .sock = SOCK_CONTROL, .msg = *msg};
    char *text = strcpy((char *)(letter + 1), task); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy) */
    if (msg->type == MSG_ORDER) letter->msg.order.task = str_of(text);
    broker_receive(world, letter);
}

static void set_paused(world_t *world, bool on) {
    msg_t msg = {.type = MSG_DRAIN};
    TRACE(world, "PERSON %s fetching", on ? "pauses" : "resumes");
    msg.drain.mode = on;
    order(world, &msg, "");
}

static void decide(world_t *world) {
    char task[24];
    msg_t msg = {.type = MSG_ORDER};
    bool one = chance(world, 500000);
    msg.order.action = chance(world, 700000) ? ORDER_RETRY : ORDER_DROP;
    msg.order.by = one ? ORDER_BY_EITHER : ORDER_BY_ALL;
    (void)snprintf(task, sizeof task, "id-%u", one ? (unsigned)rnd(world, world->next_id + 1) : 0);
    TRACE(world, "PERSON orders %d of %s", msg.order.action, one ? task : "all");
    order(world, &msg, one ? task : "");
}

static void act(world_t *world, sim_event_t *event) {
    core_view_t view;
    (void)event;
    if (world->broker) core_look(broker_core(world), proc_ms(world, BROKER), &view);
    bool paused = world->broker && view.drained_wall_ms != 0;
    if (world->calm ? paused : paused && chance(world, 600000))
        set_paused(world, false);
    else if (world->calm)
        TRACE(world, "PERSON looks"); /* what was said last may not have been committed */
    else if (chance(world, 200000))
        set_paused(world, true);
    else
        decide(world);
    world_after(world, (int64_t)rnd(world, world->calm ? SECOND : EVERY_US), -1, act, 0);
}

void person_begin(world_t *world) {
    world_after(world, (int64_t)rnd(world, EVERY_US), -1, act, 0);
}
