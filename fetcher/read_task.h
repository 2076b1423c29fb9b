/* Reads an answer of get-task: what goes into FETCHED beside the task itself. Pure. */
#ifndef SLUICE_FETCHER_READ_TASK_H
#define SLUICE_FETCHER_READ_TASK_H

#include <stddef.h>
#include <stdint.h>

#include "common/global_config.h"
#include "common/messages.h"

#define EXPIRY_DEFAULT_MS 300000 /* of a task that names none */

/* A task that was read. The texts of `fetched` live in it and in the answer's octets. */
typedef struct {
    msg_fetched_t fetched; /* but for instance, seq and credit */
    const char *task;      /* the task object, in the answer's octets or in `left` */
    size_t task_bytes;
    text_t left; /* what could be read of a task that is no JSON */
    char task_id[MSG_TASK_ID_MAX];
    char method[32], host[255], error[500];
    char config[GLOBAL_CONFIG_TEXT_MAX];
    char note[256]; /* something that was ignored, for the log; "" if nothing */
} read_task_t;

/* OUTCOME_DONE with *task; OUTCOME_EMPTY; OUTCOME_MALFORMED with *why (there is no taskId to answer for). A
 * task that cannot be run but has a taskId is OUTCOME_DONE with TASK_INVALID and its error text, also when
 * the answer is no JSON. `wall_ms` is Unix time. Always call read_task_clear() afterwards. */
outcome_t read_task(const char *answer, size_t answer_bytes, int64_t wall_ms, read_task_t *task,
                    char why[256]);
void read_task_clear(read_task_t *task);

#endif
