/* The table of options. Internal to the configuration. */
#ifndef SLUICE_COMMON_CONFIG_TABLE_H
#define SLUICE_COMMON_CONFIG_TABLE_H

#include <stddef.h>

#include "common/config.h"

typedef enum {
    OPTION_TEXT,
    OPTION_INT,
    OPTION_BOOL,
    OPTION_CHOICE, /* one of `bounds`, separated by '|' */
    OPTION_SECRET, /* text that is wiped from argv and environment */
    OPTION_HELP,
    OPTION_VERSION
} option_kind_t;

typedef struct {
    const char *name;        /* without the dashes */
    const char *old_name;    /* an alias, or NULL */
    const char *environment; /* a variable, or NULL */
    option_kind_t kind;
    size_t offset;        /* in config_t */
    const char *fallback; /* the default as a text; NULL: none */
    long min, max;        /* OPTION_INT; of OPTION_TEXT: at most max bytes, 0 for any */
    const char *choices;  /* OPTION_CHOICE */
    unsigned programs;    /* PROGRAM_* bits for which it matters */
    const char *value;    /* its name in --help */
    const char *help;
} option_t;

#define CONFIG_WHY_MAX 512

extern const option_t config_options[];
extern const size_t config_option_count;

/* NULL when there is none of that name. */
const option_t *config_option(const char *name, size_t len);
/* The option whose name is most like it, for an error text; NULL when none is near. */
const option_t *config_nearest(const char *name);

/* config.c: says in `why` that the word names no option, and which was probably meant. ERR_INVALID. */
int config_unknown_option(const char *word, char why[CONFIG_WHY_MAX]);

/* Which of its names the word is. */
const char *config_name(const option_t *option, const char *word, size_t len);

/* Sets the option's field from a text. 0, ERR_INVALID (`why` says what would be right, of the option as it is
 * called by `name`) or ERR_NOMEM. */
int config_set(config_t *config, const option_t *option, const char *name, const char *text,
               char why[CONFIG_WHY_MAX]);
/* Whether it reads as a boolean. */
bool config_bool(const char *text, bool *value);

/* config.c: the same, and notes where the text came from. */
int config_put(config_t *config, const option_t *option, const char *name, const char *text,
               config_origin_t origin, char why[CONFIG_WHY_MAX]);
config_origin_t *config_origin(const config_t *config, const char *option);
/* The value as a text; a secret as "set", or "" when there is none. Returns `buf` or the text itself. */
const char *config_value(const config_t *config, const option_t *option, char buf[16]);
/* The same as it may be shown: without the user and password of a URL. Returns `buf`. */
const char *config_shown(const config_t *config, const option_t *option, char buf[CONFIG_WHY_MAX]);

typedef struct config_section {
    unsigned program;
    const option_t *option;
    char *value;
} config_section_t;

/* Is told of a fault, or of a mere warning, and goes on. */
typedef void (*config_told_fn)(void *ctx, bool warning, const char *why);
/* config.c: reads everything like config_load(), but goes on where a line is bad, or something does not fit
 * together or is missing: for showing it. `told`, which may be NULL, hears of each such fault. ERR_INVALID
 * with `why`, when nothing can be shown: the command line is wrong, or the file cannot be read. */
int config_look(unsigned program, int argc, char **argv, config_told_fn told, void *ctx, config_t **config,
                char why[CONFIG_WHY_MAX]);

/* config.c: whether this is the check of a unit before it reloads (systemd.exec(5) of MAINPID), which has
 * none of the unit's credentials. A reload keeps the keys that were read at the start. */
bool config_before_reload(const config_t *self);

/* config_file.c: reads `name = value` lines. ERR_INVALID with file, line and what would be right; with
 * `told`, which may be NULL, it goes on after a bad line, and calls it for each. ERR_IO: it cannot be read.
 */
int config_read_file(config_t *config, unsigned program, const char *path, config_told_fn told, void *ctx,
                     char why[CONFIG_WHY_MAX]);
/* "broker" and the like; "" for what is no program of its own. */
const char *config_section_name(unsigned program);
/* config_live.c: whether a running program takes a new value at SIGHUP. */
bool config_is_live(const option_t *option, unsigned program);
/* config_check.c: what is said of the value of an option begins with where it comes from. */
void config_blame(const config_t *config, const char *option, char why[CONFIG_WHY_MAX]);
/* config_check.c: defaults that depend on the user, and checks of what belongs together; `told` as above. */
int config_settle(config_t *config, unsigned program, config_told_fn told, void *ctx,
                  char why[CONFIG_WHY_MAX]);
/* config_key.c: the API key, from a file, the environment, a credential or the command line. */
int config_read_key(config_t *config, unsigned program, char why[CONFIG_WHY_MAX]);
/* config_help.c */
void config_print_help(unsigned program);

#endif
