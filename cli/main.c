#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "common/program.h"

static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", "run the whole agent: broker, fetcher, executors, uploader", command_run},
    {"status", "show what the running agent is doing (--watch, --json)", command_status},
    {"config", "check the configuration file, or show each value and its origin", command_config},
    {"task", "where a task is and what has happened to it: ID (--json)", command_task},
    {"dead", "results AC has refused: list them, retry ID|--all, drop ID (--json)", command_dead},
    {"doctor", "check every hop to AC, or with --tool URL to a tool, and say what to do", command_doctor},
    {"drain", "stop fetching until `sluice resume`, also over restarts", command_drain},
    {"resume", "fetch again", command_resume},
    {"key", "keys of executors on other machines: new, allow, list, revoke", command_key},
    {"policy", "rules on what tasks may call: check a request, suggest rules", command_policy},
};

static void print_usage(FILE *to) {
    (void)fprintf(to, "usage: sluice COMMAND [OPTION...]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        (void)fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    (void)fprintf(to, "  %-10s %s\n  %-10s %s\n\n`sluice COMMAND --help` lists the options of a command.\n",
                  "version", "show the version", "help", "show this");
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        (void)printf("sluice %s\n", SLUICE_VERSION);
        return EXIT_CLEAN;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_usage(stdout);
        return EXIT_CLEAN;
    }
    if (name[0] == '\0')
        print_usage(stderr);
    else
        (void)fprintf(stderr, "sluice: there is no command \"%s\"; `sluice help` lists them\n", name);
    return EXIT_CONFIG;
}
