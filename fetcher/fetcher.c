#include "fetcher/fetcher.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/absence.h"
#include "common/ac_seat.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/program.h"
#include "fetcher/inbox.h"
#include "fetcher/poll_ac.h"
#include "fetcher/to_broker.h"

#define CONNECTIONS 2 /* kept by curl: the one in use, and one more while a dead one is replaced */
#define ROUNDS_MAX  64
#define ACCEPT_MS   2000 /* for the broker to accept at the end what is in the inbox already */

struct fetcher_t {
    http_t *http;
    link_t *link;
    absence_t absence; /* of the broker */
    ac_door_t *door;
    ac_seat_t *seat;
    inbox_t *inbox;
    window_t *window;
    to_broker_t *to_broker;
    poll_ac_t *poll_ac;
    metrics_t *metrics;
    uint64_t credit_seq;
    int64_t now_ms, drain_end_ms, saved_ms;
    int drain_timeout_ms;
    bool draining;      /* SIGTERM: the process is to end */
    bool broker_drains; /* no polls until the broker says otherwise */
    bool debug_told;    /* by the latest CONFIG */
};

/* What the broker says. */

static uint32_t on_held(void *ctx, msg_held_t *items, uint32_t max) {
    (void)ctx, (void)items, (void)max;
    return 0; /* a fetch has no number before it is accepted */
}

static uint64_t on_credit(void *ctx) {
    fetcher_t *self = ctx;
    return ac_seat_credit(self->seat);
}

static void on_welcome(void *ctx, const msg_welcome_t *welcome) {
    fetcher_t *self = ctx;
    log_info("session_begun", "session=%" PRIu64 " credit_kept=%d unaccepted=%u", welcome->session,
             welcome->credit != 0, to_broker_count(self->to_broker));
    program_ready("in session with the broker");
    self->broker_drains = false;
    ac_seat_welcome(self->seat, welcome->credit, self->now_ms);
    to_broker_welcome(self->to_broker, self->now_ms);
}

