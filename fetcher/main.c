/* sluice-fetcher: takes tasks from AC and hands them to the broker. */
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/dirs.h"
#include "common/err.h"
#include "common/program.h"
#include "fetcher/fetcher.h"

#define NAME "sluice-fetcher"

/* One fetcher for a state directory: two would read the same inbox. */
static int take_place(const config_t *config, lock_t *lock, char why[512]) {
    char path[PATH_MAX];
    pid_t holder = 0;
    if (dirs_make(config->state_dir, "--stateDir", why) != 0) return EXIT_CONFIG;
    snprintf(path, sizeof path, "%s/fetcher.lock", config->state_dir);
    int rc = lock_take(path, lock, &holder, why);
    if (rc == ERR_BUSY)
        snprintf(why, 512,
                 "another fetcher (pid %ld) uses the state directory %.300s; stop it, or name another with "
                 "--stateDir",
                 (long)holder, config->state_dir);
    return rc == 0 ? 0 : rc == ERR_BUSY ? EXIT_FAILED : EXIT_CONFIG;
}

static int run(config_t *config, int signal_fd, char why[512]) {
    lock_t lock = {.fd = -1};
    char fault[256];
    int status = take_place(config, &lock, why);
    if (status != 0) return status;
    program_log(NAME, 0, config);
    fetcher_t *fetcher = fetcher_new(config, random_u64(), lock.place, fault);
    status = EXIT_FAILED;
    if (fetcher) {
        program_started(config, config->name[0] ? config->name : "fetcher");
        program_waits("waiting for the broker");
        status = fetcher_run(fetcher, config, signal_fd);
    } else {
        snprintf(why, 512, "%s", fault);
    }
    fetcher_destroy(&fetcher);
    lock_release(&lock);
    return status;
}

int main(int argc, char **argv) {
    config_t *config = NULL;
    bool done = false;
    char why[512] = "";
    int status = EXIT_CONFIG, signal_fd = -1;
    if (config_load(PROGRAM_FETCHER, argc, argv, &config, &done, NULL, why) != 0) goto cleanup;
    status = EXIT_CLEAN;
    if (done) goto cleanup;
    program_hide();
    signal_fd = program_start(NAME, config);
    status = EXIT_FAILED;
    if (signal_fd < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        snprintf(why, sizeof why, "cannot start: %s", strerror(errno));
        goto cleanup;
    }
    status = run(config, signal_fd, why);
    curl_global_cleanup();
cleanup:
    if (signal_fd >= 0) close(signal_fd);
    config_destroy(&config);
    return program_end(NAME, status, why);
}
