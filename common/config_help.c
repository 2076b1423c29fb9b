#include <stdio.h>
#include <string.h>

#include "common/config_table.h"

#define WIDTH  80
#define INDENT 30 /* column of the texts */

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
    {PROGRAM_DOCTOR, "sluice doctor [--tool URL] [--json] [OPTION...]",
     "Looks at every hop of a task's way, from the options to AC, or with --tool from here to a tool, and "
     "says what to "
     "do. Give it the options of the agent. Exit status 0: all is well, 1: warnings, 2: something does not "
     "work."},
    {PROGRAM_TOOL,
     "sluice status [--json] [--watch] [OPTION...]\n"
     "       sluice task ID [--number] [--json] [OPTION...]\n"
     "       sluice dead [--json] [OPTION...]\n"
     "       sluice dead retry ID|--all [--number] [--json] [OPTION...]\n"
     "       sluice dead drop ID [--number] [--json] [OPTION...]\n"
     "       sluice drain|resume [OPTION...]",
     "Asks the running broker, or tells it what to do. ID is AC's taskId or the broker's own number of the "
     "task; with --number the number alone. An ID that begins with - stands behind a word --, as in `sluice "
     "dead drop -- -7`. `task` tells where a task is and what has happened to it, also "
     "when it is gone; of a taskId that AC has handed out often, the latest 20 that are gone. `dead` lists "
     "the results that AC has refused for good; `retry` has them tried again, "
     "`drop` removes one. Exit status of `task` and `dead` 0: it is shown or done, 1: no such task, or no "
     "broker "
     "answers, 2: the words or options are wrong. `drain` pauses fetching until `resume`, also over "
     "restarts."},
};

/* Prints words from column `at` on, in lines that fit a terminal and begin at `indent`. */
static void print_words(const char *text, size_t at, size_t indent) {
    while (*text) {
        size_t len = strcspn(text, " ");
        if (at > indent && at + 1 + len > WIDTH) {
            (void)printf("\n");
            at = 0;
        }
        if (at < indent)
            (void)printf("%*s", (int)(indent - at), "");
        else if (at > indent)
            (void)printf(" ");
        at = (at < indent ? indent : at > indent ? at + 1 : at) + len;
        (void)printf("%.*s", (int)len, text);
        text += len;
        text += strspn(text, " ");
    }
    (void)printf("\n");
}

static void print_option(const option_t *option) {
    char text[512];
    const char *fallback = option->fallback && option->fallback[0] ? option->fallback : NULL;
    const char *old_name = option->old_name, *variable = option->environment;
    int left =
        printf("  --%s%s%s", option->name, option->value ? " " : "", option->value ? option->value : "");
    (void)snprintf(text, sizeof text, "%s%s%s%s%s%s%s%s%s%s", option->help, fallback ? " [" : "",
                   fallback ? fallback : "", fallback ? "]" : "", old_name ? " (also --" : "",
                   old_name ? old_name : "", old_name ? ")" : "", variable ? " ($" : "",
                   variable ? variable : "", variable ? ")" : "");
    if (left >= INDENT) {
        (void)printf("\n");
        left = 0;
    }
    print_words(text, (size_t)left, INDENT);
}

void config_print_help(unsigned program) {
    for (size_t i = 0; i < sizeof abouts / sizeof abouts[0]; i++)
        if (abouts[i].program == program) {
            (void)printf("usage: %s\n\n", abouts[i].usage);
            print_words(abouts[i].text, 0, 0);
            (void)printf("\n");
        }
    for (size_t i = 0; i < config_option_count; i++)
        if (config_options[i].programs & program) print_option(&config_options[i]);
    (void)printf("\nAccepted as well, since one set of options may go to all programs:\n");
    for (size_t i = 0; i < config_option_count; i++)
        if (!(config_options[i].programs & program)) print_option(&config_options[i]);
    (void)printf("\n");
    print_words(
        "[default] ($environment variable). A value may follow as --name VALUE or --name=VALUE; a bare "
        "boolean "
        "flag means true. The command line wins over the environment, and that over the file of --config.",
        0, 0);
}
