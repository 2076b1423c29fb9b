/* `sluice drain` and `sluice resume`: stop and resume fetching by hand. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yajl/yajl_tree.h>

#include "cli/ask.h"
#include "cli/commands.h"
#include "common/program.h"

#define NAME "sluice"

/* Says what fetching does now, by the broker's own word. */
static void report(const char *json) {
    const char *paused[] = {"fetch", "paused", NULL}, *reason[] = {"fetch", "reason", NULL};
    char why[64];
    yajl_val root = yajl_tree_parse(json, why, sizeof why);
    const char *text = YAJL_GET_STRING(yajl_tree_get(root, reason, yajl_t_string));
    if (YAJL_IS_TRUE(yajl_tree_get(root, paused, yajl_t_any)))
        (void)printf("fetching is paused: %s\n", text != NULL && text[0] != '\0' ? text : "no reason given");
    else
        (void)printf("fetching is on\n");
    yajl_tree_free(root);
}

static int tell(const config_t *config, bool drain, int signal_fd) {
    char why[ASK_WHY_MAX], *json = NULL;
    size_t size;
    ask_t *ask = ask_new(config, why);
    bool ok =
        ask != NULL && ask_drain(ask, drain, why) == 0 && ask_status(ask, signal_fd, &json, &size, why) == 0;
    if (ok)
        report(json);
    else
        program_complain(NAME, why);
    free(json);
    ask_destroy(&ask);
    return ok ? EXIT_CLEAN : EXIT_FAILED;
}

static int command(int argc, char **argv, bool drain) {
    config_t *config = NULL;
    char why[512];
    bool done = false;
    if (config_load(PROGRAM_TOOL, argc, argv, &config, &done, NULL, why) != 0) {
        program_complain(NAME, why);
        return EXIT_CONFIG;
    }
    if (done) return EXIT_CLEAN;
    int code = EXIT_FAILED, signal_fd = program_start(NAME, config);
    if (signal_fd < 0)
        program_complain(NAME, strerror(errno));
    else
        code = tell(config, drain, signal_fd);
    if (signal_fd >= 0) (void)close(signal_fd);
    config_destroy(&config);
    return code;
}

int command_drain(int argc, char **argv) {
    return command(argc, argv, true);
}

int command_resume(int argc, char **argv) {
    return command(argc, argv, false);
}
