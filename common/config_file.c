/* The configuration file: lines of `name = value`, `#` begins a comment line. What stands after [broker],
 * [fetcher], [executor] or [uploader] is for that program alone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"
#include "common/err.h"

typedef struct {
    config_t *config;
    unsigned program; /* that reads it */
    unsigned section; /* whose lines follow; PROGRAM_ALL outside of any */
    const char *path;
    unsigned line;
    config_told_fn told;
    void *ctx;
    unsigned *set_in; /* with `told`: the line of each option so far, by section */
    char *why;
} reader_t;

static const struct {
    const char *name;
    unsigned program;
} sections[] = {{"broker", PROGRAM_BROKER},
                {"fetcher", PROGRAM_FETCHER},
                {"executor", PROGRAM_EXECUTOR},
                {"uploader", PROGRAM_UPLOADER}};
#define SCOPES (1 + sizeof sections / sizeof sections[0]) /* before any section, and each of them */

const char *config_section_name(unsigned program) {
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (sections[i].program == program) return sections[i].name;
    return "";
}

static char *trim(char *text) {
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        text[--len] = '\0';
    return text;
}

static int complain(const reader_t *self, const char *text) {
    (void)snprintf(self->why, CONFIG_WHY_MAX, "%.200s, line %u: %.280s", self->path, self->line, text);
    return ERR_INVALID;
}

static int unknown(const reader_t *self, const char *name) {
    char text[200];
    const option_t *near = config_nearest(name);
    (void)snprintf(text, sizeof text, "there is no option \"%.60s\"%s%s%s", name,
                   near ? "; did you mean \"" : "", near ? near->name : "",
                   near ? "\"?" : "; see --help for all");
    return complain(self, text);
}

static int begin_section(reader_t *self, char *name) {
    char text[200];
    size_t len = strlen(name);
    if (name[len - 1] != ']') return complain(self, "a section must be: [name]");
    name[len - 1] = '\0';
    name = trim(name + 1);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (strcmp(name, sections[i].name) != 0) continue;
        self->section = sections[i].program;
        return 0;
    }
    self->section = 0; /* its lines are for nobody */
    (void)snprintf(text, sizeof text,
                   "there is no section [%.60s]; there are [broker], [fetcher], [executor] and [uploader]",
                   name);
    return complain(self, text);
}

/* Whether the value would do, for a program that it does not concern. */
static int check_value(const option_t *option, const char *name, const char *value, char *why) {
    config_t *scratch = calloc(1, sizeof *scratch);
    int err = scratch ? config_set(scratch, option, name, value, why) : ERR_NOMEM;
    config_destroy(&scratch);
    return err;
}

/* `sluice run` passes on what concerns one of its programs. */
static int keep_for_child(reader_t *self, const option_t *option, const char *value) {
    config_t *config = self->config;
    config_section_t *grown =
        realloc(config->sections, (config->section_count + 1) * sizeof *config->sections);
    if (!grown) return ERR_NOMEM;
    config->sections = grown;
    char *copy = strdup(value);
    if (!copy) return ERR_NOMEM;
    grown[config->section_count++] = (config_section_t){self->section, option, copy};
    return 0;
}

static int set_option(reader_t *self, const option_t *option, const char *name, const char *value,
                      char *why) {
    if (self->section == PROGRAM_ALL || self->section == self->program)
        return config_put(self->config, option, name, value, (config_origin_t){ORIGIN_FILE, self->line}, why);
    int err = check_value(option, name, value, why);
    if (!err && self->program == PROGRAM_RUN) err = keep_for_child(self, option, value);
    return err;
}

/* The last line counts, which may not be the one that somebody looks at. */
static void note_line(reader_t *self, const option_t *option, const char *name) {
    char text[200];
    size_t scope = 0;
    if (!self->set_in) return;
    while (scope + 1 < SCOPES && sections[scope].program != self->section)
        scope++;
    unsigned *latest = &self->set_in[(size_t)(option - config_options) * SCOPES + scope];
    if (*latest > 0) {
        (void)snprintf(text, sizeof text, "warning: %s is set in line %u, too; this one counts", name,
                       *latest);
        (void)complain(self, text);
        self->told(self->ctx, true, self->why);
    }
    *latest = self->line;
}

static int read_line(reader_t *self, char *line) {
    char *name = trim(line), text[CONFIG_WHY_MAX];
    if (*name == '\0' || *name == '#') return 0;
    if (*name == '[') return begin_section(self, name);
    if (self->section == 0) return 0;
    char *equals = strchr(name, '=');
    if (!equals) return complain(self, "a line must be: name = value");
    *equals = '\0';
    char *value = trim(equals + 1);
    name = trim(name);
    const option_t *option = config_option(name, strlen(name));
    if (!option) return unknown(self, name);
    if (option->kind == OPTION_HELP || option->kind == OPTION_VERSION)
        return complain(self, "help and version belong on the command line");
    if (option->offset == offsetof(config_t, config_file))
        return complain(self, "a configuration file cannot name another");
    if (option->programs && !(option->programs & self->section)) {
        (void)snprintf(text, sizeof text, "%s is not for the %s", option->name,
                       config_section_name(self->section));
        return complain(self, text);
    }
    int err = set_option(self, option, name, value, text);
    if (!err) note_line(self, option, name);
    return err == ERR_INVALID ? complain(self, text) : err;
}

/* An editor's mark that the file is UTF-8 is no part of the first line. */
static char *without_mark(char *line, unsigned number) {
    static const char mark[] = "\xef\xbb\xbf";
    return number == 1 && strncmp(line, mark, sizeof mark - 1) == 0 ? line + sizeof mark - 1 : line;
}

int config_read_file(config_t *config, unsigned program, const char *path, config_told_fn told, void *ctx,
                     char why[CONFIG_WHY_MAX]) {
    reader_t reader = {.config = config,
                       .program = program,
                       .section = PROGRAM_ALL,
                       .path = path,
                       .told = told,
                       .ctx = ctx,
                       .set_in = told ? calloc(config_option_count * SCOPES, sizeof(unsigned)) : NULL,
                       .why = why};
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int err = 0, worst = 0;
    for (reader.line = 1;
         file && (!err || (err == ERR_INVALID && told)) && (len = getline(&line, &size, file)) >= 0;
         reader.line++) {
        if (strlen(line) != (size_t)len)
            err = complain(&reader, "there is a zero byte in it; the file must be plain text, in UTF-8");
        else
            err = read_line(&reader, without_mark(line, reader.line));
        if (!err) continue;
        worst = err;
        if (told && err == ERR_INVALID) told(ctx, false, why);
    }
    if (!file || ferror(file)) {
        (void)snprintf(why, CONFIG_WHY_MAX, "cannot read the configuration file %.200s: %s", path,
                       strerror(errno));
        worst = ERR_IO;
    }
    if (line) explicit_bzero(line, size); /* it may have held the key */
    free(line);
    free(reader.set_in);
    if (file) (void)fclose(file);
    return worst;
}
