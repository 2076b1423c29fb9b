/* Wires the broker: configuration, places, journal, core, sockets, loop. */
#include "broker/broker_main.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/crash_point.h"
#include "common/dirs.h"
#include "common/err.h"
#include "common/log.h"
#include "common/pace.h"
#include "common/program.h"

#define NAME           "sluice-broker"
#define PAYLOADS_BYTES ((size_t)8 * 1024 * 1024)
#define WHY_MAX        640
#define TURN_EVERY_US  900 /* under load: one commit for all that has come meanwhile */
#define FREE_TURNS     8   /* the life of one task takes fewer */

typedef struct {
    config_t *config;
    lock_t state_lock, runtime_lock;
    broker_t broker;
    int signals;
    char why[WHY_MAX];
} program_t;

/* Two brokers on one state or runtime directory would each believe to be alone. */
static int take_place(program_t *self, const char *dir, const char *option, const char *what, lock_t *lock) {
    char path[PATH_MAX];
    pid_t holder = 0;
    if (dirs_make(dir, option, self->why) != 0) return EXIT_CONFIG;
    (void)snprintf(path, sizeof path, "%s/broker.lock", dir);
    int err = lock_take(path, lock, &holder, self->why);
    if (err == ERR_BUSY)
        (void)snprintf(
            self->why, sizeof self->why,
            "another agent (pid %ld) uses the %s directory %.300s; stop it, or name another with %s",
            (long)holder, what, dir, option);
    return err ? EXIT_CONFIG : 0;
}

/* Sockets of workers of a broker that was killed. */
static void sweep(const char *runtime_dir) {
    char pattern[PATH_MAX];
    glob_t found;
    (void)snprintf(pattern, sizeof pattern, "%s/worker-*", runtime_dir);
    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            (void)unlink(found.gl_pathv[i]);
    globfree(&found);
}

static core_settings_t settings_of(const config_t *config, uint64_t epoch) {
    core_settings_t s = {.epoch = epoch,
                         .seed = random_u64(),
                         .ac_max = config->ac_max_concurrent,
                         .rate_per_min = (uint32_t)config->rate_limit_per_min,
                         .lookahead = (uint32_t)config->lookahead,
                         .task_queue = (uint32_t)config->task_queue_size,
                         .response_queue = (uint32_t)config->response_queue_size,
                         .response_threshold = (uint32_t)config->response_queue_threshold,
                         .redeliver = REDELIVER_IDEMPOTENT,
                         .dead_letter_days = config->dead_letter_days,
                         .dead_letter_bytes = (uint64_t)config->dead_letter_mb * 1000000,
                         .debug = config->debug_mode,
                         .verify = config->verify,
                         .upload_to_ac = config->upload_to_ac};
    if (strcmp(config->redeliver, "always") == 0)
        s.redeliver = REDELIVER_ALWAYS;
    else if (strcmp(config->redeliver, "never") == 0)
        s.redeliver = REDELIVER_NEVER;
    (void)snprintf(s.agent_id, sizeof s.agent_id, "%" PRId64 "_%06" PRIx64, clock_wall_ms() / 1000,
                   random_u64() & 0xffffff);
    return s;
}

/* Opens the journal and brings the core to where the last broker left it. */
static int recover(program_t *self) {
    broker_t *b = &self->broker;
    uint64_t epoch = 0;
    uint32_t tasks = 0;
    int err = journal_open(self->config->state_dir, &b->journal, self->why);
    if (!err) err = journal_new_epoch(b->journal, &epoch, self->why);
    if (err) return err == ERR_NOMEM ? EXIT_FAILED : EXIT_CONFIG;
    CRASH_POINT("start.counted");
    core_settings_t settings = settings_of(self->config, epoch);
    b->core = core_new(&settings);
    b->effects = effects_new();
    b->payloads = payloads_new(PAYLOADS_BYTES);
    b->scratch = calloc(1, sizeof *b->scratch);
    if (!b->core || !b->effects || !b->payloads || !b->scratch) {
        (void)snprintf(self->why, sizeof self->why, "out of memory");
        return EXIT_FAILED;
    }
    char boot_id[BOOT_ID_SIZE];
    clock_boot_id(boot_id);
    moment_t now = broker_now();
    err = journal_restore(b->journal, b->core, boot_id, now, &tasks, self->why);
    if (err) return err == ERR_NOMEM ? EXIT_FAILED : EXIT_CONFIG;
    if (core_start(b->core, now) != 0) {
        (void)snprintf(self->why, sizeof self->why, "out of memory");
        return EXIT_FAILED;
    }
    log_info("journal_opened", "path=%s start=%" PRIu64 " tasks=%u", journal_path(b->journal), epoch, tasks);
    return 0;
}