static void on_message(void *ctx, const msg_t *msg) {
    fetcher_t *self = ctx;
    switch (msg->type) {
    case MSG_ACCEPTED:
        to_broker_accepted(self->to_broker, &msg->accepted);
        break;
    case MSG_GRANT:
        if (!ac_seat_granted(self->seat, &msg->grant))
            ac_seat_decline(self->link, &msg->grant, ac_seat_used(self->seat, msg->grant.credit));
        break;
    case MSG_REVOKE:
        if (ac_seat_revoked(self->seat, &msg->revoke))
            log_debug("credit_revoked", "reason=%u", msg->revoke.reason);
        break;
    case MSG_DRAIN:
        self->broker_drains = msg->drain.mode != 0;
        break;
    case MSG_CONFIG:
        if (msg->config.debug != self->debug_told)
            log_set_level(msg->config.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
        self->debug_told = msg->config.debug;
        if (msg->config.verify) ac_door_verify(self->door);
        break;
    default:
        break;
    }
}

static void on_lost(void *ctx, const char *why) {
    fetcher_t *self = ctx;
    char quoted[LOG_QUOTED_MAX];
    log_warn("session_lost", "why=%s unaccepted=%u", log_quote(why, quoted),
             to_broker_count(self->to_broker));
    program_waits("waiting for the broker");
}

static void on_fault(void *ctx, const char *what) {
    char quoted[LOG_QUOTED_MAX];
    (void)ctx;
    log_error("protocol_fault", "what=%s", log_quote(what, quoted));
}

/* Making and ending. */

static const char *make_parts(fetcher_t *self, const config_t *config, uint64_t instance, uint64_t place) {
    char endpoint[512];
    const char *why = "out of memory";
    link_options_t options = {.role = ROLE_FETCHER,
                              .broker = endpoint,
                              .name = config->name[0] ? config->name : "fetcher",
                              .instance = instance,
                              .place = place};
    link_handler_t handler = {.ctx = self,
                              .held = on_held,
                              .credit = on_credit,
                              .welcome = on_welcome,
                              .message = on_message,
                              .lost = on_lost,
                              .fault = on_fault};
    config_broker_endpoint(config, endpoint, sizeof endpoint);
    self->http = http_new(CONNECTIONS);
    self->to_broker = to_broker_new(self->inbox, self->window, instance);
    if (!self->http || !self->to_broker) return why;
    self->door = ac_door_new(config, self->http, &why);
    if (!self->door) return why;
    absence_init(&self->absence, endpoint);
    self->link = link_new(&options, &handler, &why);
    if (!self->link) return why;
    self->seat = ac_seat_new(self->door, self->link, CREDIT_FETCH, &self->credit_seq);
    if (self->seat)
        self->poll_ac = poll_ac_new(self->seat, self->door, self->link, self->to_broker, self->metrics);
    if (!self->poll_ac) return "out of memory or timers";
    int rc = to_broker_load(self->to_broker);
    return rc == 0 ? NULL : rc == ERR_NOMEM ? "out of memory" : "the inbox cannot be read or synced";
}

static const char *open_files(fetcher_t *self, const char *state_dir) {
    char quoted[LOG_QUOTED_MAX];
    if (inbox_open(state_dir, &self->inbox) != 0) return strerror(errno);
    if (window_open(state_dir, &self->window) != 0)
        log_warn("window_not_opened", "why=%s remark=\"fetching goes on with fewer tasks at once\"",
                 log_quote(strerror(errno), quoted));
    return NULL;
}

fetcher_t *fetcher_new(const config_t *config, uint64_t instance, uint64_t place, char why[256]) {
    fetcher_t *self = calloc(1, sizeof *self);
    const char *fault = "out of memory";
    if (self) {
        self->drain_timeout_ms = config->drain_timeout_s * 1000;
        self->metrics = program_metrics(config);
        fault = open_files(self, config->state_dir);
        if (!fault) fault = make_parts(self, config, instance, place);
    }
    if (!fault) return self;
    snprintf(why, 256, "%s", fault);
    fetcher_destroy(&self);
    return NULL;
}

void fetcher_destroy(fetcher_t **self_p) {
    fetcher_t *self = *self_p;
    if (!self) return;
    ac_seat_destroy(&self->seat);
    poll_ac_destroy(&self->poll_ac);
    ac_door_destroy(&self->door);
    http_destroy(&self->http);
    to_broker_destroy(&self->to_broker);
    inbox_close(&self->inbox);
    window_close(&self->window);
    link_destroy(&self->link);
    metrics_destroy(&self->metrics);
    free(self);
    *self_p = NULL;
}

/* The loop. */

static int apply(void *ctx, const config_t *fresh, const char **why) {
    fetcher_t *self = ctx;
    (void)why;
    self->drain_timeout_ms = fresh->drain_timeout_s * 1000;
    return 0;
}

static void read_signals(fetcher_t *self, config_t *config, int signal_fd) {
    for (int signal; (signal = program_signal(signal_fd)) > 0;) {
        if (signal == SIGHUP) program_reload(config, apply, self);
        if (signal == SIGHUP || self->draining) continue;
        self->draining = true;
        self->drain_end_ms = clock_boot_ms() + self->drain_timeout_ms;
        program_stopping(self->drain_timeout_ms);
        log_info("draining", "polling=%d unaccepted=%u timeout_ms=%d", ac_seat_busy(self->seat),
                 to_broker_count(self->to_broker), self->drain_timeout_ms);
    }
}

/* Everything that has come or is due, until nothing is left. */
static void work(fetcher_t *self) {
    bool more = true;
    for (int round = 0; more && round < ROUNDS_MAX; round++) {
        self->now_ms = clock_boot_ms();
        more = link_turn(self->link, self->now_ms);
        http_turn(self->http);
        self->now_ms = clock_boot_ms();
        ac_seat_turn(self->seat, self->now_ms);
        poll_ac_stop(self->poll_ac, self->draining || self->broker_drains);
        poll_ac_turn(self->poll_ac, self->now_ms);
        ac_seat_turn(self->seat, self->now_ms);
        to_broker_turn(self->to_broker, self->link, !ac_seat_busy(self->seat), self->now_ms);
        more = more || link_unread(self->link) || http_due_ms(self->http) == 0;
    }
    absence_tell(&self->absence, link_session(self->link) != 0, self->now_ms);
    metrics_turn(self->metrics, self->now_ms);
}

/* A broker that is there gets a moment to take what is in the inbox: else it waits there for the next start.
 */
static bool handed_over(fetcher_t *self) {
    if (to_broker_count(self->to_broker) == 0) return true;
    if (!to_broker_saved(self->to_broker)) return false;
    if (self->saved_ms == 0) self->saved_ms = self->now_ms;
    return link_session(self->link) == 0 || self->now_ms - self->saved_ms >= ACCEPT_MS;
}

/* What ends with this process, and what the next one finds in the window. */
static int log_unsaved(const fetcher_t *self) {
    at_risk_t risk = to_broker_at_risk(self->to_broker, self->now_ms);
    if (risk.unsynced > risk.in_memory)
        log_info("tasks_kept",
                 "count=%u where=window remark=\"lost if the machine ends before the next start\"",
                 risk.unsynced - risk.in_memory);
    if (risk.in_memory == 0) return EXIT_CLEAN;
    log_error("tasks_lost",
              "count=%u why=\"not accepted, the inbox cannot be written, and the window has no room\"",
              risk.in_memory);
    return EXIT_FAILED;
}

/* Whether the process may end now; *status then is the exit status. */
static bool drained(fetcher_t *self, int *status) {
    if (!self->draining) return false;
    if (self->now_ms < self->drain_end_ms) return poll_ac_idle(self->poll_ac) && handed_over(self);
    ac_seat_abort(self->seat, "the drain timeout is up");
    ac_seat_release(self->seat);
    *status = log_unsaved(self);
    return true;
}

static long timeout_ms(const fetcher_t *self) {
    int64_t now_ms = clock_boot_ms(), due = link_due(self->link), flush = metrics_due(self->metrics);
    int64_t seat = ac_seat_due(self->seat, now_ms);
    int64_t send = to_broker_due(self->to_broker, link_session(self->link) != 0);
    long http = http_due_ms(self->http);
    due = seat < due ? seat : due;
    due = send < due ? send : due;
    due = flush < due ? flush : due;
    if (self->draining && self->drain_end_ms < due) due = self->drain_end_ms;
    if (due <= now_ms || http == 0) return 0;
    due = due - now_ms > 10000 ? 10000 : due - now_ms;
    return http > 0 && http < due ? http : (long)due;
}

static void wait_for_events(fetcher_t *self, int signal_fd) {
    const int fds[] = {http_fd(self->http), signal_fd};
    link_wait(self->link, fds, 2, program_wait_ms(timeout_ms(self)));
}

int fetcher_run(fetcher_t *self, config_t *config, int signal_fd) {
    int status = EXIT_CLEAN;
    for (;;) {
        read_signals(self, config, signal_fd);
        work(self);
        program_alive(self->now_ms);
        if (link_foreign(self->link)) return EXIT_FAILED;
        if (drained(self, &status)) break;
        wait_for_events(self, signal_fd);
    }
    link_bye(self->link);
    log_info("stopped", "unaccepted=%u", to_broker_count(self->to_broker));
    return status;
}
