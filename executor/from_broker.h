/* What the broker says: tasks, and the answers to what became of them. */
#ifndef SLUICE_EXECUTOR_FROM_BROKER_H
#define SLUICE_EXECUTOR_FROM_BROKER_H

#include "executor/executor.h"

/* The handler for the link of `self`. */
link_handler_t from_broker_handler(executor_t *self);

#endif
