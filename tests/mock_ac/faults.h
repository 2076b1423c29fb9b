/*
 * What goes wrong on purpose. A rule is ENDPOINT:KIND:PROBABILITY[:PARAM][:xCOUNT]; the rules
 * of an endpoint are tried in their order, and the first that hits is used. Draws are seeded.
 */
#ifndef MOCK_AC_FAULTS_H
#define MOCK_AC_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "endpoint.h"

typedef enum {
    FAULT_NONE,
    FAULT_STATUS,      /* answer with `status`, nothing is processed */
    FAULT_429_CONC,    /* 429 "Too many concurrent requests" */
    FAULT_429_RATE,    /* 429 with X-Rate-Limit-Retry-After-Seconds: param */
    FAULT_429_RETRY,   /* 429 with Retry-After: param */
    FAULT_RESET,       /* TCP reset, nothing is processed */
    FAULT_RESET_AFTER, /* processed, then a TCP reset in place of the answer */
    FAULT_STALL,       /* nothing for `param` ms, then closed, nothing is processed */
    FAULT_HALF,        /* processed, then half of the answer */
    FAULT_GARBAGE,     /* 200 with a body that is no JSON, nothing is processed */
    FAULT_DELAY        /* the ordinary answer, `param` ms later */
} fault_kind_t;

typedef struct {
    fault_kind_t kind;
    int status;
    int64_t param;
} fault_t;

typedef struct faults faults_t;

faults_t *faults_new(uint64_t seed);
void faults_destroy(faults_t **self);

/* Adds a rule. False, with what would be right appended to `error`, when it cannot be read. */
bool faults_add(faults_t *self, const char *rule, buf_t *error);

/* Takes all rules away; what they did stays counted. */
void faults_clear(faults_t *self);

/* The fault for one request to `endpoint`, or one of kind FAULT_NONE. A hit is counted. */
fault_t faults_pick(faults_t *self, endpoint_t endpoint);

/* Counts a fault that came from elsewhere, such as a script. */
void faults_count(faults_t *self, endpoint_t endpoint, fault_t fault);

/* Calls `each` with "put-result:500" and how often it was injected. */
void faults_each(const faults_t *self, void (*each)(void *ctx, const char *name, int64_t count), void *ctx);

/* Reads "reset", "stall:5000" or "503". */
bool fault_parse(const char *text, fault_t *out);

/* True when the fault is an answer of its own, with this status and text. */
bool fault_answers(fault_t fault, int *status, buf_t *text);

#endif
