#include "cli/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/program.h"

#define CHILDREN_MAX     128
#define BACKOFF_FIRST_MS 100
#define BACKOFF_CAP_MS   5000
#define LIVED_MS         10000 /* a child that has lived this long starts again without delay */
#define RAN_MS           1000  /* a child that has lived this long can run */
#define HURRY_MS         1000  /* after a second signal */
#define CONFIG_FD        3
#define KEY_FD           4

typedef struct {
    program_spec_t spec;
    pid_t pid; /* 0: not running */
    int64_t started_ms, restart_ms;
    int64_t backoff_ms; /* before the next restart */
    bool again;         /* it has been started before */
    bool ran;           /* and has lived for RAN_MS */
} child_t;

struct supervisor_t {
    child_t children[CHILDREN_MAX];
    int count, config_fd, key_fd, drain_ms;
    int ready[2]; /* a pipe: the broker writes when it can work, and only then the others are started */
    bool broker_ready;
    int signals;
    bool draining;
    group_t group;   /* draining: the group that has been told to end */
    int64_t kill_ms; /* draining: SIGKILL for all who are left */
    bool killed;
    int status;
};

supervisor_t *supervisor_new(int config_fd, int key_fd, int drain_ms) {
    supervisor_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->config_fd = config_fd;
    self->key_fd = key_fd;
    self->drain_ms = drain_ms;
    self->signals = -1;
    self->ready[0] = self->ready[1] = -1;
    return self;
}

void supervisor_destroy(supervisor_t **self) {
    if (!*self) return;
    if ((*self)->signals >= 0) (void)close((*self)->signals);
    for (int i = 0; i < 2; i++)
        if ((*self)->ready[i] >= 0) (void)close((*self)->ready[i]);
    free(*self);
    *self = NULL;
}

int supervisor_add(supervisor_t *self, const program_spec_t *spec) {
    if (self->count == CHILDREN_MAX) return ERR_FULL;
    self->children[self->count++] = (child_t){.spec = *spec, .backoff_ms = BACKOFF_FIRST_MS};
    return 0;
}

/* --- starting --- */

/* In the child: descriptor 3 becomes the configuration, 4 the key or, in the broker, the pipe of its
 * readiness, and nothing else is handed on. */
static bool hand_over(const supervisor_t *self, const child_t *child) {
    bool tells = child->spec.group == GROUP_BROKER && !self->broker_ready;
    int from = child->spec.secret ? self->key_fd : tells ? self->ready[1] : -1;
    int config = fcntl(self->config_fd, F_DUPFD, KEY_FD + 1);
    int fourth = from >= 0 ? fcntl(from, F_DUPFD, KEY_FD + 1) : -1;
    if (config < 0 || dup2(config, CONFIG_FD) < 0 || close(config) != 0) return false;
    if (from < 0) return close(KEY_FD) == 0 || errno == EBADF;
    if (tells && setenv(PROGRAM_READY_FD, "4", 1) != 0) return false;
    return fourth >= 0 && dup2(fourth, KEY_FD) >= 0 && close(fourth) == 0;
}

/* In the child: what is the supervisor's alone. */
static void leave_behind(void) {
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "CREDENTIALS_DIRECTORY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) (void)dup2(null, STDIN_FILENO);
    (void)close_range(KEY_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

static void run_child(const supervisor_t *self, const child_t *child, pid_t parent) __attribute__((noreturn));

static void run_child(const supervisor_t *self, const child_t *child, pid_t parent) {
    sigset_t none;
    (void)sigemptyset(&none);
    (void)setpgid(0, 0); /* Ctrl-C is for the supervisor, which drains in order */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(EXIT_FAILED);
    if (hand_over(self, child)) {
        char config[] = "--config=/dev/fd/3", key[] = "--apiKeyFile=/dev/fd/4";
        char *path = strdup(child->spec.path);
        char *argv[] = {path, config, child->spec.secret ? key : NULL, NULL};
        leave_behind();
        (void)signal(SIGPIPE, SIG_DFL);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (path) (void)execv(path, argv);
    }
    (void)fprintf(stderr, "sluice: cannot start %s: %s\n", child->spec.path, strerror(errno));
    _exit(child->again ? EXIT_FAILED : EXIT_CONFIG); /* files may be missing while they are replaced */
}

static void start(supervisor_t *self, child_t *child, int64_t now_ms) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) run_child(self, child, parent);
    child->restart_ms = 0;
    child->started_ms = now_ms;
    if (pid < 0) {
        log_error("fork_failed", "program=%s why=\"%s\"", child->spec.name, strerror(errno));
        child->restart_ms = now_ms + BACKOFF_CAP_MS;
        return;
    }
    child->pid = pid;
    child->again = true;
    log_info("program_started", "program=%s pid=%ld", child->spec.name, (long)pid);
}

