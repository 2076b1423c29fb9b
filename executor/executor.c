#include "executor/executor.h"

#include <signal.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/pace.h"
#include "common/program.h"
#include "executor/drain.h"
#include "executor/from_broker.h"
#include "executor/run_task.h"
#include "executor/send_body.h"
#include "executor/to_broker.h"

#define TURN_EVERY_US 150 /* under load: what the tools answer meanwhile goes to the broker together */
#define FREE_TURNS    8

int executor_new(const config_t *config, const link_key_t *key, uint64_t instance, uint64_t place,
                 executor_t **self, const char **why) {
    executor_t *result = calloc(1, sizeof *result);
    char broker[512], policy_why[POLICY_WHY_MAX];
    link_options_t options = {.role = ROLE_EXECUTOR,
                              .broker = broker,
                              .name = config->name,
                              .instance = instance,
                              .place = place,
                              .key = key,
                              .slots = (uint16_t)config->executor_pool_size};
    link_handler_t handler = from_broker_handler(result);
    *why = err_str(ERR_NOMEM);
    if (!result) return ERR_NOMEM;
    result->pool_size = result->own_pool_size = options.slots;
    result->drain_timeout_ms = config->drain_timeout_s * 1000;
    result->now_ms = clock_boot_ms();
    result->turn_octets = RESPONSE_ALL_TURN_BYTES;
    config_broker_endpoint(config, broker, sizeof broker);
    result->slots = slots_new();
    result->metrics = program_metrics(config);
    result->http = http_new(0); /* what one task leaves on a connection is not for another */
    if (!result->slots || !result->http) {
        executor_destroy(&result);
        return ERR_NOMEM;
    }
    if (policy_gate_new(config, &result->policy, policy_why) != 0)
        *why = "the policy cannot be read any more; see --check-config";
    else if (settings_init(&result->settings, config, why) == 0)
        result->link = link_new(&options, &handler, why);
    if (!result->link) {
        executor_destroy(&result);
        return ERR_INVALID;
    }
    absence_init(&result->absence, broker);
    *self = result;
    return 0;
}

void executor_destroy(executor_t **self) {
    executor_t *it = self ? *self : NULL;

    if (!it) return;
    for (uint32_t i = it->slots ? slots_count(it->slots) : 0; i-- > 0;)
        run_forget(it, slots_at(it->slots, i));
    slots_destroy(&it->slots);
    http_destroy(&it->http);
    link_destroy(&it->link);
    policy_gate_destroy(&it->policy);
    settings_clear(&it->settings);
    metrics_destroy(&it->metrics);
    free(it->chunk);
    free(it);
    *self = NULL;
}

/* Requests that run keep what they began with. What the broker tells stays as it is. */
static int apply(void *ctx, const config_t *fresh, const char **why) {
    executor_t *self = ctx;
    settings_t settings;
    int err = settings_init(&settings, fresh, why);
    uint16_t slots = (uint16_t)fresh->executor_pool_size;

    if (err) return err;
    settings.verify = self->settings.verify;
    settings.upload_to_ac = self->settings.upload_to_ac;
    char *state_dir = settings.state_dir; /* responses under way borrow the one there is */
    settings.state_dir = self->settings.state_dir;
    self->settings.state_dir = state_dir;
    settings_clear(&self->settings);
    self->settings = settings;
    self->drain_timeout_ms = fresh->drain_timeout_s * 1000;
    if (slots == self->own_pool_size) return 0;
    self->own_pool_size = slots;
    executor_set_slots(self, slots);
    return 0;
}

void executor_set_slots(executor_t *self, uint16_t slots) {
    if (slots == self->pool_size) return;
    log_info("config", "slots=%u before=%u", slots, self->pool_size);
    self->pool_size = slots;
    link_set_slots(self->link, slots);
}

static void read_signals(executor_t *self, config_t *config, int signal_fd) {
    for (int signal; (signal = program_signal(signal_fd)) != 0;) {
        if (signal == SIGHUP) program_reload(config, apply, self);
        if (signal != SIGTERM && signal != SIGINT) continue;
        program_stopping(self->drain_timeout_ms);
        drain_begin(self);
    }
}

/* Lets paused transfers go on, from where the last turn ended, until the octets of this one are used up: then
 * those that wait come first in the next. True when there were any. */
static bool resume(executor_t *self) {
    bool any = false;

    self->turn_octets = RESPONSE_ALL_TURN_BYTES;
    for (uint32_t n = slots_count(self->slots); n > 0 && self->turn_octets > 0; n--) {
        uint32_t count = slots_count(self->slots);
        if (count == 0) break;
        any = run_resume(self, slots_at(self->slots, self->resumed++ % count)) || any;
    }
    return any;
}

/* Everything that is due or has come, until nothing is left; true when the bounds of a turn left some. */
static bool work(executor_t *self) {
    bool more = true;

    for (int round = 0; more && round < 64; round++) {
        self->now_ms = clock_boot_ms();
        more = link_turn(self->link, self->now_ms);
        http_turn(self->http);
        more = more || link_unread(self->link) || http_due_ms(self->http) == 0;
    }
    more = false;
    self->now_ms = clock_boot_ms();
    for (uint32_t i = slots_count(self->slots); i-- > 0;) {
        run_t *run = slots_at(self->slots, i);
        more = send_body_turn(self, run) || more;
        if (i >= slots_count(self->slots) || slots_at(self->slots, i) != run) continue; /* forgotten */
        to_broker_send_due(self, run);
        run_start_if_due(self, run);
    }
    more = resume(self) || more;
    absence_tell(&self->absence, link_session(self->link) != 0, self->now_ms);
    metrics_turn(self->metrics, self->now_ms);
    policy_gate_turn(self->policy, self->now_ms);
    return more;
}

/* Milliseconds until something is due. */
static long timeout_ms(const executor_t *self) {
    int64_t due = link_due(self->link), drain = drain_due_ms(self), now = clock_boot_ms();
    long http = http_due_ms(self->http);

    if (drain < due) due = drain;
    if (metrics_due(self->metrics) < due) due = metrics_due(self->metrics);
    for (uint32_t i = 0; i < slots_count(self->slots); i++) {
        const run_t *run = slots_at(self->slots, i);
        int64_t send = to_broker_due_ms(self, run), start = run_due_ms(self, run);
        int64_t body = send_body_due_ms(self, run);
        due = send < due ? send : due;
        due = body < due ? body : due;
        due = start < due ? start : due;
    }
    if (due <= now || http == 0) return 0;
    due = due - now > 60000 ? 60000 : due - now;
    return http > 0 && http < due ? http : (long)due;
}

static void wait_for_events(executor_t *self, int signal_fd, bool more) {
    const int fds[] = {http_fd(self->http), signal_fd};

    link_wait(self->link, fds, 2, more ? 0 : program_wait_ms(timeout_ms(self)));
}

int executor_run(executor_t *self, config_t *config, int signal_fd) {
    int status = EXIT_CLEAN;
    pace_t pace = {.every_us = TURN_EVERY_US, .free_turns = FREE_TURNS};

    for (;;) {
        read_signals(self, config, signal_fd);
        bool more = work(self);
        program_alive(self->now_ms);
        if (link_foreign(self->link)) {
            log_error("broker_version", "hint=\"install the same version of broker and executor\"");
            return EXIT_FAILED;
        }
        if (drain_turn(self, &status)) break;
        wait_for_events(self, signal_fd, more);
        if (!more) pace_turn(&pace);
    }
    link_bye(self->link);
    return status;
}
