/* Fills in a template of a manual page, or of the configuration file: lines that begin with @ become the
 * options of a program (@OPTIONS broker), of the file (@FILE), its example (@EXAMPLE), and @VERSION@ the
 * version. A tool of the build. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"

static const struct {
    const char *name;
    unsigned program;
} programs[] = {{"run", PROGRAM_RUN},           {"broker", PROGRAM_BROKER},     {"fetcher", PROGRAM_FETCHER},
                {"executor", PROGRAM_EXECUTOR}, {"uploader", PROGRAM_UPLOADER}, {"tool", PROGRAM_TOOL},
                {"doctor", PROGRAM_DOCTOR}};

#define SERVICES      (PROGRAM_BROKER | PROGRAM_FETCHER | PROGRAM_EXECUTOR | PROGRAM_UPLOADER)
#define PROGRAM_COUNT (sizeof programs / sizeof programs[0])

/* A text as roff takes it. */
static void put_roff(FILE *out, const char *text) {
    if (*text == '.' || *text == '\'') (void)fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '-')
            (void)fputs("\\-", out);
        else if (*text == '\\')
            (void)fputs("\\e", out);
        else
            (void)fputc(*text, out);
    }
}

static bool has_default(const option_t *option) {
    return option->fallback && option->fallback[0];
}

static void put_bounds(FILE *out, const option_t *option) {
    if (option->kind == OPTION_INT) (void)fprintf(out, "From %ld to %ld. ", option->min, option->max);
}

/* The programs of those bits, as "broker, fetcher". Returns how many. */
static unsigned put_programs(FILE *out, unsigned bits) {
    unsigned count = 0;
    for (size_t i = 0; i < PROGRAM_COUNT; i++) {
        if (!(bits & programs[i].program)) continue;
        (void)fprintf(out, "%s%s", count > 0 ? ", " : "",
                      programs[i].program == PROGRAM_RUN ? "sluice run" : programs[i].name);
        count++;
    }
    return count;
}

/* Which programs take it, and which of them at once. */
static void put_readers(FILE *out, const option_t *option) {
    unsigned readers = option->programs & SERVICES, live = 0;
    if (readers == 0) readers = option->programs & PROGRAM_RUN;
    for (size_t i = 0; i < PROGRAM_COUNT; i++)
        if ((readers & programs[i].program) && config_is_live(option, programs[i].program))
            live |= programs[i].program;
    if (put_programs(out, readers) == 0) (void)fputs("nobody", out);
    (void)fputs(live == 0 ? "; from its start on" : "; a reload changes it", out);
    if (live == 0 || live == readers) return;
    (void)fputs(" in the ", out);
    (void)put_programs(out, live);
}

static void put_default(FILE *out, const option_t *option) {
    if (!has_default(option)) return;
    (void)fputs("Default: ", out);
    put_roff(out, option->fallback);
    (void)fputs(". ", out);
}

static void put_option(FILE *out, const option_t *option) {
    (void)fputs(".TP\n.BR ", out);
    put_roff(out, "--");
    put_roff(out, option->name);
    if (option->value) {
        (void)fputs(" \" \\fI", out);
        put_roff(out, option->value);
        (void)fputs("\\fR\"", out);
    }
    (void)fputc('\n', out);
    put_roff(out, option->help);
    (void)fputs(".\n", out);
    put_bounds(out, option);
    put_default(out, option);
    if (option->old_name) {
        (void)fputs("Also ", out);
        put_roff(out, "--");
        put_roff(out, option->old_name);
        (void)fputs(". ", out);
    }
    if (option->environment) (void)fprintf(out, "Environment: \\fB%s\\fR.", option->environment);
    (void)fputc('\n', out);
}

static void put_options(FILE *out, unsigned program) {
    for (size_t i = 0; i < config_option_count; i++)
        if (config_options[i].programs & program) put_option(out, &config_options[i]);
}

/* What a file cannot say. */
static bool in_file(const option_t *option) {
    return option->kind != OPTION_HELP && option->kind != OPTION_VERSION &&
           option->offset != offsetof(config_t, config_file) &&
           option->offset != offsetof(config_t, check_only);
}

static void put_file_options(FILE *out) {
    for (size_t i = 0; i < config_option_count; i++) {
        const option_t *option = &config_options[i];
        if (!in_file(option)) continue;
        (void)fprintf(out, ".TP\n.BR %s \" = \\fI", option->name);
        put_roff(out, option->value);
        (void)fputs("\\fR\"\n", out);
        put_roff(out, option->help);
        (void)fputs(".\n", out);
        put_bounds(out, option);
        put_default(out, option);
        (void)fputs("For ", out);
        put_readers(out, option);
        (void)fputs(".\n", out);
    }
}

static void put_example(FILE *out) {
    for (size_t i = 0; i < config_option_count; i++) {
        const option_t *option = &config_options[i];
        if (!in_file(option)) continue;
        (void)fprintf(out, "\n# %s\n# ", option->help);
        if (option->kind == OPTION_INT) (void)fprintf(out, "%ld to %ld; ", option->min, option->max);
        if (option->kind == OPTION_BOOL || option->kind == OPTION_CHOICE)
            (void)fprintf(out, "%s; ", option->value);
        (void)fputs("for ", out);
        put_readers(out, option);
        (void)fprintf(out, "\n#%s = %s\n", option->name,
                      has_default(option) ? option->fallback : option->value);
    }
}

static bool put_directive(FILE *out, const char *line) {
    char name[16] = "";
    if (strncmp(line, "@FILE\n", 6) == 0) {
        put_file_options(out);
        return true;
    }
    if (strncmp(line, "@EXAMPLE\n", 9) == 0) {
        put_example(out);
        return true;
    }
    if (sscanf(line, "@OPTIONS %15[a-z]", name) != 1) return false;
    for (size_t i = 0; i < PROGRAM_COUNT; i++) {
        if (strcmp(programs[i].name, name) != 0) continue;
        put_options(out, programs[i].program);
        return true;
    }
    return false;
}

static void put_line(FILE *out, const char *line) {
    const char *mark = strstr(line, "@VERSION@");
    if (!mark)
        (void)fputs(line, out);
    else
        (void)fprintf(out, "%.*s%s%s", (int)(mark - line), line, SLUICE_VERSION,
                      mark + sizeof "@VERSION@" - 1);
}

int main(int argc, char **argv) {
    FILE *in = argc == 3 ? fopen(argv[1], "r") : NULL, *out = in ? fopen(argv[2], "w") : NULL;
    char *line = NULL;
    size_t size = 0;
    bool ok = out != NULL;
    while (ok && getline(&line, &size, in) >= 0) {
        if (line[0] != '@')
            put_line(out, line);
        else
            ok = put_directive(out, line);
    }
    free(line);
    if (!ok)
        (void)fprintf(stderr, "make-docs: %s: cannot be read, or has an unknown line that begins with @\n",
                      argc > 1 ? argv[1] : "");
    if (in) (void)fclose(in);
    if (out && fclose(out) != 0) ok = false;
    return ok ? 0 : 1;
}
