/* The command line. Secrets of a test are no secrets: everything is given openly. */
#ifndef MOCK_AC_OPTIONS_H
#define MOCK_AC_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "faults.h"
#include "generator.h"
#include "settings.h"

typedef struct {
    char *listen;
    int64_t port;
    int64_t tool_port;
    char *tls_cert; /* file names */
    char *tls_key;
    char *tool_tls_cert;
    char *tool_tls_key;
    char *api_key;
    char *env_name;
    char *script;
    char *ready_file;
    char *books_file;
    int64_t tasks;
    int64_t seed;
    int64_t record;
    bool help;
    settings_t settings;
    generator_t *generator;
    faults_t *faults;
} options_t;

/*
 * Reads the arguments. False with one line appended to `error` when one is bad. `self` has to be
 * freed in both cases.
 */
bool options_parse(options_t *self, int argc, char **argv, buf_t *error);
void options_free(options_t *self);

/* The text of --help. */
extern const char options_help[];

#endif
