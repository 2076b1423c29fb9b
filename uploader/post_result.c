#include "uploader/post_result.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "uploader/body_file.h"
#include "uploader/measure.h"

#define SEATS      2 /* more requests AC does not take */
#define AT_RISK_MS 5 /* so long a credit is kept while the broker is waited for */

/* A credit's work. */
typedef struct {
    post_result_t *owner;
    ac_seat_t *seat;
    result_t *result; /* being posted; NULL when none is, or it was forgotten */
    int fd;           /* its body, -1 for none */
    int64_t file_bytes;
} post_t;

struct post_result_t {
    const ac_door_t *door;
    metrics_t *metrics;
    link_t *link;
    from_broker_t *results;
    store_result_t *stores;
    char *runtime_dir;
    uint64_t credit_seq;
    outcome_t last; /* for telling a change in the log */
    post_t posts[SEATS];
};

post_result_t *post_result_new(ac_door_t *door, link_t *link, from_broker_t *results, store_result_t *stores,
                               const char *runtime_dir, metrics_t *metrics) {
    post_result_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->door = door;
    self->metrics = metrics;
    self->link = link;
    self->results = results;
    self->stores = stores;
    self->runtime_dir = strdup(runtime_dir);
    self->last = OUTCOME_DONE;
    for (int i = 0; i < SEATS; i++) {
        self->posts[i].owner = self;
        self->posts[i].fd = -1;
        self->posts[i].seat = ac_seat_new(door, link, CREDIT_UPLOAD, &self->credit_seq);
        if (self->posts[i].seat && self->runtime_dir) continue;
        post_result_destroy(&self);
        return NULL;
    }
    return self;
}

static void close_body(post_t *post) {
    if (post->fd > 0) (void)close(post->fd); /* a seat that was never made has 0 */
    post->fd = -1;
}

void post_result_destroy(post_result_t **self) {
    if (!*self) return;
    for (int i = 0; i < SEATS; i++)
        ac_seat_destroy(&(*self)->posts[i].seat);
    for (int i = 0; i < SEATS; i++)
        close_body(&(*self)->posts[i]);
    free((*self)->runtime_dir);
    free(*self);
    *self = NULL;
}

/* A GRANT that no seat takes is given back, with what was used of it when it was here before. */
static void decline(const post_result_t *self, const msg_grant_t *grant) {
    uint16_t used = 0;
    for (int i = 0; i < SEATS; i++) {
        uint16_t known = ac_seat_used(self->posts[i].seat, grant->credit);
        used = known > used ? known : used;
    }
    ac_seat_decline(self->link, grant, used);
}

bool post_result_message(post_result_t *self, const msg_t *msg) {
    bool ours = false;
    if (msg->type == MSG_GRANT) {
        for (int i = 0; i < SEATS && !ours; i++)
            ours = ac_seat_granted(self->posts[i].seat, &msg->grant);
        if (!ours) decline(self, &msg->grant);
        return true;
    }
    if (msg->type != MSG_REVOKE) return false;
    for (int i = 0; i < SEATS && !ours; i++)
        ours = ac_seat_revoked(self->posts[i].seat, &msg->revoke);
    if (ours) log_debug("credit_revoked", "reason=%u", msg->revoke.reason);
    return true;
}

void post_result_welcome(post_result_t *self, uint64_t credit, int64_t now_ms) {
    for (int i = 0; i < SEATS; i++)
        ac_seat_welcome(self->posts[i].seat, credit, now_ms);
}

uint64_t post_result_credit(const post_result_t *self) {
    uint64_t credit = 0;
    for (int i = 0; i < SEATS; i++) {
        const ac_seat_t *seat = self->posts[i].seat;
        if (ac_seat_held(seat) && (credit == 0 || ac_seat_busy(seat))) credit = ac_seat_credit(seat);
        if (ac_seat_busy(seat)) break;
    }
    return credit;
}

void post_result_forget(post_result_t *self, const result_t *result) {
    for (int i = 0; i < SEATS; i++) {
        if (self->posts[i].result != result) continue;
        self->posts[i].result = NULL;
        ac_seat_abort(self->posts[i].seat, "the broker took the result back");
        ac_seat_release(self->posts[i].seat);
    }
}