static bool has_body(void *ctx, uint64_t number, uint64_t bytes) {
    core_body_found(ctx, number, bytes);
    return core_has_body(ctx, number);
}

static bool runs(void *ctx, uint64_t session, uint64_t number, uint32_t attempt) {
    const broker_t *b = ctx;
    return core_runs(b->core, session, number, attempt);
}

static bool leaves(void *ctx, uint64_t session) {
    const broker_t *b = ctx;
    return core_leaves(b->core, session);
}

/* For the next turn, which writes what becomes of it. */
static void no_room(void *ctx, uint64_t number, uint32_t attempt) {
    broker_t *b = ctx;
    if (b->no_room_count < NO_ROOM_MAX) /* or said again */
        b->no_room[b->no_room_count++] = (msg_ref_t){.number = number, .attempt = attempt};
}

static void send_to(void *ctx, uint64_t peer, const msg_t *msg) {
    broker_t *b = ctx;
    CRASH_POINT_MSG("send", msg->type);
    (void)sockets_control(b->sockets, peer, msg);
    CRASH_POINT_MSG("sent", msg->type);
}

static uint64_t spool_bytes_of(const config_t *config) {
    return (uint64_t)config->spool_mb * 1000000;
}

/* The spool, as the journal's tasks need it. */
static int open_spool(program_t *self) {
    broker_t *b = &self->broker;
    char link[PATH_MAX];
    const bodies_handler_t handler = {b, send_to, runs, leaves, no_room};
    (void)snprintf(link, sizeof link, "%s/spool", self->config->runtime_dir);
    if (spool_open(self->config->state_dir, link, spool_bytes_of(self->config), has_body, b->core, &b->spool,
                   self->why) != 0)
        return EXIT_CONFIG;
    b->bodies = bodies_new(b->spool, &handler);
    if (b->bodies) return 0;
    (void)snprintf(self->why, sizeof self->why, "out of memory");
    return EXIT_FAILED;
}

/* With a key of its own the broker encrypts tcp, and lets in whom the list of keys names. */
static int open_sockets(program_t *self) {
    const config_t *config = self->config;
    key_pair_t key;
    sockets_options_t options = {
        .runtime_dir = config->runtime_dir, .bind = config->bind, .worker_ports = config->worker_ports};
    int err = config->bind[0] ? key_load_broker(config, &key, self->why) : ERR_NOT_FOUND;
    if (err && err != ERR_NOT_FOUND) return EXIT_CONFIG;
    if (!err) {
        program_hide();
        options.key = &key;
        err = keyring_open(config->keys_dir, &self->broker.keyring, self->why);
        options.keyring = self->broker.keyring;
    } else {
        err = 0;
    }
    if (!err) err = sockets_open(&options, &self->broker.sockets, self->why);
    if (options.key) {
        char word[KEY_WORD_MAX];
        key_write_word(&key, false, word);
        if (!err)
            log_info("encrypted", "bind=%s brokerKey=%s allowed=%zu", config->bind, word,
                     keyring_count(self->broker.keyring));
        key_wipe(&key, sizeof key);
    }
    return err ? EXIT_CONFIG : 0;
}

/* The journal, the spool and the sockets. */
static int open_parts(program_t *self) {
    int code = recover(self);
    if (!code) code = open_spool(self);
    if (code) return code;
    sweep(self->config->runtime_dir);
    code = open_sockets(self);
    if (!code) CRASH_POINT("start.listening");
    return code;
}

