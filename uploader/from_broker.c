#include "uploader/from_broker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ac_answer.h"
#include "common/log.h"

#define FULL_RETRY_MS 20
#define UNHEARD_MAX   8                    /* delivered again when the machine ends now */
#define UNNOTED_MAX   2                    /* ... or this process */
#define TABLE_SIZE    (2 * UPLOADER_SLOTS) /* results of an old session may still be held when new ones come */

struct from_broker_t {
    from_broker_handler_t handler;
    taken_t *taken;
    bool draining;
    uint64_t order;
    unsigned count;
    result_t *results[TABLE_SIZE];
};

from_broker_t *from_broker_new(const from_broker_handler_t *handler, taken_t *taken) {
    from_broker_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->handler = *handler;
    self->taken = taken;
    return self;
}

static void close_zip(result_t *result) {
    if (result->zip_fd >= 0) (void)close(result->zip_fd);
    result->zip_fd = -1;
}

static void free_result(result_t *result) {
    close_zip(result);
    zframe_destroy(&result->payload);
    text_clear(&result->finished);
    free(result->task_id);
    free(result);
}

void from_broker_destroy(from_broker_t **self_p) {
    from_broker_t *self = *self_p;
    if (!self) return;
    for (unsigned i = 0; i < self->count; i++)
        free_result(self->results[i]);
    free(self);
    *self_p = NULL;
}

static result_t *find(from_broker_t *self, uint64_t number) {
    for (unsigned i = 0; i < self->count; i++)
        if (self->results[i]->number == number) return self->results[i];
    return NULL;
}

/* Something is under way for it that ends by itself. */
static bool is_at_work(result_state_t state) {
    return state == RESULT_POSTING || state == RESULT_STORING || state == RESULT_PACKING;
}

static void forget(from_broker_t *self, result_t *result) {
    if (is_at_work(result->state)) self->handler.abort(self->handler.ctx, result);
    for (unsigned i = 0; i < self->count; i++) {
        if (self->results[i] != result) continue;
        self->results[i] = self->results[--self->count];
        self->results[self->count] = NULL;
        free_result(result);
        return;
    }
}

static void refer(const msg_task_t *task, result_t *result, int64_t now_ms) {
    result->session = task->session;
    result->attempt = task->attempt;
    result->given_up = task->tries >= GIVEN_UP_TRIES;
    result->call = (call_t)task->call;
    result->send_ms = now_ms;
}

void from_broker_task(from_broker_t *self, const msg_task_t *task, zframe_t **payload, int64_t now_ms) {
    result_t *result = find(self, task->number);
    if (result && result->state == RESULT_OUTCOME && result->attempt != task->attempt) {
        forget(self, result); /* handed out again: this overtook GONE */
        result = NULL;
    }
    if (result) { /* pushed again: the broker took the earlier push back before our CLAIM reached it */
        if (result->state == RESULT_CLAIMING || result->state == RESULT_RETURNING)
            refer(task, result, now_ms);
        return;
    }
    if (self->count == TABLE_SIZE || task->stage != STAGE_UPLOAD) {
        log_error("task_unexpected", "number=%" PRIu64 " stage=%u held=%u", task->number, task->stage,
                  self->count);
        return; /* never claimed, it is taken back by the broker */
    }
    result = calloc(1, sizeof *result);
    char *task_id = result ? strndup(task->task_id.ptr, task->task_id.len) : NULL;
    if (!task_id) {
        free(result);
        log_error("out_of_memory", "number=%" PRIu64, task->number);
        return;
    }
    result->zip_fd = -1;
    result->number = task->number;
    result->task_id = task_id;
    result->payload = *payload;
    *payload = NULL;
    result->order = ++self->order;
    result->state = self->draining ? RESULT_RETURNING : RESULT_CLAIMING;
    refer(task, result, now_ms);
    self->results[self->count++] = result;
}

bool from_broker_taken(from_broker_t *self, result_t *result, int64_t now_ms) {
    if (!taken_has(self->taken, result->number, result->task_id)) return false;
    call_t call = result->call == CALL_UPLOAD_URL ? CALL_PUT_RESULT : result->call;
    ac_answer_t answer = {.call = call,
                          .outcome = OUTCOME_DONE,
                          .http_status = 200,
                          .retry_after_ms = -1,
                          .date = "",
                          .reason = ""};
    log_info("result_taken_before", "number=%" PRIu64 " attempt=%u", result->number, result->attempt);
    from_broker_outcome(self, result, 0, &answer, now_ms);
    return true;
}

