/* The configuration file: lines of `name = value`, `#` begins a comment line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"
#include "common/err.h"

static char *trim(char *text) {
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        text[--len] = '\0';
    return text;
}

static int complain(char *why, const char *path, unsigned line, const char *text) {
    (void)snprintf(why, CONFIG_WHY_MAX, "%.200s, line %u: %.280s", path, line, text);
    return ERR_INVALID;
}

static int unknown(char *why, const char *path, unsigned line, const char *name) {
    char text[200];
    const option_t *near = config_nearest(name);
    (void)snprintf(text, sizeof text, "there is no option \"%.60s\"%s%s%s", name,
                   near ? "; did you mean \"" : "", near ? near->name : "",
                   near ? "\"?" : "; see --help for all");
    return complain(why, path, line, text);
}

static int read_line(config_t *config, const char *path, unsigned number, char *line, char *why) {
    char *name = trim(line);
    if (*name == '\0' || *name == '#') return 0;
    char *equals = strchr(name, '=');
    if (!equals) return complain(why, path, number, "a line must be: name = value");
    *equals = '\0';
    char *value = trim(equals + 1);
    name = trim(name);
    const option_t *option = config_option(name, strlen(name));
    if (!option) return unknown(why, path, number, name);
    if (option->kind == OPTION_HELP || option->kind == OPTION_VERSION)
        return complain(why, path, number, "help and version belong on the command line");
    if (option->offset == offsetof(config_t, config_file))
        return complain(why, path, number, "a configuration file cannot name another");
    char text[CONFIG_WHY_MAX];
    int err = config_set(config, option, value, text);
    return err == ERR_INVALID ? complain(why, path, number, text) : err;
}

int config_read_file(config_t *config, const char *path, char why[CONFIG_WHY_MAX]) {
    FILE *file = fopen(path, "re");
    if (!file) {
        (void)snprintf(why, CONFIG_WHY_MAX, "cannot read the configuration file %.200s: %s", path,
                       strerror(errno));
        return ERR_INVALID;
    }
    char *line = NULL;
    size_t size = 0;
    int err = 0;
    for (unsigned number = 1; !err && getline(&line, &size, file) >= 0; number++)
        err = read_line(config, path, number, line, why);
    if (!err && ferror(file)) {
        (void)snprintf(why, CONFIG_WHY_MAX, "cannot read the configuration file %.200s: %s", path,
                       strerror(errno));
        err = ERR_INVALID;
    }
    if (line) explicit_bzero(line, size); /* it may have held the key */
    free(line);
    (void)fclose(file);
    return err;
}
