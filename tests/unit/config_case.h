/* A command line and what config_load() made of it, for the tests of the configuration. */
#ifndef SLUICE_TESTS_CONFIG_CASE_H
#define SLUICE_TESTS_CONFIG_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/config.h"
#include "common/err.h"

typedef struct {
    char *argv[32];
    int argc, rest, err;
    bool done;
    config_t *config;
    char why[512];
} case_t;

/* Words are copied, since the configuration writes into them. */
static inline void case_load(case_t *self, unsigned program, const char *const *words, int *rest) {
    memset(self, 0, sizeof *self);
    self->argv[self->argc++] = strdup("test");
    for (; *words != NULL; words++)
        self->argv[self->argc++] = strdup(*words);
    self->err = config_load(program, self->argc, self->argv, &self->config, &self->done, rest, self->why);
}

static inline void case_end(case_t *self) {
    for (int i = 0; i < self->argc; i++)
        free(self->argv[i]);
    config_destroy(&self->config);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* No variable of the surroundings may change a test. */
static inline void case_clean_environment(void) {
    static const char *const names[] = {"server_url",
                                        "api_key",
                                        "verify",
                                        "timeout",
                                        "EXECUTOR_POOL_SIZE",
                                        "metricsRetentionDays",
                                        "STATE_DIRECTORY",
                                        "RUNTIME_DIRECTORY",
                                        "CREDENTIALS_DIRECTORY",
                                        "XDG_STATE_HOME",
                                        "XDG_RUNTIME_DIR"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
}

/* Asserts that loading is refused with a reason that holds `part`, in one line. */
static inline void refuse(unsigned program, const char *const *words, const char *part) {
    case_t c;
    case_load(&c, program, words, NULL);
    if (c.err != ERR_INVALID) fail_msg("not refused, where \"%s\" was expected", part);
    if (strstr(c.why, part) == NULL) fail_msg("\"%s\" does not say \"%s\"", c.why, part);
    assert_null(strchr(c.why, '\n'));
    assert_null(c.config);
    case_end(&c);
}

#endif
