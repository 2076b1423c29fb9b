/* Tasks in from the fetcher. */
#include <stdio.h>
#include <string.h>

#include "broker/core_internal.h"
#include "common/err.h"

static fetcher_window_t *window_of(core_t *core, uint64_t instance) {
    fetcher_window_t *oldest = &core->windows[0];
    for (int i = 0; i < FETCHERS_MAX; i++) {
        if (core->windows[i].instance == instance) return &core->windows[i];
        if (core->windows[i].used < oldest->used) oldest = &core->windows[i];
    }
    *oldest = (fetcher_window_t){.instance = instance};
    return oldest;
}

/* Marks the fetch as seen; false when it was seen before (as in the anti-replay window of RFC 4303, 3.4.3).
 */
static bool window_mark(core_t *core, uint64_t instance, uint64_t seq) {
    fetcher_window_t *w = window_of(core, instance);
    w->used = ++core->window_use;
    if (seq > w->seq) {
        uint64_t shift = seq - w->seq;
        /* bit i stands for seq - 1 - i */
        w->mask =
            shift > 64 ? 0 : (shift == 64 ? 0 : w->mask << shift) | (w->seq ? (uint64_t)1 << (shift - 1) : 0);
        w->seq = seq;
    } else {
        uint64_t back = w->seq - seq;
        if (back == 0 || back > 64 || (w->mask >> (back - 1) & 1)) return false;
        w->mask |= (uint64_t)1 << (back - 1);
    }
    record_t *record = effects_latest(core->fx, REC_FETCHER);
    if (!record || record->instance != instance) record = effects_record(core->fx, REC_FETCHER);
    record->instance = instance;
    record->seq = w->seq;
    record->mask = w->mask;
    return true;
}

static void answer_accepted(core_t *core, const msg_fetched_t *fetched, verdict_t verdict, uint64_t number) {
    /* A fetch out of an inbox carries a former instance: the answer goes to the fetchers there are. */
    for (worker_t *worker = core->fetchers; worker; worker = worker->next) {
        msg_t *msg = effects_msg(core->fx, worker->instance, MSG_ACCEPTED);
        msg->accepted = (msg_accepted_t){fetched->instance, fetched->seq, (uint8_t)verdict, number};
    }
}

/* A logs task has nothing to do at a tool: the uploader answers it, with the task as its document. */
static bool skips_execute(const msg_fetched_t *fetched) {
    return (fetched->flags & TASK_LOGS) && !(fetched->flags & TASK_INVALID);
}

static task_t *new_task(core_t *core, const msg_fetched_t *f, void **doc, uint64_t doc_bytes) {
    int64_t remaining;
    if (__builtin_sub_overflow(f->expiry_ms, core->now.wall_ms, &remaining))
        remaining = f->expiry_ms > 0 ? INT64_MAX / 4 : INT64_MIN / 4;
    if (remaining > INT64_MAX / 4) remaining = INT64_MAX / 4;
    if (remaining < INT64_MIN / 4) remaining = INT64_MIN / 4;
    task_image_t image = {.number = core->next_number++,
                          .task_id = f->task_id,
                          .method = f->method,
                          .host = f->host,
                          .reason = str_of(""),
                          .state = skips_execute(f) ? TASK_DONE : TASK_READY,
                          .call = skips_execute(f) ? CALL_UPLOAD_LOGS : CALL_PUT_RESULT,
                          .flags = f->flags,
                          .deadline_ms = core->now.ms + remaining,
                          .expiry_wall_ms = core->now.wall_ms + remaining,
                          .accepted_wall_ms = core->now.wall_ms,
                          .generation = core->generation,
                          .doc_bytes = doc_bytes};
    if (core->settings.redeliver == REDELIVER_NEVER)
        image.flags &=
            (uint16_t)~TASK_IDEMPOTENT; /* treated like a POST: run only once its claim is on disk */
    task_t *task = tasks_add(&core->tasks, &image);
    if (!task) {
        core_check(core, ERR_NOMEM);
        return NULL;
    }
    task->in_line_ms = core->now.ms;
    trail_add(&task->trail, task->accepted_wall_ms,
              &(trail_entry_t){.kind = TRAIL_FETCHED, .at_wall_ms = f->fetched_ms});
    task_note(core, task, TRAIL_ACCEPTED);
    record_t *record = effects_record(core->fx, REC_TASK_NEW);
    record->task = image;
    record->task.task_id = effects_text(core->fx, image.task_id);
    record->task.method = effects_text(core->fx, image.method);
    record->task.host = effects_text(core->fx, image.host);
    record->task.trail = effects_text(core->fx, (str_t){(const char *)task->trail.bytes, task->trail.len});
    task->trail.unwritten = false;
    record->doc = *doc;
    *doc = NULL;
    return task;
}

/* More than any fetcher brings that keeps to its credits. What is not accepted its sender keeps, and repeats.
 */
static bool has_no_room(const core_t *core) {
    const uint32_t *counts = core->tasks.counts;
    uint32_t ready = counts[TASK_READY] + counts[TASK_PUSHED];
    uint32_t results = tasks_results_counted(&core->tasks);
    return ready >= 2 * core->settings.task_queue + PROTOCOL_FETCH_WINDOW ||
           results >= 2 * core->settings.response_queue + stage_slots(&core->execute) + PROTOCOL_FETCH_WINDOW;
}

void task_fetched(core_t *core, const msg_fetched_t *fetched, void **doc, uint64_t doc_bytes) {
    if (has_no_room(core)) {
        core->view.counters.no_room++;
        return;
    }
    if (!window_mark(core, fetched->instance, fetched->seq)) {
        core->view.counters.repeated++;
        answer_accepted(core, fetched, VERDICT_REPEAT, 0);
        return;
    }
    gate_came(&core->gate, fetched->credit);
    gate_fetch_ended(&core->gate, fetched->credit);
    if (gate_is_news(&core->gate, fetched->credit)) /* one out of an inbox may have been read long ago */
        credit_outcome(core, CALL_GET_TASK, OUTCOME_DONE, 0, 200, -1, 0, str_of(""));
    task_t *held = tasks_find_id(&core->tasks, fetched->task_id);
    if (held) {
        core->view.counters.held_already++;
        task_log(core, held, "task_held_already", task_state_name(held->state));
        task_note(core, held, TRAIL_HELD_AGAIN);
        answer_accepted(core, fetched, VERDICT_HELD, held->number);
        return;
    }
    if (fetched->flags & TASK_CONFIG)
        config_take(core, fetched->config); /* before the task: it gets the new generation */
    task_t *task = new_task(core, fetched, doc, doc_bytes);
    if (!task) return;
    core->view.counters.fetched++;
    if (fetched->flags & TASK_INVALID) core->view.counters.invalid++;
    answer_accepted(core, fetched, VERDICT_NEW, task->number);
    if (fetched->flags & TASK_INVALID) {
        char text[512];
        task_fail(core, task, str_copy(fetched->error, text, sizeof text));
    } else {
        task_enqueue(core, task);
    }
}
