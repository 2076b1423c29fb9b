/* The tasks the executor holds, from TASK to STORED, DENIED or GONE, and the curl handles they use. */
#ifndef SLUICE_EXECUTOR_SLOTS_H
#define SLUICE_EXECUTOR_SLOTS_H

#include <curl/curl.h>
#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/messages.h"
#include "common/task_json.h"
#include "executor/policy_gate.h"
#include "executor/request.h"
#include "executor/response.h"

typedef struct slots_t slots_t;

/* A large body that is to go to the broker before RESULT. */
typedef struct {
    bool has_file;
    int fd;
    body_kind_t kind;
    enum { OUTGOING_IDLE, OUTGOING_ANNOUNCED, OUTGOING_SENDING, OUTGOING_SENT } state;
    uint64_t length, stream, sent, upto;
    int64_t due_ms;   /* of the next BODY, or of the next try */
    int64_t moved_ms; /* when it last went on */
} outgoing_t;

/* One task. */
typedef struct {
    void *owner; /* the executor_t, for curl's callbacks */
    uint64_t session, number, generation;
    uint32_t attempt;
    char *task_id;   /* for the log */
    bool idempotent; /* may start before CLAIMED has come */
    int64_t received_ms, deadline_ms;
    zframe_t *payload; /* the task JSON; NULL once the result is written */
    task_t_json task;
    bool claimed;         /* CLAIMED has come */
    bool started;         /* the request has been handed to curl */
    bool give_back;       /* RETURN it */
    bool told_unstarted;  /* the last HELLO said that it had not started: true until WELCOME, then claimed */
    int64_t next_send_ms; /* when what is unanswered goes out again; 0: now, for the first time */
    int64_t sent_ms;      /* when RESULT went out last */
    uint64_t sent_place;  /* and its place among all, when it first did in this session */
    uint32_t sent_count;
    /* while it runs */
    CURL *easy; /* NULL when no transfer is under way */
    struct curl_slist *headers;
    request_t request;
    passage_t passage; /* what the policy says of it */
    response_t *response;
    bool zipped; /* a large body is compressed as it comes */
    int sends;   /* requests that curl has begun to send for this transfer */
    bool ipv4;   /* its lookup has failed: once more for IPv4 alone */
    bool again;  /* before it was sent, its address has chosen another rule */
    int64_t started_ms;
    /* when it has ended */
    char *result; /* the result JSON; NULL until then */
    size_t result_bytes;
    uint16_t flags, http_status;
    char why[MSG_WHY_MAX + 1]; /* it could not be done; "" when the tool answered */
    uint32_t tool_ms;
    int64_t leg_ms;                      /* when the present transfer began */
    int64_t connected_ms, first_byte_ms; /* of the first connection, of the last answer; 0: not yet */
    int64_t ended_ms;
    uint64_t body_bytes;
    outgoing_t body;
} run_t;

slots_t *slots_new(void);
/* No transfer may be under way. */
void slots_destroy(slots_t **self);

/* A new run, zeroed. NULL when out of memory or when MSG_HELD_MAX are held. */
run_t *slots_add(slots_t *self);
/* Frees the run; its transfer must have ended. */
void slots_remove(slots_t *self, run_t *run);
run_t *slots_find(const slots_t *self, uint64_t number);
/* In no particular order; removing one moves the last into its place. */
uint32_t slots_count(const slots_t *self);
run_t *slots_at(const slots_t *self, uint32_t index);

/* A curl handle without options; NULL when out of memory. */
CURL *slots_take_easy(slots_t *self);
void slots_give_easy(slots_t *self, CURL *easy);

/* Frees what only a running task needs: request, response, task JSON. */
void run_release(run_t *run);
/* Lets go of a large body. */
void run_drop_body(run_t *run);
phase_t run_phase(const run_t *run);

#endif
