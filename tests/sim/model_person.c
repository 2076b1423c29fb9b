/* A person: has buried results tried again, or drops them; and remembers what was said and answered. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define EVERY_US ((uint64_t)5 * SECOND)

static void order(world_t *world, order_t action, const char *task) {
    size_t len = strlen(task);
    letter_t *letter = calloc(1, sizeof *letter + len + 1);
    if (!letter) return;
    char *text = (char *)(letter + 1);
    memcpy(text, task, len);
    letter->from = FETCHER; /* it comes from no process of the world */
    letter->instance = PERSON;
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

/* --- what the broker has been told --- */

static bool names(const msg_order_t *order, const task_t *task) {
    return order->by == ORDER_BY_ALL || (strlen(task->task_id) == order->task.len &&
                                         memcmp(task->task_id, order->task.ptr, order->task.len) == 0);
}

void person_heard(world_t *world, const msg_t *msg) {
    if (msg->type == MSG_DRAIN) {
        world->unanswered++;
        if (msg->drain.mode == 0) world->paused = false;
    }
    if (msg->type != MSG_ORDER) return;
    core_view_t view;
    core_look(broker_core(world), proc_ms(world, BROKER), &view);
    for (task_t *task = tasks_first(view.tasks); task; task = tasks_next(view.tasks)) {
        const row_t *row = journal_find(world, task->number);
        if (row && task->state == TASK_BURIED && names(&msg->order, task))
            world->tickets[row->doc.ticket].ordered = msg->order.action;
    }
}

void person_answered(world_t *world, const msg_t *msg) {
    if (msg->type != MSG_DRAIN) return;
    world->paused = msg->drain.mode != 0;
    if (--world->unanswered > 0) return; /* of those that came in one turn the last one holds */
    if (journal_has_pause(world) != world->paused)
        world_fail(world, "commit: a person is told that fetching is %s, and the journal has it otherwise",
                   world->paused ? "paused" : "on");
}

void person_forgotten(world_t *world) {
    world->unanswered = 0;
    for (uint32_t i = 0; i < world->ticket_count; i++)
        world->tickets[i].ordered = 0;
}