static int open_all(program_t *self) {
    const config_t *config = self->config;
    int code = take_place(self, config->state_dir, "--stateDir", "state", &self->state_lock);
    if (!code) code = take_place(self, config->runtime_dir, "--runtimeDir", "runtime", &self->runtime_lock);
    if (code) return code;
    program_log(NAME, 0, config);
    code = open_parts(self);
    if (code) {
        char quoted[LOG_QUOTED_MAX];
        log_error("not_started", "why=%s", log_quote(self->why, quoted));
        return code;
    }
    self->broker.journal_ok = true;
    self->broker.debug = config->debug_mode;
    self->broker.started_wall_ms = clock_wall_ms();
    return 0;
}

static int apply(void *ctx, const config_t *fresh, const char **why) {
    program_t *self = ctx;
    core_settings_t settings = settings_of(fresh, 0);
    (void)why;
    core_reconfigure(self->broker.core, &settings);
    spool_limit(self->broker.spool, spool_bytes_of(fresh));
    return 0;
}

static int loop(program_t *self) {
    broker_t *b = &self->broker;
    pace_t pace = {.every_us = TURN_EVERY_US, .free_turns = FREE_TURNS};
    for (;;) {
        program_alive(clock_boot_ms());
        int signal = 0;
        const int fds[] = {self->signals, b->keyring ? keyring_fd(b->keyring) : -1};
        unsigned readable = sockets_wait(b->sockets, fds, 2, program_wait_ms(broker_due_ms(b)));
        if (readable & 1) signal = program_signal(self->signals);
        if ((readable & 2) && broker_reload_keys(b) != 0) return EXIT_FAILED;
        if (signal == 0) pace_turn(&pace);
        if (signal == SIGHUP || b->reload) {
            b->reload = false;
            program_reload(self->config, apply, self);
        }
        if (signal == SIGTERM || signal == SIGINT) {
            program_stopping(0);
            core_stop(b->core);
            b->quit = true;
        }
        int err = broker_turn(b, self->signals);
        if (signal == SIGTERM || signal == SIGINT || err == ERR_BUSY) {
            log_info("stopped", "journal=%s", err ? "failing" : "ok");
            return err ? EXIT_FAILED : EXIT_CLEAN;
        }
        if (err) {
            char quoted[LOG_QUOTED_MAX];
            log_error("broker_failed", "why=%s",
                      log_quote(err == ERR_NOMEM ? "out of memory" : b->journal_why, quoted));
            return err == ERR_CORRUPT ? EXIT_CONFIG : EXIT_FAILED;
        }
    }
}

static void close_all(program_t *self) {
    broker_t *b = &self->broker;
    bodies_destroy(&b->bodies);
    spool_close(&b->spool);
    sockets_close(&b->sockets);
    keyring_close(&b->keyring);
    effects_destroy(&b->effects, doc_free);
    core_destroy(&b->core);
    payloads_destroy(&b->payloads);
    journal_close(&b->journal);
    free(b->scratch);
    lock_release(&self->runtime_lock);
    lock_release(&self->state_lock);
    config_destroy(&self->config);
}

int broker_main(int argc, char **argv) {
    program_t self = {.state_lock = {-1, 0}, .runtime_lock = {-1, 0}};
    bool done = false;
    int code = config_load(PROGRAM_BROKER, argc, argv, &self.config, &done, NULL, self.why) ? EXIT_CONFIG : 0;
    if (!code && done) return EXIT_CLEAN;
    if (!code && (self.signals = program_start(NAME, self.config)) < 0) {
        (void)snprintf(self.why, sizeof self.why, "cannot set up signals: %s", strerror(errno));
        code = EXIT_FAILED;
    }
    if (!code) code = open_all(&self);
    if (code) {
        close_all(&self);
        return program_end(NAME, code, self.why);
    }
    log_info("started", "version=%s bind=%s state=%s", SLUICE_VERSION,
             self.config->bind[0] ? self.config->bind : "ipc", self.config->state_dir);
    program_ready("listening");
    code = loop(&self);
    close_all(&self);
    return program_end(NAME, code, "");
}