void post_result_abort(post_result_t *self, const char *why) {
    for (int i = 0; i < SEATS; i++) {
        ac_seat_abort(self->posts[i].seat, why);
        ac_seat_unwant(self->posts[i].seat);
        ac_seat_release(self->posts[i].seat);
    }
}

/* Once per change of kind. */
static void tell(post_result_t *self, const result_t *result, const ac_answer_t *answer) {
    char quoted[LOG_QUOTED_MAX];
    if (answer->outcome == OUTCOME_DONE && self->last != OUTCOME_DONE) log_info("upload_well_again", NULL);
    if (answer->outcome != OUTCOME_DONE &&
        (answer->outcome != self->last || answer->outcome == OUTCOME_REFUSED))
        log_warn("upload_failed",
                 "number=%" PRIu64 " attempt=%u outcome=%d status=%u retry_after_ms=%" PRId64 " why=%s",
                 result->number, result->attempt, (int)answer->outcome, answer->http_status,
                 answer->retry_after_ms, log_quote(answer->reason, quoted));
    self->last = answer->outcome;
}

static bool begin(post_t *post, result_t *result, bool fresh, int64_t now_ms);

static void on_answer(void *ctx, const ac_answer_t *answer) {
    post_t *post = ctx;
    post_result_t *self = post->owner;
    int64_t now_ms = clock_boot_ms();
    result_t *result = post->result;
    post->result = NULL;
    close_body(post);
    if (!result) return;
    if (answer->stale && ac_seat_may_start(post->seat, now_ms) && begin(post, result, true, now_ms)) return;
    tell(self, result, answer);
    measure_post(self->metrics, self->door, result, answer, post->file_bytes);
    if (answer->call == CALL_UPLOAD_URL && answer->outcome == OUTCOME_DONE) {
        store_result_begin(self->stores, result, answer, now_ms);
        return;
    }
    from_broker_outcome(self->results, result, ac_seat_credit(post->seat), answer, now_ms);
    if (answer->outcome == OUTCOME_DONE || answer->outcome == OUTCOME_REFUSED)
        return;                                          /* the next turn goes on */
    from_broker_turn(self->results, self->link, now_ms); /* UPLOADED goes before RELEASE */
    ac_seat_release(post->seat);
}

/* The body of the result goes with the request; false when it cannot be read, which is the outcome then. */
static bool take_body(post_t *post, result_t *result, ac_request_t *request, int64_t now_ms) {
    int64_t bytes = 0;
    int fd = body_file_open(post->owner->runtime_dir, result->number, &bytes);
    if (fd < 0) {
        body_file_unreadable(post->owner->results, result, fd, now_ms);
        return false;
    }
    post->fd = request->fd = fd;
    post->file_bytes = bytes;
    request->file_bytes = bytes;
    return true;
}

/* False when nothing was begun; the result may have its outcome then. */
static bool begin(post_t *post, result_t *result, bool fresh, int64_t now_ms) {
    bool finished = result->finished.len > 0;
    char name[BODY_NAME_SIZE] = "", quoted[LOG_QUOTED_MAX];
    bool logs = result->call == CALL_UPLOAD_LOGS;
    post->file_bytes = result->zip_bytes;
    ac_request_t request = {.call = finished && !logs ? CALL_PUT_RESULT : result->call,
                            .json = finished ? result->finished.ptr : (void *)zframe_data(result->payload),
                            .json_bytes = finished ? result->finished.len : zframe_size(result->payload),
                            .file_name = name,
                            .fd = result->zip_fd,
                            .file_bytes = result->zip_bytes,
                            .fresh = fresh};
    if (request.call == CALL_UPLOAD_URL)
        body_file_name(result->task_id, "", "", name);
    else if (request.call != CALL_PUT_RESULT)
        body_file_name(result->task_id, "_", ".zip", name);
    if (request.call == CALL_UPLOAD_RESULT && !take_body(post, result, &request, now_ms)) return false;
    int rc = ac_seat_start(post->seat, &request, now_ms, on_answer, post);
    if (rc != 0) {
        log_error("upload_not_started", "number=%" PRIu64 " why=%s", result->number,
                  log_quote(err_str(rc), quoted));
        close_body(post);
        return false;
    }
    result->state = RESULT_POSTING;
    post->result = result;
    return true;
}