/* Whether it is to run: the broker before all others, and a drain needs the later groups until their turn
 * comes. */
static bool needed(const supervisor_t *self, const child_t *child) {
    if (!self->broker_ready && child->spec.group != GROUP_BROKER) return false;
    return !self->draining ||
           (child->spec.group > self->group && !self->killed && self->status != EXIT_CONFIG);
}

static void start_due(supervisor_t *self, int64_t now_ms) {
    for (int i = 0; i < self->count; i++)
        if (self->children[i].pid == 0 && needed(self, &self->children[i]) &&
            self->children[i].restart_ms <= now_ms)
            start(self, &self->children[i], now_ms);
}

/* --- ending --- */

static int running(const supervisor_t *self, group_t group) {
    int n = 0;
    for (int i = 0; i < self->count; i++)
        n += self->children[i].pid != 0 && (group == GROUP_COUNT || self->children[i].spec.group == group);
    return n;
}

static void signal_group(const supervisor_t *self, group_t group, int signal) {
    for (int i = 0; i < self->count; i++)
        if (self->children[i].pid != 0 && (group == GROUP_COUNT || self->children[i].spec.group == group))
            (void)kill(self->children[i].pid, signal);
}

static void begin_drain(supervisor_t *self, const char *why, int64_t now_ms) {
    if (self->draining) return;
    log_info("draining", "why=\"%s\" timeout_ms=%d", why, self->drain_ms);
    program_stopping(self->drain_ms);
    self->draining = true;
    self->group = GROUP_WORKERS;
    self->kill_ms = now_ms + self->drain_ms;
    signal_group(self, self->group, SIGTERM);
}

static void go_on_draining(supervisor_t *self, int64_t now_ms) {
    while (self->draining && self->group < GROUP_BROKER && running(self, self->group) == 0)
        signal_group(self, ++self->group, SIGTERM);
    if (!self->draining || self->killed || now_ms < self->kill_ms || running(self, GROUP_COUNT) == 0) return;
    log_error("drain_timeout", "left=%d what=\"ended with SIGKILL; the journal has what they held\"",
              running(self, GROUP_COUNT));
    self->killed = true;
    if (self->status == EXIT_CLEAN) self->status = EXIT_FAILED;
    signal_group(self, GROUP_COUNT, SIGKILL);
}

/* --- deaths --- */

/* Whether it is started again, and in how many ms. */
typedef struct {
    bool again;
    int64_t in_ms;
} next_t;

static void log_death(const child_t *child, pid_t pid, int status, next_t next, bool expected) {
    log_level_t level = expected ? LOG_LEVEL_INFO : LOG_LEVEL_WARN;
    char again[64] = "";
    if (next.again) (void)snprintf(again, sizeof again, " starts_again_in_ms=%" PRId64, next.in_ms);
    if (!WIFSIGNALED(status)) {
        log_line(level, "program_ended", "program=%s pid=%ld status=%d%s", child->spec.name, (long)pid,
                 WEXITSTATUS(status), again);
        return;
    }
    const char *remark = WTERMSIG(status) == SIGKILL && child->spec.secret
                             ? " remark=\"perhaps by the switch of its own AC lease\""
                             : "";
    log_line(level, "program_killed", "program=%s pid=%ld signal=%d%s%s", child->spec.name, (long)pid,
             WTERMSIG(status), again, remark);
}

static next_t plan_restart(child_t *child, int64_t now_ms) {
    if (now_ms - child->started_ms >= LIVED_MS) child->backoff_ms = BACKOFF_FIRST_MS;
    next_t next = {true, child->backoff_ms};
    child->restart_ms = now_ms + next.in_ms;
    child->backoff_ms = child->backoff_ms * 2 < BACKOFF_CAP_MS ? child->backoff_ms * 2 : BACKOFF_CAP_MS;
    return next;
}