static void on_claimed(from_broker_t *self, const msg_ref_t *ref, int64_t now_ms) {
    result_t *result = find(self, ref->number);
    if (!result || result->attempt != ref->attempt || result->state != RESULT_CLAIMING) return;
    result->state = RESULT_CLAIMED;
    if (from_broker_taken(self, result, now_ms)) return;
    if (result->call >= CALL_PUT_RESULT && result->call <= CALL_UPLOAD_LOGS) return;
    ac_answer_t answer = {.call = result->call,
                          .outcome = OUTCOME_REFUSED,
                          .retry_after_ms = -1,
                          .date = "",
                          .reason = "this build does not know the call"};
    log_error("call_unsupported", "number=%" PRIu64 " call=%s", result->number, ac_call_name(result->call));
    from_broker_outcome(self, result, 0, &answer, now_ms);
}

void from_broker_message(from_broker_t *self, const msg_t *msg, int64_t now_ms) {
    result_t *result;
    switch (msg->type) {
    case MSG_CLAIMED:
        on_claimed(self, &msg->ref, now_ms);
        break;
    case MSG_GONE:
        result = find(self, msg->ref.number);
        if (result && result->attempt == msg->ref.attempt &&
            (result->state == RESULT_OUTCOME || result->state == RESULT_RETURNING ||
             result->state == RESULT_CLAIMING)) { /* a TASK that came twice, the second time after its GONE */
            if (result->state == RESULT_OUTCOME) taken_drop(self->taken, result->number, result->task_id);
            forget(self, result);
        }
        break;
    case MSG_DENIED:
        result = find(self, msg->denied.number);
        if (!result || result->attempt != msg->denied.attempt) break;
        log_info("task_denied", "number=%" PRIu64 " attempt=%u reason=%u state=%d", result->number,
                 result->attempt, msg->denied.reason, (int)result->state);
        forget(self, result);
        break;
    default:
        break;
    }
}

void from_broker_welcome(from_broker_t *self, const msg_welcome_t *welcome, int64_t now_ms) {
    for (uint32_t i = 0; i < welcome->drop.count; i++) {
        result_t *result = find(self, welcome->drop.items[i]);
        if (result) forget(self, result);
    }
    for (unsigned i = 0; i < self->count; i++) {
        result_t *result = self->results[i];
        result->session = welcome->session;
        result->send_ms = now_ms;
        if (result->state == RESULT_CLAIMED) result->state = RESULT_CLAIMING; /* it was told as phase 1 */
    }
}

static uint8_t phase_of(result_state_t state) {
    if (is_at_work(state)) return PHASE_STARTED;
    return state == RESULT_OUTCOME ? PHASE_FINISHED : PHASE_UNSTARTED;
}

uint32_t from_broker_held(const from_broker_t *self, msg_held_t *items, uint32_t max) {
    uint32_t count = 0;
    for (unsigned i = 0; i < self->count && count < max; i++) {
        const result_t *result = self->results[i];
        items[count++] =
            (msg_held_t){result->session, result->number, result->attempt, phase_of(result->state)};
    }
    return count;
}

bool result_is_large(const result_t *result) {
    return result->call == CALL_UPLOAD_RESULT || result->call == CALL_UPLOAD_LOGS ||
           (result->call == CALL_UPLOAD_URL && result->finished.len == 0);
}

static bool lacks_zip(const result_t *result) {
    return result->call == CALL_UPLOAD_LOGS && result->zip_fd < 0;
}

static bool may_post(const result_t *result, bool large) {
    return result->state == RESULT_CLAIMED && !lacks_zip(result) && (large || !result_is_large(result));
}

result_t *from_broker_unpacked(const from_broker_t *self) {
    result_t *oldest = NULL;
    for (unsigned i = 0; i < self->count; i++) {
        result_t *result = self->results[i];
        if (result->state == RESULT_CLAIMED && lacks_zip(result) &&
            (!oldest || result->order < oldest->order))
            oldest = result;
    }
    return oldest;
}

/* One that AC has failed on many times lets as many as there are slots go first, of those that came after it;
 * not all, for it keeps its slot from others until it is posted. */
static uint64_t turn_of(const result_t *result) {
    return result->order + (result->given_up ? UPLOADER_SLOTS : 0);
}

