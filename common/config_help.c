#include <stdio.h>

#include "common/config_table.h"

static const struct {
    unsigned program;
    const char *usage, *text;
} abouts[] = {
    {PROGRAM_RUN, "sluice run --serverUrl URL --apiKeyFile FILE [OPTION...]",
     "Runs the whole agent: broker, fetcher, executors and uploader, restarting what dies. SIGTERM or SIGINT "
     "drains it."},
    {PROGRAM_BROKER, "sluice-broker [OPTION...]",
     "Keeps the journal and the queues, and grants the AC credits."},
    {PROGRAM_FETCHER, "sluice-fetcher --serverUrl URL --apiKeyFile FILE [OPTION...]",
     "Fetches tasks from AC."},
    {PROGRAM_EXECUTOR, "sluice-executor [OPTION...]", "Makes the tasks' requests to the tools."},
    {PROGRAM_UPLOADER, "sluice-uploader --serverUrl URL --apiKeyFile FILE [OPTION...]",
     "Brings results to AC."},
    {PROGRAM_TOOL, "sluice status [--json] [--watch] [OPTION...]", "Asks the running broker."},
};

static void print_option(const option_t *option) {
    char left[64];
    (void)snprintf(left, sizeof left, "--%s%s%s", option->name, option->value ? " " : "",
                   option->value ? option->value : "");
    (void)printf("  %-34s %s", left, option->help);
    if (option->fallback && option->fallback[0] != '\0') (void)printf(" [%s]", option->fallback);
    if (option->old_name) (void)printf(" (also --%s)", option->old_name);
    if (option->environment) (void)printf(" ($%s)", option->environment);
    (void)printf("\n");
}

void config_print_help(unsigned program) {
    for (size_t i = 0; i < sizeof abouts / sizeof abouts[0]; i++)
        if (abouts[i].program == program)
            (void)printf("usage: %s\n\n%s\n\n", abouts[i].usage, abouts[i].text);
    for (size_t i = 0; i < config_option_count; i++)
        if (config_options[i].programs & program) print_option(&config_options[i]);
    (void)printf("\nAccepted as well, since one set of options may go to all programs:\n");
    for (size_t i = 0; i < config_option_count; i++)
        if (!(config_options[i].programs & program)) print_option(&config_options[i]);
    (void)printf(
        "\n[default] ($environment variable). A value may follow as --name VALUE or --name=VALUE; a bare "
        "boolean\n"
        "flag means true. The command line wins over the environment, that over the file of --config.\n");
}
