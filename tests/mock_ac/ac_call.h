/* Inside of the AC listener: one call and its way through ac_api.c, ac_get_task.c and ac_results.c. */
#ifndef MOCK_AC_AC_CALL_H
#define MOCK_AC_AC_CALL_H

#include "ac_api.h"
#include "endpoint.h"
#include "upload.h"

typedef struct call {
    ac_api_t *api;
    request_t *request;
    endpoint_t endpoint;
    flight_t *flight; /* NULL for the store */
    admission_t admission;
    int64_t retry_after_s;
    fault_t fault;
    bool delayed;  /* its delay lies behind it */
    bool killed;   /* ended by us without an answer */
    bool accepted; /* a result has been taken */
    upload_t *upload;
    put_t *put;
    task_t *task; /* handed out by this call's answer */
    bool polling;
    struct call *prev; /* among the polls that wait */
    struct call *next;
} call_t;

struct ac_api {
    ac_api_options_t options;
    uint64_t draws;
    call_t *first_poll;
    call_t *last_poll;
};

/* Counts a breach of the contract. */
void protocol_error(ac_api_t *self, const call_t *call, const char *text);

/* Sends the answer with the call's delay and fault applied. */
void call_answer(call_t *call, answer_t **answer);
void call_message(call_t *call, int status, const char *text);
void call_kill(call_t *call, bool reset);

/* Delay of the call's answer in microseconds. */
int64_t call_delay_us(const call_t *call);

/* The calls. */
void get_task(call_t *call);
void put_result(call_t *call);
void upload_result(call_t *call);
void upload_url(call_t *call);
void store_upload(call_t *call);

/* A poll that waits no longer. */
void poll_remove(call_t *call);

#endif
