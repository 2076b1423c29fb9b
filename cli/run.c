/* `sluice run`: checks everything first, then starts the programs and keeps them running. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/supervise.h"
#include "common/config.h"
#include "common/dirs.h"
#include "common/err.h"
#include "common/log.h"
#include "common/program.h"

#define DYING_TRIES    20
#define DYING_WAIT_MS  50
#define DRAIN_EXTRA_MS 10000 /* beyond drainTimeout, for what the programs do after their own time-out */

typedef struct {
    config_t *config;
    char broker[PATH_MAX], fetcher[PATH_MAX], executor[PATH_MAX], uploader[PATH_MAX];
    int config_fd, key_fd;
    lock_t locks[2]; /* of the state and the runtime directory, held as long as the agent runs */
    char why[512];
} run_t;

/* A program beside this one, else in the PATH's usual place of installation. */
static int find_program(run_t *run, const char *name, char path[PATH_MAX]) {
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = NULL;
    if (n > 0) {
        self[n] = '\0';
        slash = strrchr(self, '/');
    }
    if (slash) {
        *slash = '\0';
        if ((size_t)snprintf(path, PATH_MAX, "%s/%s", self, name) < PATH_MAX && access(path, X_OK) == 0)
            return 0;
    }
    (void)snprintf(run->why, sizeof run->why,
                   "%s is not beside this program (in %.300s); install all programs together", name,
                   slash ? self : "?");
    return ERR_NOT_FOUND;
}

/* A sealed file in memory, for the children only. */
static int memory_file(const char *name, const char *bytes, size_t size) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -1;
    if (write(fd, bytes, size) != (ssize_t)size ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* The whole configuration goes to the children as one file: what they use is what was checked here, and
 * nothing of it shows in their arguments. */
static int make_files(run_t *run) {
    char *text = config_write(run->config);
    if (text) run->config_fd = memory_file("sluice-config", text, strlen(text));
    free(text);
    run->key_fd = memory_file("sluice-key", run->config->api_key, strlen(run->config->api_key));
    if (run->config_fd >= 0 && run->key_fd >= 0) return 0;
    (void)snprintf(run->why, sizeof run->why, "cannot make a memory file: %s", strerror(errno));
    return ERR_IO;
}

/* One agent a directory: its own lock names this process, which is the one to stop; the broker's lock tells
 * of a broker that was started alone. */
static int take_place(run_t *run, int i, const char *dir, const char *option, const char *what) {
    char path[PATH_MAX];
    pid_t holder = 0;
    if (dirs_make(dir, option, run->why) != 0) return EXIT_CONFIG;
    /* A process that was killed a moment ago may still be on its way out, with its locks. */
    int err = ERR_BUSY;
    for (int tries = 0; err == ERR_BUSY && tries < DYING_TRIES; tries++) {
        if (tries > 0) (void)poll(NULL, 0, DYING_WAIT_MS);
        (void)snprintf(path, sizeof path, "%s/agent.lock", dir);
        if (run->locks[i].fd < 0) err = lock_take(path, &run->locks[i], &holder, run->why);
        if (run->locks[i].fd < 0) continue;
        (void)snprintf(path, sizeof path, "%s/broker.lock", dir);
        err = lock_probe(path, &holder);
        if (err == ERR_IO) (void)snprintf(run->why, sizeof run->why, "%.400s: %s", path, strerror(errno));
    }
    if (err == ERR_BUSY)
        (void)snprintf(
            run->why, sizeof run->why,
            "another agent (pid %ld) uses the %s directory %.250s; stop it, or name another with %s",
            (long)holder, what, dir, option);
    return err ? EXIT_CONFIG : 0;
}

static int take_places(run_t *run) {
    int code = take_place(run, 0, run->config->state_dir, "--stateDir", "state");
    return code ? code : take_place(run, 1, run->config->runtime_dir, "--runtimeDir", "runtime");
}

static int prepare(run_t *run) {
    int code = take_places(run);
    if (code) return code;
    if (find_program(run, "sluice-broker", run->broker) != 0 ||
        find_program(run, "sluice-fetcher", run->fetcher) != 0 ||
        find_program(run, "sluice-executor", run->executor) != 0 ||
        find_program(run, "sluice-uploader", run->uploader) != 0)
        return EXIT_CONFIG;
    return make_files(run) == 0 ? 0 : EXIT_FAILED;
}

static int supervise(run_t *run) {
    int drain_ms = run->config->drain_timeout_s * 1000 + DRAIN_EXTRA_MS;
    supervisor_t *supervisor = supervisor_new(run->config_fd, run->key_fd, drain_ms);
    if (!supervisor) {
        program_complain("sluice", "out of memory");
        return EXIT_FAILED;
    }
    const program_spec_t broker = {run->broker, "sluice-broker", GROUP_BROKER, false},
                         fetcher = {run->fetcher, "sluice-fetcher", GROUP_WORKERS, true},
                         executor = {run->executor, "sluice-executor", GROUP_WORKERS, false},
                         uploader = {run->uploader, "sluice-uploader", GROUP_UPLOADER, true};
    int err = supervisor_add(supervisor, &broker);
    for (int i = 0; !err && i < run->config->executors; i++)
        err = supervisor_add(supervisor, &executor);
    if (!err) err = supervisor_add(supervisor, &uploader);
    if (!err) err = supervisor_add(supervisor, &fetcher);
    int code = EXIT_FAILED;
    if (err)
        program_complain("sluice", err_str(err));
    else
        code = supervisor_run(supervisor);
    supervisor_destroy(&supervisor);
    return code;
}

int command_run(int argc, char **argv) {
    run_t run = {.config_fd = -1, .key_fd = -1, .locks = {{.fd = -1}, {.fd = -1}}};
    bool done = false;
    if (config_load(PROGRAM_RUN, argc, argv, &run.config, &done, NULL, run.why) != 0) {
        program_complain("sluice", run.why);
        return EXIT_CONFIG;
    }
    if (done) return EXIT_CLEAN;
    log_init("sluice", run.config->debug_mode ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, run.config->log_json);
    run.config->stdout_logging = true; /* one place to look at, for all programs */
    int code = prepare(&run);
    if (code) {
        program_complain("sluice", run.why);
    } else {
        program_log("sluice", 0, run.config);
        program_hide();
        code = supervise(&run);
    }
    if (run.config_fd >= 0) (void)close(run.config_fd);
    if (run.key_fd >= 0) (void)close(run.key_fd);
    lock_release(&run.locks[0]);
    lock_release(&run.locks[1]);
    config_destroy(&run.config);
    return code;
}
