#include "uploader/uploader.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/absence.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/program.h"
#include "uploader/from_broker.h"
#include "uploader/logs_result.h"
#include "uploader/post_result.h"

#define CONNECTIONS 4    /* kept by curl: two in use, and more while a dead one is replaced */
#define LAST_MS     2000 /* after the drain timeout, for what was said last to be answered */
#define ROUNDS_MAX  64

struct uploader_t {
    http_t *http;
    link_t *link;
    absence_t absence; /* of the broker */
    ac_door_t *door;
    taken_t *taken;
    from_broker_t *results;
    post_result_t *posts;
    store_result_t *stores;
    logs_result_t *logs;
    metrics_t *metrics;
    int64_t now_ms, drain_end_ms;
    int drain_timeout_ms;
    bool draining, drain_over;
    bool debug_told; /* by the latest CONFIG */
};

/* What the broker says. */

static uint32_t on_held(void *ctx, msg_held_t *items, uint32_t max) {
    uploader_t *self = ctx;
    return from_broker_held(self->results, items, max);
}

static uint64_t on_credit(void *ctx) {
    uploader_t *self = ctx;
    return post_result_credit(self->posts);
}

static void on_welcome(void *ctx, const msg_welcome_t *welcome) {
    uploader_t *self = ctx;
    log_info("session_begun", "session=%" PRIu64 " credit_kept=%d held=%u dropped=%u", welcome->session,
             welcome->credit != 0, from_broker_count(self->results), welcome->drop.count);
    program_ready("in session with the broker");
    post_result_welcome(self->posts, welcome->credit, self->now_ms);
    from_broker_welcome(self->results, welcome, self->now_ms);
}

