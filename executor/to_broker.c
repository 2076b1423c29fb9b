#include "executor/to_broker.h"

#include "common/clock.h"
#include "common/log.h"

/* A RESULT lies in a pipe with all else that goes to the broker, and may be long on its way. */
#define DOUBLINGS     4     /* of the time until it is said again: 1 s to 16 s */
#define OCTETS_PER_MS 64    /* a slower way than this is not reckoned with */
#define LATEST_MS     60000 /* whatever is answered meanwhile */
#define SHUT_TELL_MS  10000 /* nothing goes out for so long */
#define FULL_RETRY_MS 20    /* the pipe is full, or not connected to a new broker yet */

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
                                .ended_ms = (uint32_t)(clock_boot_ms() - run->ended_ms),
                                .reason = str_of(run->why)};
    return link_push(self->link, &msg, run->result, run->result_bytes);
}

/* A running task that is claimed has nothing to say. */
static bool has_to_say(const run_t *run) {
    bool body_waits = run->body.has_file && run->body.state != OUTGOING_SENT;
    return !run->claimed || run->give_back || (run->result && !body_waits);
}

static bool says_result(const run_t *run) {
    return run->claimed && !run->give_back;
}

/* When what was said last is said again. A RESULT that a later one has passed is lost; any other may be on
 * its way as long as the broker answers others. */
static int64_t repeat_ms(const executor_t *self, const run_t *run) {
    if (!says_result(run) || run->next_send_ms == 0 || run->sent_count == 0) return run->next_send_ms;
    uint32_t repeats = run->sent_count - 1;
    int64_t wait_ms = (int64_t)PROTOCOL_REPEAT_MS << (repeats < DOUBLINGS ? repeats : DOUBLINGS);
    if (self->results_stored > run->sent_place) return run->sent_ms + wait_ms;
    wait_ms += (int64_t)(run->result_bytes / OCTETS_PER_MS);
    int64_t quiet_ms = self->answered_ms > run->sent_ms ? self->answered_ms : run->sent_ms;
    int64_t latest_ms = run->sent_ms + LATEST_MS;
    return quiet_ms + wait_ms < latest_ms ? quiet_ms + wait_ms : latest_ms;
}

/* Once when it lasts, and once when it is over. */
static void tell_way_back(executor_t *self, bool went) {
    bool told = self->shut_ms < 0;
    if (went && told) log_info("results_go_out", NULL);
    if (went) {
        self->shut_ms = 0;
    } else if (self->shut_ms == 0) {
        self->shut_ms = self->now_ms;
    } else if (!told && self->now_ms - self->shut_ms >= SHUT_TELL_MS) {
        log_error("results_do_not_go_out",
                  "for_ms=%d why=\"the broker's results-in takes nothing; can its port be reached?\"",
                  SHUT_TELL_MS);
        self->shut_ms = -1;
    }
}

static void say_result(executor_t *self, run_t *run) {
    bool first = run->next_send_ms == 0;
    run->next_send_ms = self->now_ms + FULL_RETRY_MS; /* until it has gone out once */
    run->sent_ms = self->now_ms;
    if (first) run->sent_count = 0;
    bool went = send_result(self, run) == 0;
    tell_way_back(self, went);
    if (!went) return;
    if (run->sent_count++ == 0) run->sent_place = ++self->results_sent;
}

void to_broker_send_due(executor_t *self, run_t *run) {
    if (!has_to_say(run) || link_session(self->link) != run->session || self->now_ms < repeat_ms(self, run))
        return;
    if (says_result(run)) {
        say_result(self, run);
        return;
    }
    run->next_send_ms = self->now_ms + PROTOCOL_REPEAT_MS;
    if (!run->claimed)
        (void)send_ref(self, run, MSG_CLAIM);
    else
        (void)send_return(self, run);
}

void to_broker_stored(executor_t *self, const run_t *run) {
    self->answered_ms = self->now_ms;
    if (run->result && run->sent_place > self->results_stored) self->results_stored = run->sent_place;
}

int64_t to_broker_due_ms(const executor_t *self, const run_t *run) {
    if (!has_to_say(run) || link_session(self->link) != run->session) return INT64_MAX;
    return repeat_ms(self, run);
}
