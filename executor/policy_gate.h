/* The policy on the way of each request: judged by its name before it is sent, by the address that curl is
 * about to connect to, and by the one it is connected to, on every hop of redirects anew. Holds the rules,
 * read again when their file changes, and in learn mode notes what is used. */
#ifndef SLUICE_EXECUTOR_POLICY_GATE_H
#define SLUICE_EXECUTOR_POLICY_GATE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/policy.h"
#include "executor/request.h"

typedef struct policy_gate_t policy_gate_t;

#define PASSAGE_WHY_MAX (POLICY_TEXT_MAX + 100)

/* A request on its way. Zeroed at first; passage_clear() at the end. */
typedef struct {
    policy_gate_t *gate;
    policy_t *policy; /* that judges this hop */
    char *path;
    char *host_header; /* the host of the task's own Host header; NULL: it is that of the URL */
    const request_t *request;
    bool by_proxy;             /* the address is the proxy's, and says nothing of the tool's */
    const policy_rule_t *rule; /* whose headers are sent; NULL for none */
    bool settled;              /* the rule was found by the address: it is not changed once more */
    bool let_out;              /* curl may have connected to some address */
    char why[PASSAGE_WHY_MAX]; /* why it was refused; "" when it was not */
} passage_t;

/* ERR_INVALID, ERR_IO with `why`: rules that cannot be read; ERR_NOMEM. */
int policy_gate_new(const config_t *config, policy_gate_t **self, char why[POLICY_WHY_MAX]);
void policy_gate_destroy(policy_gate_t **self);
/* Reads the rules again when they have changed, once a second at most. */
void policy_gate_turn(policy_gate_t *self, int64_t now_ms);

/* Before a hop: chooses the rule and gives the request its headers. ERR_STATE: it is refused, and
 * passage->why says by what. ERR_NOMEM. `again`: the same hop once more, by the rule that its address has
 * chosen. */
int passage_begin(passage_t *self, policy_gate_t *gate, request_t *request, bool by_proxy, bool again);
/* Whether curl may connect there. */
bool passage_address(passage_t *self, const struct sockaddr *address);
/* Connected, before anything is sent. PASSAGE_AGAIN: the address belongs to another rule, whose headers are
 * others. */
typedef enum { PASSAGE_OPEN, PASSAGE_CLOSED, PASSAGE_AGAIN } passage_state_t;
passage_state_t passage_connected(passage_t *self, const char *address);
void passage_clear(passage_t *self);

#endif
