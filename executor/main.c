/* sluice-executor: takes tasks from the broker, sends their requests to the tools, and brings the results
 * back. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/dirs.h"
#include "common/key.h"
#include "common/log.h"
#include "common/program.h"
#include "executor/executor.h"

#define PROGRAM       "sluice-executor"
#define EXECUTORS_MAX 1000 /* of one machine and runtime directory */

/* A lock of its own tells the broker that a former process of the same place is dead, and gives the name. */
static int take_place(config_t *config, lock_t *lock, char why[512]) {
    char name[64];
    unsigned number = 0;

    if (dirs_make(config->lock_dir, "--lockDir", why) != 0 ||
        lock_take_numbered(config->lock_dir, "executor", EXECUTORS_MAX, lock, &number, why) != 0)
        return -1;
    program_log(PROGRAM, number, config);
    if (config->name[0]) return 0;
    (void)snprintf(name, sizeof name, "executor-%u", number);
    free(config->name);
    config->name = strdup(name);
    if (config->name) return 0;
    (void)snprintf(why, 512, "out of memory");
    return -1;
}

static int run(config_t *config, const link_key_t *key, const lock_t *lock, int signal_fd) {
    executor_t *executor = NULL;
    const char *why;
    int status;

    if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK) {
        program_complain(PROGRAM, "libcurl cannot be set up");
        return EXIT_FAILED;
    }
    if (executor_new(config, key, random_u64(), lock->place, &executor, &why) != 0) {
        program_complain(PROGRAM, why);
        curl_global_cleanup();
        return EXIT_FAILED;
    }
    program_started(config, config->name);
    program_waits("waiting for the broker");
    status = executor_run(executor, config, signal_fd);
    executor_destroy(&executor);
    curl_global_cleanup();
    log_info("stopped", "status=%d", status);
    return status;
}

int main(int argc, char **argv) {
    config_t *config = NULL;
    lock_t lock = {.fd = -1};
    link_key_t key;
    bool done = false, encrypted = false;
    char why[512] = "";
    int signal_fd, status = EXIT_CONFIG;

    if (config_load(PROGRAM_EXECUTOR, argc, argv, &config, &done, NULL, why) != 0)
        return program_end(PROGRAM, EXIT_CONFIG, why);
    if (done || config->check_only) {
        config_destroy(&config);
        return EXIT_CLEAN;
    }
    signal_fd = program_start(PROGRAM, config);
    if (signal_fd < 0) {
        (void)snprintf(why, sizeof why, "cannot start: %s", strerror(errno));
        status = EXIT_FAILED;
    } else if (key_load_link(config, KEY_EXECUTOR, &key, &encrypted, why) == 0 &&
               take_place(config, &lock, why) == 0) {
        if (encrypted) program_hide();
        status = run(config, encrypted ? &key : NULL, &lock, signal_fd);
    }
    key_wipe(&key, sizeof key);
    if (signal_fd >= 0) (void)close(signal_fd);
    lock_release(&lock);
    config_destroy(&config);
    return program_end(PROGRAM, status, why);
}
