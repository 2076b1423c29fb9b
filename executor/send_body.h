/* A large body on its way to the broker (docs/PROTOCOL.md, "Streams"): announced, then sent in chunks as far
 * as the broker gives credit, from its start again in a new session. RESULT goes after the last chunk. */
#ifndef SLUICE_EXECUTOR_SEND_BODY_H
#define SLUICE_EXECUTOR_SEND_BODY_H

#include "executor/executor.h"

/* Sends what is due of the run's body; true when more could be sent at once. May forget the run. */
bool send_body_turn(executor_t *self, run_t *run);
int64_t send_body_due_ms(const executor_t *self, const run_t *run);

/* What the broker answers. */
void send_body_credit(executor_t *self, const msg_credit_t *credit);
void send_body_abort(executor_t *self, const msg_abort_t *abort);
/* Announced, and no CREDIT has come: the broker has no room for it. */
bool send_body_waits(const run_t *run);
/* The session is another: the stream begins anew. */
void send_body_again(run_t *run);

#endif