static bool large_may(const post_result_t *self) {
    bool busy = store_result_busy(self->stores);
    for (int i = 0; i < SEATS; i++)
        busy = busy || (self->posts[i].result && result_is_large(self->posts[i].result));
    return !busy;
}

/* What AC is being given, and what it has and the broker does not know of, may be delivered a second time
 * when the machine ends now. So many, and further ones wait for the broker. */
static bool at_risk(const post_result_t *self, int64_t now_ms, int64_t *age_ms) {
    unsigned count = from_broker_unheard(self->results, now_ms, age_ms);
    for (int i = 0; i < SEATS; i++)
        count += ac_seat_busy(self->posts[i].seat);
    return count >= from_broker_unheard_max(self->results);
}

/* A credit that is held and idle posts, or is given back. */
static void serve(post_result_t *self, post_t *post, int64_t now_ms) {
    if (!ac_seat_held(post->seat) || ac_seat_busy(post->seat)) return;
    int64_t age_ms;
    if (at_risk(self, now_ms, &age_ms)) { /* a moment with the credit in hand, longer without it */
        if (age_ms >= AT_RISK_MS) ac_seat_release(post->seat);
        return;
    }
    result_t *next;
    do /* another uploader may have posted it since it was claimed here */
        next = from_broker_next(self->results, large_may(self));
    while (next && from_broker_taken(self->results, next, now_ms));
    bool again = next && next->attempt > 1; /* on a connection of its own */
    if (next && ac_seat_may_start(post->seat, now_ms) && begin(post, next, again, now_ms)) return;
    from_broker_turn(self->results, self->link, now_ms);      /* UPLOADED goes before RELEASE */
    if (!next && ac_seat_lingers(post->seat, now_ms)) return; /* the next result may be on its way */
    ac_seat_release(post->seat);
}

static void unwant_if_idle(post_result_t *self, int64_t now_ms) {
    int64_t age_ms;
    bool idle = at_risk(self, now_ms, &age_ms) || from_broker_waiting(self->results, large_may(self)) == 0;
    for (int i = 0; idle && i < SEATS; i++)
        ac_seat_unwant(self->posts[i].seat);
}

/* One WANT at a time: the broker cannot tell a second from a repeated first. Comes after serve(), so that a
 * credit that is held is busy, or nothing waits. */
static void want(post_result_t *self, int64_t now_ms) {
    ac_seat_t *empty = NULL;
    for (int i = SEATS - 1; i >= 0; i--) {
        ac_seat_t *seat = self->posts[i].seat;
        if (ac_seat_wants(seat)) return;
        if (!ac_seat_held(seat)) empty = seat;
    }
    int64_t age_ms;
    if (empty && !at_risk(self, now_ms, &age_ms) && from_broker_waiting(self->results, large_may(self)) > 0)
        ac_seat_want(empty, now_ms);
}

void post_result_turn(post_result_t *self, int64_t now_ms) {
    unwant_if_idle(self, now_ms);
    for (int i = 0; i < SEATS; i++)
        ac_seat_turn(self->posts[i].seat, now_ms);
    if (link_session(self->link) == 0) return;
    for (int i = 0; i < SEATS; i++)
        serve(self, &self->posts[i], now_ms);
    unwant_if_idle(self, now_ms);
    want(self, now_ms);
    for (int i = 0; i < SEATS; i++)
        ac_seat_turn(self->posts[i].seat, now_ms);
}

int64_t post_result_due(const post_result_t *self, int64_t now_ms) {
    int64_t due = INT64_MAX;
    for (int i = 0; i < SEATS; i++) {
        int64_t seat = ac_seat_due(self->posts[i].seat, now_ms);
        due = seat < due ? seat : due;
        bool waits = ac_seat_held(self->posts[i].seat) && !ac_seat_busy(self->posts[i].seat);
        if (waits && now_ms + AT_RISK_MS < due) due = now_ms + AT_RISK_MS;
    }
    return due;
}

bool post_result_idle(const post_result_t *self) {
    for (int i = 0; i < SEATS; i++)
        if (ac_seat_busy(self->posts[i].seat) || ac_seat_held(self->posts[i].seat)) return false;
    return true;
}
