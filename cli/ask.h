/* A tool's questions to the broker: a DEALER on the control endpoint (docs/PROTOCOL.md, section 4, tools). */
#ifndef SLUICE_CLI_ASK_H
#define SLUICE_CLI_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/config.h"
#include "common/messages.h"

#define ASK_TIMEOUT_MS 2000
#define ASK_WHY_MAX    1024

typedef struct ask_t ask_t;

/* Connects to the broker that the options name; it need not be there. NULL when memory or sockets fail, or
 * the endpoint is malformed, with the reason in `why`. */
ask_t *ask_new(const config_t *config, char why[ASK_WHY_MAX]);
/* Whether somebody may be listening: false, with the reason in `why`, when there is no such socket here. */
bool ask_is_there(ask_t *self, char why[ASK_WHY_MAX]);
/* What is not sent yet is dropped. Accepts NULL; nulls the pointer. */
void ask_destroy(ask_t **self);

/* Asks for the status and waits for the answer, at most ASK_TIMEOUT_MS. 0 with the JSON, terminated and freed
 * by the caller; ERR_NOT_FOUND when no broker answers, ERR_VERSION or ERR_MALFORMED when it answers
 * otherwise, ERR_STATE when a signal came in `signal_fd` (-1: none; the signal is left to be read),
 * ERR_NOMEM; `why` is one line that says what to check. */
int ask_status(ask_t *self, int signal_fd, char **json, size_t *size, char why[ASK_WHY_MAX]);

/* An answer's JSON, terminated; `text` is freed by the caller. */
typedef struct {
    char *text;
    size_t size;
} ask_json_t;

/* What is known of a task, by AC's taskId or the broker's number, or by that alone. Errors as above. */
int ask_task(ask_t *self, int signal_fd, const char *task, bool number, ask_json_t *json,
             char why[ASK_WHY_MAX]);
/* The buried tasks from those above the number `after`, at most `max` (MSG_LIST_MAX). Errors as above. */
int ask_buried(ask_t *self, int signal_fd, uint64_t after, uint16_t max, ask_json_t *json,
               char why[ASK_WHY_MAX]);
/* Has it done, in the journal too when it returns 0. Sets the order's `seq`. Errors as above; `why` tells,
 * too, when it may be done although nobody has answered. */
int ask_order(ask_t *self, int signal_fd, msg_order_t *order, msg_ordered_t *ordered, char why[ASK_WHY_MAX]);
/* Tells the broker to stop fetching, or to resume; when it returns 0 that outlives the broker. Errors as
 * of ask_order(). */
int ask_drain(ask_t *self, int signal_fd, bool drain, char why[ASK_WHY_MAX]);

#endif