static void child_ended(supervisor_t *self, child_t *child, int status, int64_t now_ms) {
    pid_t pid = child->pid;
    child->pid = 0;
    /* What ran once is not misconfigured: a full disk or a taken port may be over the next time. */
    bool never_ran = child->spec.group == GROUP_BROKER ? !self->broker_ready : !child->ran;
    bool unfit = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CONFIG && never_ran;
    bool wanted = needed(self, child);
    log_death(child, pid, status, wanted && !unfit ? plan_restart(child, now_ms) : (next_t){0}, !wanted);
    if (now_ms - child->started_ms >= RAN_MS) child->ran = true;
    if (unfit) {
        if (self->status == EXIT_CLEAN)
            (void)fprintf(stderr, "sluice: %s cannot run (see above); stopping\n", child->spec.name);
        self->status = EXIT_CONFIG;
        begin_drain(self, "a program cannot run", now_ms);
        return;
    }
    bool clean = WIFEXITED(status) ? WEXITSTATUS(status) == EXIT_CLEAN
                                   : WTERMSIG(status) == SIGTERM; /* it had not begun yet */
    if (!wanted && !clean && self->status == EXIT_CLEAN) self->status = EXIT_FAILED;
}

static void reap(supervisor_t *self, int64_t now_ms) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < self->count; i++)
            if (self->children[i].pid == pid) child_ended(self, &self->children[i], status, now_ms);
}

/* --- the loop --- */

/* The broker listens: now the others cannot meet somebody else's. */
static void take_readiness(supervisor_t *self) {
    char octet;
    if (self->broker_ready || read(self->ready[0], &octet, 1) != 1) return;
    self->broker_ready = true;
    program_ready("running");
}

static void take_signals(supervisor_t *self, int64_t now_ms) {
    struct signalfd_siginfo info;
    while (read(self->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) continue;
        if (self->draining && self->kill_ms > now_ms + HURRY_MS) self->kill_ms = now_ms + HURRY_MS;
        /* SIGHUP: the terminal has been closed, and nobody is left to press Ctrl-C */
        const char *why = info.ssi_signo == SIGTERM  ? "SIGTERM"
                          : info.ssi_signo == SIGINT ? "SIGINT"
                                                     : "SIGHUP";
        begin_drain(self, why, now_ms);
    }
}

static int timeout_of(const supervisor_t *self, int64_t now_ms) {
    int64_t due = INT64_MAX;
    if (self->draining && !self->killed) due = self->kill_ms;
    for (int i = 0; i < self->count; i++)
        if (self->children[i].pid == 0 && needed(self, &self->children[i]) &&
            self->children[i].restart_ms < due)
            due = self->children[i].restart_ms;
    if (due == INT64_MAX) return -1;
    return due <= now_ms ? 0 : due - now_ms > 60000 ? 60000 : (int)(due - now_ms);
}

static void watch_signals(sigset_t *set) {
    struct sigaction hangup;
    (void)sigemptyset(set);
    const int watched[] = {SIGTERM, SIGINT, SIGCHLD};
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
        (void)sigaddset(set, watched[i]);
    /* nohup(1) asks for SIGHUP to be ignored */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) (void)sigaddset(set, SIGHUP);
}

int supervisor_run(supervisor_t *self) {
    sigset_t set;
    watch_signals(&set);
    (void)signal(SIGPIPE, SIG_IGN); /* whoever reads the log may go away */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
        (self->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0 ||
        pipe2(self->ready, O_CLOEXEC | O_NONBLOCK) != 0) {
        (void)fprintf(stderr, "sluice: cannot set up signals: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    int64_t now_ms = clock_boot_ms();
    start_due(self, now_ms);
    while (!self->draining || running(self, GROUP_COUNT) > 0) {
        struct pollfd fds[] = {{.fd = self->signals, .events = POLLIN},
                               {.fd = self->broker_ready ? -1 : self->ready[0], .events = POLLIN}};
        (void)poll(fds, 2, timeout_of(self, now_ms));
        now_ms = clock_boot_ms();
        reap(self, now_ms); /* first: a death at the moment of a signal is no failure to drain */
        take_signals(self, now_ms);
        reap(self, now_ms); /* and again: the SIGCHLD of a death since then has just been read */
        take_readiness(self);
        start_due(self, now_ms);
        go_on_draining(self, now_ms);
    }
    log_info("stopped", "status=%d", self->status);
    return self->status;
}
