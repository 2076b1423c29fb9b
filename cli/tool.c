#include "cli/tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/status_page.h"
#include "common/config_table.h"
#include "common/program.h"

int tool_complain(int status, const char *fmt, ...) {
    char text[ASK_WHY_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    page_clean(text);
    program_complain(TOOL_NAME, text);
    return status;
}

int tool_check_number(const char *id) {
    if (tool_is_number(id)) return 0;
    return tool_complain(EXIT_CONFIG, "--number takes the broker's number of a task, and \"%.200s\" is none",
                         id);
}

bool tool_is_number(const char *id) {
    size_t digits = strspn(id, "0123456789");
    return digits > 0 && digits < 20 && id[digits] == '\0';
}

static bool take_word(tool_t *self, const char *word) {
    if (self->word_count == TOOL_WORDS_MAX) return false;
    self->words[self->word_count++] = word;
    return true;
}

static bool is_option(const char *word) {
    return word[0] == '-' && word[1] != '\0';
}

/* Takes the flags, and the words that stand first, out of the arguments; returns how many are left. */
static int own_words(tool_t *self, int argc, char **argv, const tool_flag_t *flags, size_t flag_count) {
    int kept = 1;
    bool first = true, rest = false;
    for (int i = 1; i < argc; i++) {
        bool flag = false;
        for (size_t f = 0; f < flag_count && !flag && !rest; f++)
            if (strcmp(argv[i], flags[f].name) == 0) flag = *flags[f].set = true;
        if (flag) continue;
        first = first && !is_option(argv[i]);
        rest = rest || strcmp(argv[i], "--") == 0;
        if (!first || !take_word(self, argv[i])) argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    return kept;
}

/* Of the arguments that cannot be read. An ID looks like an option when it begins like one. */
static int complain_of_options(const char *why, bool takes_id) {
    bool unknown = strncmp(why, "there is no option ", 19) == 0;
    return tool_complain(EXIT_CONFIG, "%s%s", why,
                         takes_id && unknown ? "; an ID that begins with - stands behind a word --" : "");
}

/* An option behind words that stand behind options, where none is read. */
static int complain_of_late_option(const char *word, bool takes_id) {
    char why[CONFIG_WHY_MAX];
    size_t len = strcspn(word, "=");
    if (strcmp(word, "-h") == 0 || (strncmp(word, "--", 2) == 0 && config_option(word + 2, len - 2) != NULL))
        return tool_complain(EXIT_CONFIG,
                             "%.*s stands too late: options stand all before the words, or all behind them",
                             (int)len, word);
    (void)config_unknown_option(word, why);
    return complain_of_options(why, takes_id);
}

int tool_open(tool_t *self, int argc, char **argv, const tool_flag_t *flags, size_t flag_count) {
    char why[ASK_WHY_MAX] = "";
    int rest = 0;
    *self = (tool_t){.signal_fd = -1};
    argc = own_words(self, argc, argv, flags, flag_count);
    if (config_load(PROGRAM_TOOL, argc, argv, &self->config, &self->done, &rest, why) != 0)
        return complain_of_options(why, flag_count > 0);
    if (self->done) return EXIT_CLEAN;
    bool behind = false;
    for (int i = rest; i < argc; i++) {
        if (!behind && strcmp(argv[i], "--") == 0) {
            behind = true;
            continue;
        }
        if (!behind && is_option(argv[i])) return complain_of_late_option(argv[i], flag_count > 0);
        if (!take_word(self, argv[i]))
            return tool_complain(EXIT_CONFIG, "\"%.100s\" is a word too much", argv[i]);
    }
    self->signal_fd = program_start(TOOL_NAME, self->config);
    if (self->signal_fd < 0) return tool_complain(EXIT_FAILED, "cannot set up signals: %s", strerror(errno));
    self->ask = ask_new(self->config, why);
    return self->ask != NULL ? 0 : tool_complain(EXIT_FAILED, "%s", why);
}

void tool_close(tool_t *self) {
    ask_destroy(&self->ask);
    if (self->signal_fd >= 0) (void)close(self->signal_fd);
    config_destroy(&self->config);
}
