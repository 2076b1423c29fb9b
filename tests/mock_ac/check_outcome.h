/* Compares a result with what the tool answered, or, when it is an error, asks what explains it. */
#ifndef MOCK_AC_CHECK_OUTCOME_H
#define MOCK_AC_CHECK_OUTCOME_H

#include "check.h"

void check_outcome(const tasks_t *tasks, const task_t *task, const received_t *received, result_class_t class,
                   buf_t *reason);

#endif
