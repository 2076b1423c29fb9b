#include "executor/to_broker.h"

#include "common/clock.h"

static int send_ref(executor_t *self, const run_t *run, msg_type_t type) {
    msg_t msg = {.type = type};

    msg.ref = (msg_ref_t){.session = run->session, .number = run->number, .attempt = run->attempt};
    return link_send(self->link, &msg);
}

static int send_return(executor_t *self, const run_t *run) {
    msg_t msg = {.type = MSG_RETURN};

    msg.give_back = (msg_return_t){
        .session = run->session, .number = run->number, .attempt = run->attempt, .started = run->started};
    return link_send(self->link, &msg);
}

static int64_t since_start(const run_t *run, int64_t at_ms) {
    return at_ms && at_ms >= run->started_ms ? at_ms - run->started_ms : -1;
}

static int send_result(executor_t *self, const run_t *run) {
    msg_t msg = {.type = MSG_RESULT};

    msg.result = (msg_result_t){.session = run->session,
                                .number = run->number,
                                .attempt = run->attempt,
                                .stream = run->flags & RESULT_STREAM ? run->body.stream : 0,
                                .flags = run->flags,
                                .http_status = run->http_status,
                                .tool_ms = run->tool_ms,
                                .body_bytes = run->body_bytes,
                                .connect_ms = since_start(run, run->connected_ms),
                                .first_byte_ms = since_start(run, run->first_byte_ms),
                                .ended_ms = (uint32_t)(clock_boot_ms() - run->ended_ms)};
    return link_push(self->link, &msg, run->result, run->result_bytes);
}

/* A running task that is claimed has nothing to say. */
static bool has_to_say(const run_t *run) {
    bool body_waits = run->body.has_file && run->body.state != OUTGOING_SENT;
    return !run->claimed || run->give_back || (run->result && !body_waits);
}

void to_broker_send_due(executor_t *self, run_t *run) {
    if (!has_to_say(run) || link_session(self->link) != run->session || self->now_ms < run->next_send_ms)
        return;
    run->next_send_ms = self->now_ms + PROTOCOL_REPEAT_MS;
    if (!run->claimed)
        (void)send_ref(self, run, MSG_CLAIM);
    else if (run->give_back)
        (void)send_return(self, run);
    else
        (void)send_result(self, run);
}

int64_t to_broker_due_ms(const executor_t *self, const run_t *run) {
    if (!has_to_say(run) || link_session(self->link) != run->session) return INT64_MAX;
    return run->next_send_ms;
}