result_t *from_broker_next(from_broker_t *self, bool large) {
    result_t *next = NULL;
    for (unsigned i = 0; i < self->count; i++) {
        result_t *result = self->results[i];
        if (may_post(result, large) && (!next || turn_of(result) < turn_of(next))) next = result;
    }
    return next;
}

unsigned from_broker_waiting(const from_broker_t *self, bool large) {
    unsigned waiting = 0;
    for (unsigned i = 0; i < self->count; i++)
        waiting += may_post(self->results[i], large);
    return waiting;
}

unsigned from_broker_unheard(const from_broker_t *self, int64_t now_ms, int64_t *age_ms) {
    unsigned count = 0;
    *age_ms = 0;
    for (unsigned i = 0; i < self->count; i++) {
        const result_t *result = self->results[i];
        if (result->state != RESULT_OUTCOME || result->outcome.outcome != OUTCOME_DONE) continue;
        if (now_ms - result->outcome_ms > *age_ms) *age_ms = now_ms - result->outcome_ms;
        count++;
    }
    return count;
}

unsigned from_broker_unheard_max(const from_broker_t *self) {
    return self->taken ? UNHEARD_MAX : UNNOTED_MAX;
}

unsigned from_broker_count(const from_broker_t *self) {
    return self->count;
}

void from_broker_outcome(from_broker_t *self, result_t *result, uint64_t credit, const ac_answer_t *answer,
                         int64_t now_ms) {
    if (answer->outcome == OUTCOME_DONE) taken_note(self->taken, result->number, result->task_id);
    size_t len = strnlen(answer->reason, sizeof result->reason - 1);
    memcpy(result->reason, answer->reason, len);
    result->reason[len] = '\0';
    result->state = RESULT_OUTCOME;
    result->send_ms = result->outcome_ms = now_ms;
    result->outcome = (msg_uploaded_t){.credit = credit,
                                       .call = (uint8_t)answer->call,
                                       .outcome = (uint8_t)answer->outcome,
                                       .http_status = answer->http_status,
                                       .retry_after_ms = answer->retry_after_ms,
                                       .elapsed_ms = answer->elapsed_ms};
    close_zip(result);
    text_clear(&result->finished);
    zframe_destroy(&result->payload); /* the broker has it; handed out again, it comes again */
}

void from_broker_return(from_broker_t *self, bool all, int64_t now_ms) {
    self->draining = true;
    for (unsigned i = 0; i < self->count; i++) {
        result_t *result = self->results[i];
        if (result->state != RESULT_CLAIMING && !(all && result->state == RESULT_CLAIMED)) continue;
        result->state = RESULT_RETURNING;
        result->send_ms = now_ms;
    }
}

static bool message_for(const result_t *result, uint64_t session, msg_t *msg) {
    switch (result->state) {
    case RESULT_CLAIMING:
        msg->type = MSG_CLAIM;
        msg->ref = (msg_ref_t){session, result->number, result->attempt};
        return true;
    case RESULT_RETURNING:
        msg->type = MSG_RETURN;
        msg->give_back = (msg_return_t){session, result->number, result->attempt, 0};
        return true;
    case RESULT_OUTCOME:
        msg->type = MSG_UPLOADED;
        msg->uploaded = result->outcome;
        msg->uploaded.session = session;
        msg->uploaded.number = result->number;
        msg->uploaded.attempt = result->attempt;
        msg->uploaded.reason = str_of(result->reason);
        return true;
    default:
        return false;
    }
}

void from_broker_turn(from_broker_t *self, link_t *link, int64_t now_ms) {
    for (unsigned i = 0; i < self->count && link_session(link) != 0; i++) {
        result_t *result = self->results[i];
        msg_t msg;
        memset(&msg, 0, sizeof msg);
        if (now_ms < result->send_ms || !message_for(result, link_session(link), &msg)) continue;
        bool sent = link_send(link, &msg) == 0;
        result->send_ms = now_ms + (sent ? PROTOCOL_REPEAT_MS : FULL_RETRY_MS);
    }
}

int64_t from_broker_due(const from_broker_t *self) {
    int64_t due = INT64_MAX;
    for (unsigned i = 0; i < self->count; i++) {
        const result_t *result = self->results[i];
        bool sends = result->state != RESULT_CLAIMED && !is_at_work(result->state);
        if (sends && result->send_ms < due) due = result->send_ms;
    }
    return due;
}