static void on_message(void *ctx, const msg_t *msg) {
    uploader_t *self = ctx;
    if (msg->type == MSG_CONFIG) {
        if (msg->config.debug != self->debug_told)
            log_set_level(msg->config.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
        self->debug_told = msg->config.debug;
        if (msg->config.verify) {
            ac_door_verify(self->door);
            store_result_verify(self->stores);
        }
    } else if (!post_result_message(self->posts, msg)) {
        from_broker_message(self->results, msg, self->now_ms);
    }
}

static void on_task(void *ctx, const msg_task_t *task, zframe_t **payload) {
    uploader_t *self = ctx;
    from_broker_task(self->results, task, payload, self->now_ms);
}

static void on_lost(void *ctx, const char *why) {
    uploader_t *self = ctx;
    char quoted[LOG_QUOTED_MAX];
    log_warn("session_lost", "why=%s held=%u", log_quote(why, quoted), from_broker_count(self->results));
    program_waits("waiting for the broker");
}

static void on_fault(void *ctx, const char *what) {
    char quoted[LOG_QUOTED_MAX];
    (void)ctx;
    log_error("protocol_fault", "what=%s", log_quote(what, quoted));
}

static void on_forget(void *ctx, result_t *result) {
    uploader_t *self = ctx;
    post_result_forget(self->posts, result);
    store_result_forget(self->stores, result);
    logs_result_forget(self->logs, result);
}

/* Making and ending. */

static const char *make_parts(uploader_t *self, const config_t *config, uint64_t instance, uint64_t place) {
    char endpoint[512];
    const char *why = "out of memory";
    from_broker_handler_t results = {self, on_forget};
    link_options_t options = {.role = ROLE_UPLOADER,
                              .broker = endpoint,
                              .name = config->name[0] ? config->name : "uploader",
                              .instance = instance,
                              .place = place,
                              .slots = UPLOADER_SLOTS};
    link_handler_t handler = {.ctx = self,
                              .held = on_held,
                              .credit = on_credit,
                              .welcome = on_welcome,
                              .message = on_message,
                              .task = on_task,
                              .lost = on_lost,
                              .fault = on_fault};
    config_broker_endpoint(config, endpoint, sizeof endpoint);
    self->http = http_new(CONNECTIONS);
    self->results = from_broker_new(&results, self->taken);
    if (!self->http || !self->results) return why;
    self->door = ac_door_new(config, self->http, &why);
    if (!self->door) return why;
    absence_init(&self->absence, endpoint);
    self->link = link_new(&options, &handler, &why);
    if (!self->link) return why;
    self->stores = store_result_new(config, self->http, self->results, self->metrics, &why);
    if (!self->stores) return why;
    self->logs = logs_result_new(config->log_dir, self->results);
    if (!self->logs) return "out of memory";
    self->posts = post_result_new(self->door, self->link, self->results, self->stores, config->runtime_dir,
                                  self->metrics);
    return self->posts ? NULL : "out of memory or timers";
}

static void open_taken(uploader_t *self, const char *state_dir, unsigned number) {
    char quoted[LOG_QUOTED_MAX];
    if (taken_open(state_dir, number - 1, &self->taken) != 0)
        log_warn("taken_not_opened", "why=%s remark=\"uploading goes on with fewer results at once\"",
                 log_quote(strerror(errno), quoted));
}

uploader_t *uploader_new(const config_t *config, uint64_t instance, uint64_t place, unsigned number,
                         char why[256]) {
    uploader_t *self = calloc(1, sizeof *self);
    const char *fault = "out of memory";
    if (self) {
        self->drain_timeout_ms = config->drain_timeout_s * 1000;
        self->metrics = program_metrics(config);
        open_taken(self, config->state_dir, number);
        fault = make_parts(self, config, instance, place);
    }
    if (!fault) return self;
    snprintf(why, 256, "%s", fault);
    uploader_destroy(&self);
    return NULL;
}

void uploader_destroy(uploader_t **self_p) {
    uploader_t *self = *self_p;
    if (!self) return;
    post_result_destroy(&self->posts);
    store_result_destroy(&self->stores);
    logs_result_destroy(&self->logs);
    from_broker_destroy(&self->results);
    taken_close(&self->taken);
    ac_door_destroy(&self->door);
    http_destroy(&self->http);
    link_destroy(&self->link);
    metrics_destroy(&self->metrics);
    free(self);
    *self_p = NULL;
}

/* The loop. */

static int apply(void *ctx, const config_t *fresh, const char **why) {
    uploader_t *self = ctx;
    (void)why;
    self->drain_timeout_ms = fresh->drain_timeout_s * 1000;
    return 0;
}

static void read_signals(uploader_t *self, config_t *config, int signal_fd) {
    for (int signal; (signal = program_signal(signal_fd)) > 0;) {
        if (signal == SIGHUP) program_reload(config, apply, self);
        if (signal == SIGHUP || self->draining) continue;
        self->draining = true;
        self->drain_end_ms = clock_boot_ms() + self->drain_timeout_ms;
        program_stopping(self->drain_timeout_ms);
        log_info("draining", "held=%u timeout_ms=%d", from_broker_count(self->results),
                 self->drain_timeout_ms);
        from_broker_return(self->results, false, clock_boot_ms());
    }
}

/* Everything that has come or is due, until nothing is left. */
static void work(uploader_t *self) {
    bool more = true;
    logs_result_turn(self->logs, clock_boot_ms());
    for (int round = 0; more && round < ROUNDS_MAX; round++) {
        self->now_ms = clock_boot_ms();
        more = link_turn(self->link, self->now_ms);
        http_turn(self->http);
        self->now_ms = clock_boot_ms();
        store_result_turn(self->stores, self->now_ms);
        post_result_turn(self->posts, self->now_ms);
        from_broker_turn(self->results, self->link, self->now_ms);
        more = more || link_unread(self->link) || http_due_ms(self->http) == 0;
    }
    absence_tell(&self->absence, link_session(self->link) != 0, self->now_ms);
    metrics_turn(self->metrics, self->now_ms);
}

/* The broker is away and no request is under way: what is held is in its journal, and what AC has of it is
 * noted, so that the next uploader goes on with it. */
static bool nothing_to_wait_for(const uploader_t *self) {
    return self->taken && link_session(self->link) == 0 && post_result_idle(self->posts) &&
           !store_result_busy(self->stores);
}

/* Whether the process may end now. */
static bool drained(uploader_t *self) {
    if (!self->draining) return false;
    if (!self->drain_over && self->now_ms >= self->drain_end_ms) {
        self->drain_over = true;
        self->drain_end_ms = self->now_ms + LAST_MS;
        from_broker_return(self->results, true, self->now_ms);
        post_result_abort(self->posts, "the drain timeout is up");
        store_result_abort(self->stores, self->now_ms);
        logs_result_abort(self->logs, self->now_ms);
        from_broker_turn(self->results, self->link, self->now_ms);
    }
    if (from_broker_count(self->results) == 0 && post_result_idle(self->posts)) return true; /* nor a PUT */
    if (nothing_to_wait_for(self)) return true;
    return self->drain_over && (self->now_ms >= self->drain_end_ms || link_session(self->link) == 0);
}

static long timeout_ms(const uploader_t *self) {
    int64_t now_ms = clock_boot_ms(), due = link_due(self->link), flush = metrics_due(self->metrics);
    int64_t post = post_result_due(self->posts, now_ms);
    int64_t send = link_session(self->link) ? from_broker_due(self->results) : INT64_MAX;
    long http = http_due_ms(self->http);
    due = post < due ? post : due;
    due = send < due ? send : due;
    due = flush < due ? flush : due;
    if (self->draining && self->drain_end_ms < due) due = self->drain_end_ms;
    if (due <= now_ms || http == 0 || logs_result_busy(self->logs)) return 0;
    due = due - now_ms > 10000 ? 10000 : due - now_ms;
    return http > 0 && http < due ? http : (long)due;
}

static void wait_for_events(uploader_t *self, int signal_fd) {
    const int fds[] = {http_fd(self->http), signal_fd};
    link_wait(self->link, fds, 2, program_wait_ms(timeout_ms(self)));
}

int uploader_run(uploader_t *self, config_t *config, int signal_fd) {
    for (;;) {
        read_signals(self, config, signal_fd);
        work(self);
        program_alive(self->now_ms);
        if (link_foreign(self->link)) return EXIT_FAILED;
        if (drained(self)) break;
        wait_for_events(self, signal_fd);
    }
    link_bye(self->link);
    log_info("stopped", "held=%u", from_broker_count(self->results));
    return EXIT_CLEAN;
}
