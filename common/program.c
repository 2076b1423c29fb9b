#include "common/program.h"

#include <czmq.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/dirs.h"
#include "common/log.h"

#define FILES_WANTED 16384

/* What the manager has been told of this process. */
static struct {
    bool ready;
    char state[128];
    char remark[600]; /* of the latest reload */
} told;

static void tell(void) {
    (void)sd_notifyf(0, "%sSTATUS=%s%s%s", told.ready ? "READY=1\n" : "", told.state,
                     told.remark[0] ? "; " : "", told.remark);
}

int program_start(const char *name, const config_t *config) {
    log_init(name, config->debug_mode ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, config->log_json);
    (void)umask(077);
    struct rlimit files; /* many slots need many descriptors; what the system allows is enough */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max &&
        files.rlim_cur < FILES_WANTED) {
        files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a write that fails */
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -1;
    zsys_init();
    zsys_handler_set(NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Whoever runs a service looks for its log in the journal. */
static bool is_service(void) {
    return getenv("JOURNAL_STREAM") != NULL || getenv("NOTIFY_SOCKET") != NULL ||
           getenv("INVOCATION_ID") != NULL;
}

void program_log(const char *name, unsigned number, const config_t *config) {
    char path[PATH_MAX], of_several[16] = "", why[512] = "", quoted[LOG_QUOTED_MAX];
    if (number > 1) (void)snprintf(of_several, sizeof of_several, "-%u", number);
    int len = snprintf(path, sizeof path, "%s/%s%s%s.log", config->log_dir, name, of_several, config->index);
    if (len < 0 || (size_t)len >= sizeof path)
        (void)snprintf(why, sizeof why, "logDir is too long");
    else if (dirs_make(config->log_dir, "--logDir", why) == 0 &&
             log_open(path, LOGS_KEPT, config->stdout_logging || is_service()) != 0)
        (void)snprintf(why, sizeof why, "%.400s: %s", path, strerror(errno));
    if (why[0])
        log_warn("log_file_not_opened", "why=%s remark=\"the log goes to stderr\"", log_quote(why, quoted));
}

metrics_t *program_metrics(const config_t *config) {
    metrics_t *metrics;
    char why[512] = "", quoted[LOG_QUOTED_MAX];
    if (metrics_new(config, &metrics, why) != 0) log_warn("no_metrics", "why=%s", log_quote(why, quoted));
    return metrics;
}

void program_hide(void) {
    (void)prctl(PR_SET_DUMPABLE, 0);
}

int program_signal(int fd) {
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void program_reload(config_t *config, program_apply_fn apply, void *ctx) {
    char text[512] = "", quoted[2][LOG_QUOTED_MAX];
    const char *why = text;
    config_t *fresh = NULL;
    config_changes_t changes;
    (void)sd_notify(0, "RELOADING=1");
    int err = config_reload(config, &fresh, text);
    if (!err) config_compare(config, fresh, &changes);
    if (!err) err = apply(ctx, fresh, &why);
    told.remark[0] = '\0';
    if (err) {
        log_error("config_not_reloaded", "why=%s remark=\"nothing has changed\"", log_quote(why, quoted[0]));
        (void)snprintf(told.remark, sizeof told.remark, "configuration not reloaded: %s", why);
        config_destroy(&fresh);
    } else {
        log_info("config_reloaded", "changed=%s",
                 log_quote(changes.live[0] ? changes.live : "nothing", quoted[0]));
        if (changes.later[0]) {
            log_warn("restart_needed", "options=%s", log_quote(changes.later, quoted[1]));
            (void)snprintf(told.remark, sizeof told.remark, "restart needed for: %s", changes.later);
        }
        config_take_fresh(config, &fresh);
    }
    tell();
}

void program_started(const config_t *config, const char *name) {
    char endpoint[512], quoted[2][LOG_QUOTED_MAX];
    config_broker_endpoint(config, endpoint, sizeof endpoint);
    log_info("started", "name=%s version=%s broker=%s", log_quote(name, quoted[0]), SLUICE_VERSION,
             log_quote(endpoint, quoted[1]));
    if (!config->verify)
        log_warn("certificates_unverified",
                 "remark=\"--verify false: anybody on the way may read and change all\"");
}

/* What the manager allows beyond the drain time, for what a program does when that is up. */
#define STOP_EXTRA_MS 15000

void program_waits(const char *state) {
    (void)snprintf(told.state, sizeof told.state, "%s", state);
    tell();
}

void program_ready(const char *state) {
    const char *fd = getenv(PROGRAM_READY_FD);
    if (fd) {
        int pipe = (int)strtol(fd, NULL, 10);
        ssize_t written = write(pipe, "1", 1);
        (void)written; /* a parent that is gone has no use for it */
        (void)close(pipe);
        (void)unsetenv(PROGRAM_READY_FD);
    }
    told.ready = true;
    (void)snprintf(told.state, sizeof told.state, "%s", state);
    tell();
}

void program_stopping(int drain_ms) {
    (void)sd_notifyf(0, "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%lld",
                     (drain_ms + STOP_EXTRA_MS) * 1000LL);
}

/* 0 without a watchdog. */
static long long watchdog_ms(void) {
    uint64_t usec = 0;
    return sd_watchdog_enabled(0, &usec) > 0 ? (long long)(usec / 3000) : 0;
}

long program_wait_ms(long timeout_ms) {
    static long long most_ms = -1;
    if (most_ms < 0) most_ms = watchdog_ms();
    if (most_ms == 0) return timeout_ms;
    return timeout_ms < 0 || timeout_ms > most_ms ? (long)most_ms : timeout_ms;
}

void program_alive(long long now_ms) {
    static long long next_ms, every_ms = -1;
    if (every_ms < 0) every_ms = watchdog_ms();
    if (every_ms == 0 || now_ms < next_ms) return;
    next_ms = now_ms + every_ms;
    (void)sd_notify(0, "WATCHDOG=1");
}

void program_complain(const char *name, const char *text) {
    (void)fprintf(stderr, "%s: %s\n", name, text);
}

/* What the manager runs beside the service, to check before a reload, has MAINPID; see systemd.exec(5). */
static bool is_started_again(void) {
    return getenv("NOTIFY_SOCKET") != NULL && getenv("MAINPID") == NULL;
}

int program_end(const char *name, int status, const char *why) {
    const struct timespec rest = {.tv_sec = PROGRAM_REST_S};
    sigset_t set;
    if (why[0]) program_complain(name, why);
    if (status != EXIT_CONFIG || !is_started_again()) return status;
    if (why[0]) (void)sd_notifyf(0, "STATUS=to be put right first: %s", why);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return sigtimedwait(&set, NULL, &rest) > 0 ? EXIT_CLEAN : status; /* stopped, as asked for */
}
