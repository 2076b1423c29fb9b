/* sluice-uploader: takes results from the broker to AC. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/dirs.h"
#include "common/err.h"
#include "common/program.h"
#include "uploader/taken.h"
#include "uploader/uploader.h"

#define NAME          "sluice-uploader"
#define UPLOADERS_MAX TAKEN_PARTS /* on one runtime directory */

/* The lock's place tells the broker that the former holder is dead. */
static int take_place(const config_t *config, lock_t *lock, unsigned *number, char why[512]) {
    if (dirs_make(config->state_dir, "--stateDir", why) != 0) return EXIT_CONFIG;
    if (dirs_make(config->runtime_dir, "--runtimeDir", why) != 0) return EXIT_CONFIG;
    int rc = lock_take_numbered(config->runtime_dir, "uploader", UPLOADERS_MAX, lock, number, why);
    return rc == 0 ? 0 : rc == ERR_BUSY ? EXIT_FAILED : EXIT_CONFIG;
}

static int run(config_t *config, int signal_fd, char why[512]) {
    lock_t lock = {.fd = -1};
    char fault[256];
    unsigned number = 0;
    int status = take_place(config, &lock, &number, why);
    if (status != 0) return status;
    program_log(NAME, number, config);
    uploader_t *uploader = uploader_new(config, random_u64(), lock.place, number, fault);
    status = EXIT_FAILED;
    if (uploader) {
        program_started(config, config->name[0] ? config->name : "uploader");
        program_waits("waiting for the broker");
        status = uploader_run(uploader, config, signal_fd);
    } else {
        snprintf(why, 512, "%s", fault);
    }
    uploader_destroy(&uploader);
    lock_release(&lock);
    return status;
}

int main(int argc, char **argv) {
    config_t *config = NULL;
    bool done = false;
    char why[512] = "";
    int status = EXIT_CONFIG, signal_fd = -1;
    if (config_load(PROGRAM_UPLOADER, argc, argv, &config, &done, NULL, why) != 0) goto cleanup;
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
