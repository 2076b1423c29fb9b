/* A tool's question to the broker: a DEALER on the control endpoint, STATUS and DRAIN (docs/PROTOCOL.md,
 * section 4, tools). */
#ifndef SLUICE_CLI_ASK_H
#define SLUICE_CLI_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/config.h"

#define ASK_TIMEOUT_MS 2000
#define ASK_WHY_MAX    1024

typedef struct ask_t ask_t;

/* Connects to the broker that the options name; it need not be there. NULL when memory or sockets fail, or
 * the endpoint is malformed, with the reason in `why`. */
ask_t *ask_new(const config_t *config, char why[ASK_WHY_MAX]);
/* What is not sent yet is dropped. Accepts NULL; nulls the pointer. */
void ask_destroy(ask_t **self);

/* Asks for the status and waits for the answer, at most ASK_TIMEOUT_MS. 0 with the JSON, terminated and freed
 * by the caller; ERR_NOT_FOUND when no broker answers, ERR_VERSION or ERR_MALFORMED when it answers
 * otherwise, ERR_STATE when a signal came in `signal_fd` (-1: none; the signal is left to be read),
 * ERR_NOMEM; `why` is one line that says what to check. */
int ask_status(ask_t *self, int signal_fd, char **json, size_t *size, char why[ASK_WHY_MAX]);

/* Tells the broker to stop fetching, or to resume. A status asked for after it shows the effect.
 * ERR_NOT_FOUND, ERR_NOMEM. */
int ask_drain(ask_t *self, bool drain, char why[ASK_WHY_MAX]);

#endif
