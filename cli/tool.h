/* What the commands that ask the broker have in common: their words, the configuration, the connection. */
#ifndef SLUICE_CLI_TOOL_H
#define SLUICE_CLI_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/ask.h"
#include "cli/flush.h"

#define TOOL_NAME      "sluice"
#define TOOL_WORDS_MAX 4

/* An option of the command alone; a bare flag. */
typedef struct {
    const char *name; /* with its dashes */
    bool *set;
} tool_flag_t;

typedef struct {
    config_t *config;
    int signal_fd;
    ask_t *ask;
    const char *words[TOOL_WORDS_MAX]; /* those that are no options; borrowed from argv */
    int word_count;
    bool done; /* all is said (--help) */
} tool_t;

/* Reads the words, which may stand before or behind the options, and makes ready to ask. Returns 0, or the
 * exit status once it has complained. `argv` is changed. Call tool_close() in any case. */
int tool_open(tool_t *self, int argc, char **argv, const tool_flag_t *flags, size_t flag_count);
void tool_close(tool_t *self);
/* Whether the ID can be the broker's number of a task. */
bool tool_is_number(const char *id);
/* 0, or the exit status once it has complained that the ID is no number. */
int tool_check_number(const char *id);
/* A line on stderr, harmless to a terminal whatever is in it, and `status`. */
int tool_complain(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
