/* The invariants of the journal: what each record may meet, and what has to have happened for it. A result
 * that is stored stays as it is until AC has it, or a person drops it. */
#include <inttypes.h>

#include "tests/sim/sim.h"

#define IN(state) (1u << (state))

/* The states of its task that a record may meet. */
static const unsigned may_meet[REC_TYPES] = {
    [REC_TASK_RUNNING] = IN(TASK_READY),
    [REC_TASK_READY] = IN(TASK_READY) | IN(TASK_RUNNING), /* READY: a GET's, for its trail */
    [REC_TASK_DONE] = IN(TASK_READY) | IN(TASK_RUNNING),
    [REC_TASK_FAIL] = IN(TASK_READY) | IN(TASK_RUNNING),
    [REC_TASK_TRY] = IN(TASK_DONE),
    [REC_TASK_BURIED] = IN(TASK_DONE),
    [REC_TASK_REVIVED] = IN(TASK_BURIED),
    [REC_TASK_GONE] = IN(TASK_DONE) | IN(TASK_BURIED),
};

static void check_new(world_t *world, const record_t *record) {
    const doc_t *doc = record->doc;
    ticket_t *ticket = &world->tickets[doc->ticket];
    if (journal_find_id(world, ticket->id))
        world_fail(world, "dedup: ticket %u became a task while its id %u is held", doc->ticket, ticket->id);
    ticket->number = record->task.number;
    if (++ticket->taken > 1) world_fail(world, "dedup: ticket %u became a second task", doc->ticket);
    if (record->task.state == TASK_DONE) ticket->stored = *doc; /* one that asks for logs */
}

static void check_done(world_t *world, const record_t *record, uint32_t index) {
    const doc_t *doc = record->doc;
    if (doc->ticket != index)
        world_fail(world, "lost: the result of ticket %u is stored for ticket %u", doc->ticket, index);
    world->tickets[index].stored = *doc;
}

/* A result that an executor has kept over the broker's absence is waited for, even if the time is over since.
 */
static void check_not_kept(world_t *world, const row_t *row) {
    int64_t grace_us = (PROTOCOL_GRACE_MS - 200) * 1000ll; /* less what clocks differ by */
    if (world->now_us - world->procs[BROKER].started_us > grace_us) return;
    for (int i = 0; i < world->proc_count; i++) {
        proc_t *proc = &world->procs[i];
        if (proc->kind != PROC_EXECUTOR || !proc->alive || !journal_knows(world, proc->instance)) continue;
        const item_t *item = peer_item(&proc->peer, row->image.number);
        bool of_before = item && item->session >> 32 != journal_epoch(world);
        if (of_before && item->phase == PHASE_FINISHED && item->doc.kind == DOC_RESULT)
            world_fail(world, "lost: %s has the result of ticket %u, and the broker has not waited for it",
                       proc->name, row->doc.ticket);
    }
}

/* The broker answers in the tool's place: what is no task, what is over, or what nobody knows the outcome of.
 */
static void check_fail(world_t *world, const row_t *row) {
    ticket_t *ticket = &world->tickets[row->doc.ticket];
    bool over = proc_ms(world, BROKER) >= row->image.deadline_ms;
    bool safe = method_idempotent(ticket->method) && world->plan.redeliver != REDELIVER_NEVER;
    ticket->stored = (doc_t){DOC_ERROR, row->doc.ticket, 0};
    if (method_idempotent(ticket->method)) check_not_kept(world, row);
    if (over || ticket_is_invalid(ticket)) return;
    if (safe)
        world_fail(world, "given up: ticket %u, a %s, could have been repeated until its expiry",
                   row->doc.ticket, method_name(ticket->method));
    else if (row->image.state != TASK_RUNNING)
        world_fail(world, "given up: ticket %u, whose claim nobody has and whose time is not over",
                   row->doc.ticket);
    else if (world->plan.chaos_us == 0)
        world_fail(world, "given up: the outcome of ticket %u is unknown, and nothing had gone wrong",
                   row->doc.ticket);
}

static void check_buried(world_t *world, uint32_t index) {
    ticket_t *ticket = &world->tickets[index];
    ticket->buried = true;
    world->books.buried++;
    if (!ticket->refused) world_fail(world, "lost: ticket %u is buried, but AC did not refuse it", index);
}

static void check_ordered(world_t *world, uint32_t index, order_t order) {
    ticket_t *ticket = &world->tickets[index];
    if (ticket->ordered != order)
        world_fail(world, "orders: the buried result of ticket %u is %s, and nobody has said so", index,
                   order == ORDER_DROP ? "dropped" : "tried again");
    ticket->ordered = 0;
}

static void check_gone(world_t *world, const row_t *row) {
    ticket_t *ticket = &world->tickets[row->doc.ticket];
    ticket->gone = true;
    if (row->image.state == TASK_BURIED)
        check_ordered(world, row->doc.ticket, ORDER_DROP);
    else if (ticket->delivered == 0)
        world_fail(world, "lost: the journal forgets ticket %u, whose result AC has not", row->doc.ticket);
}

static void check_credit(world_t *world, const record_t *record) {
    if (record->used > record->units || record->units - record->used > 2 * CREDIT_BUDGET_MAX)
        world_fail(world, "budget: a credit of %u in all, %u used", record->units, record->used);
}

static void check_task(world_t *world, const record_t *record, const row_t *row) {
    if (!(may_meet[record->type] & IN(row->image.state)))
        world_fail(world, "lost: a record %d for ticket %u, which is %s", (int)record->type, row->doc.ticket,
                   task_state_name((task_state_t)row->image.state));
    switch (record->type) {
    case REC_TASK_DONE:
        check_done(world, record, row->doc.ticket);
        break;
    case REC_TASK_FAIL:
        check_fail(world, row);
        break;
    case REC_TASK_BURIED:
        check_buried(world, row->doc.ticket);
        break;
    case REC_TASK_REVIVED:
        check_ordered(world, row->doc.ticket, ORDER_RETRY);
        break;
    case REC_TASK_GONE:
        check_gone(world, row);
        break;
    default:
        break;
    }
}

void check_committed(world_t *world, const record_t *record) {
    if (record->type == REC_TASK_NEW)
        check_new(world, record);
    else if (record->type == REC_CREDIT)
        check_credit(world, record);
    else if (may_meet[record->type] != 0) {
        const row_t *row = journal_find(world, record->task.number);
        if (row) check_task(world, record, row);
    }
}

void check_obeyed(world_t *world) {
    for (uint32_t i = 0; i < world->ticket_count; i++)
        if (world->tickets[i].ordered)
            world_fail(world,
                       "orders: a person has had the buried result of ticket %u %s, and nothing came of it",
                       i, world->tickets[i].ordered == ORDER_DROP ? "dropped" : "tried again");
}

/* AC gets what the journal has. */
void check_delivered(world_t *world, doc_t doc) {
    const doc_t *stored = &world->tickets[doc.ticket].stored;
    if (doc.kind != stored->kind || doc.run != stored->run)
        world_fail(world, "lost: AC is given another result of ticket %u than the one that is stored",
                   doc.ticket);
}
