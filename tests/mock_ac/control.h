/* What a test, the demo or a benchmark asks of the mock itself, under /_control/ at the tool. */
#ifndef MOCK_AC_CONTROL_H
#define MOCK_AC_CONTROL_H

#include "ac_api.h"
#include "books.h"
#include "faults.h"
#include "loop.h"
#include "script.h"
#include "server.h"
#include "settings.h"

typedef struct control control_t;

/* All borrowed. */
typedef struct {
    loop_t *loop;
    books_t *books;
    faults_t *faults;
    settings_t *settings;
    ac_api_t *ac_api;
    script_target_t target;
    void (*down)(void *ctx, bool tool, int64_t for_ms); /* AC or the tool */
    void *down_ctx;
} control_options_t;

control_t *control_new(const control_options_t *options);
void control_destroy(control_t **self);

/* For loop_each_turn, with the control_t as context, behind all that changes the books in a turn. */
void control_turn(void *ctx);

/* Answers a request; `what` is the path behind /_control/. */
void control_request(control_t *self, request_t *request, span_t what);

/* The request is over. */
void control_done(control_t *self, const request_t *request);

#endif
