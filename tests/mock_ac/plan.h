/* What the tool expects of a task and how it answers: a plain value that script and generator fill. */
#ifndef MOCK_AC_PLAN_H
#define MOCK_AC_PLAN_H

#include <stdbool.h>

#include "body.h"
#include "faults.h"

typedef struct {
    char *name;
    char *value;
} header_t;

typedef struct {
    bool known;   /* false: the tool has no part in this task, its result is checked for its echo only */
    bool chunked; /* send the body in chunks */
    bool repeats; /* the path may be asked more than once, as in a redirect loop */
    int status;
    int64_t delay_ms;
    body_t body;    /* as sent */
    body_t decoded; /* what the agent brings back, when the body is sent compressed */
    bool compressed;
    header_t *headers;
    size_t header_count;
    fault_t fault; /* of kind FAULT_NONE for none */
} plan_t;

/* Frees what the plan owns and zeroes it. */
void plan_free(plan_t *plan);

void plan_header(plan_t *plan, span_t name, span_t value);

/* The body an agent has to bring back for a request with this method; NULL when there is none. */
const body_t *plan_expected(const plan_t *plan, span_t method);

/* True when the answer sends the agent elsewhere, so that its result is another resource's. */
bool plan_redirects(const plan_t *plan);

/* Finds out from Content-Encoding what an agent brings back. Leaves `decoded` empty when it cannot. */
void plan_decode(plan_t *plan);

#endif
