/* Results that AC has refused for good: kept for a person, who lets them be tried again or drops them, until
 * they are too old or too many. */
#include "broker/core_internal.h"
#include "common/err.h"

#define DAY_MS    ((int64_t)24 * 60 * 60 * 1000)
#define ORDER_MAX 500 /* results that one order for all moves */

void buried_add(core_t *core, task_t *task, const msg_uploaded_t *uploaded) {
    core_move(core, task, TASK_EV_REFUSED);
    core->view.counters.refused++;
    tasks_set_tries(&core->tasks, task, task->tries + 1);
    task_set_reason(task, uploaded->reason);
    task->buried_wall_ms = core->now.wall_ms;
    task_note_text(core, task, TRAIL_BURIED, uploaded->reason);
    tasks_bury(&core->tasks, task);
    record_t *record = task_record(core, REC_TASK_BURIED, task);
    record->task.reason = effects_text(core->fx, uploaded->reason);
    record->task.buried_wall_ms = task->buried_wall_ms;
    effects_out(core->fx, OUT_FORGET, 0)->number = task->number;
    char id[LOG_QUOTED_MAX], why[LOG_QUOTED_MAX];
    effects_log(core->fx, LOG_LEVEL_ERROR, "result_buried", "task=%s why=%s", log_quote(task->task_id, id),
                log_quote(task->reason, why));
}

static void revive(core_t *core, task_t *task) {
    tasks_unbury(&core->tasks, task);
    core_move(core, task, TASK_EV_REVIVE);
    core->view.counters.revived++;
    tasks_set_tries(&core->tasks, task, 0);
    task->next_try_ms = task->buried_wall_ms = 0;
    task_note(core, task, TRAIL_REVIVED);
    task_record(core, REC_TASK_REVIVED, task);
    task_log(core, task, "result_revived", "by hand");
    task_enqueue(core, task);
}

static void drop(core_t *core, task_t *task, const char *why) {
    tasks_unbury(&core->tasks, task);
    core_move(core, task, TASK_EV_DROP);
    core->view.counters.dropped++;
    task_note_text(core, task, TRAIL_DROPPED, str_of(why));
    task_log(core, task, "result_dropped", why);
    task_gone(core, &task, TASK_BURIED);
}

static void obey(core_t *core, task_t *task, const msg_order_t *order) {
    if (order->action == ORDER_RETRY)
        revive(core, task);
    else
        drop(core, task, "by hand");
}

/* --- orders --- */

static void answer(core_t *core, uint64_t peer, const msg_order_t *order, ordered_t verdict, uint32_t count,
                   uint64_t number) {
    effects_msg(core->fx, peer, MSG_ORDERED)->ordered =
        (msg_ordered_t){order->seq, (uint8_t)verdict, count, number};
}

bool core_find(core_t *self, str_t text, bool number_only, task_t **by_id, task_t **by_number) {
    uint64_t number = 0;
    bool digits = text.len > 0 && text.len < 20;
    for (uint32_t i = 0; i < text.len && digits; i++) {
        digits = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *by_number = digits ? tasks_find(&self->tasks, number) : NULL;
    *by_id = number_only ? NULL : tasks_find_id(&self->tasks, text);
    return *by_id || *by_number;
}

uint32_t core_buried(core_t *self, uint64_t after, uint32_t max, task_t **tasks, bool *more) {
    uint32_t count = 0;
    task_t *next = tasks_buried_next(&self->tasks, after);
    for (; next && count < max; next = tasks_buried_next(&self->tasks, next->number))
        tasks[count++] = next;
    *more = next != NULL;
    return count;
}

/* The oldest of those behind `after`; the answer names the last of them while more follow, so that none that
 * is buried again meanwhile is taken twice. */
static void order_all(core_t *core, uint64_t peer, const msg_order_t *order) {
    task_t *tasks[ORDER_MAX];
    bool more;
    uint32_t count = core_buried(core, order->after, ORDER_MAX, tasks, &more);
    uint64_t last = more && count > 0 ? tasks[count - 1]->number : 0;
    for (uint32_t i = 0; i < count; i++)
        obey(core, tasks[i], order);
    answer(core, peer, order, ORDERED_DONE, count, last);
}

void buried_order(core_t *core, uint64_t peer, const msg_order_t *order) {
    task_t *by_id, *by_number;
    if (order->by == ORDER_BY_ALL) {
        order_all(core, peer, order);
    } else if (!core_find(core, order->task, order->by == ORDER_BY_NUMBER, &by_id, &by_number)) {
        answer(core, peer, order, ORDERED_UNKNOWN, 0, 0);
    } else if (by_id && by_number && by_id != by_number) {
        answer(core, peer, order, ORDERED_AMBIGUOUS, 0, by_id->number);
    } else {
        task_t *task = by_id ? by_id : by_number;
        uint64_t number = task->number;
        bool buried = task->state == TASK_BURIED;
        if (buried) obey(core, task, order);
        answer(core, peer, order, buried ? ORDERED_DONE : ORDERED_NOT_BURIED, buried, number);
    }
}

/* --- bounds --- */

void buried_turn(core_t *core) {
    const core_settings_t *s = &core->settings;
    task_t *first;
    while ((first = core->tasks.buried_first) != NULL && s->dead_letter_days > 0 &&
           core->now.wall_ms - first->buried_wall_ms >= s->dead_letter_days * DAY_MS)
        drop(core, first, "buried for as long as deadLetterDays says");
    /* the latest stays, however large it is */
    while ((first = core->tasks.buried_first) != NULL && s->dead_letter_bytes > 0 &&
           core->tasks.buried_bytes > s->dead_letter_bytes && first != core->tasks.buried_last)
        drop(core, first, "the oldest of more than deadLetterMb");
}
