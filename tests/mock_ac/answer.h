/* An HTTP answer under construction, and what can be done to it on its way out. */
#ifndef MOCK_AC_ANSWER_H
#define MOCK_AC_ANSWER_H

#include <stdbool.h>

#include "body.h"
#include "faults.h"
#include "text.h"

struct MHD_Response;

typedef struct answer answer_t;

/* An answer without a body. */
answer_t *answer_new(int status);
void answer_destroy(answer_t **self);

/* An answer with a copy of `body` of the content type given. */
answer_t *answer_with(int status, const char *type, span_t body);

/* {"message": text} */
answer_t *answer_message(int status, const char *text);

/* The answer a fault puts in place of the ordinary one; NULL for a fault of another kind. */
answer_t *answer_fault(fault_t fault);

void answer_header(answer_t *self, const char *name, const char *value);

/* Sets the body, whose bytes are borrowed and must outlive the server. */
void answer_body(answer_t *self, const body_t *body, bool chunked);

/* Ends the connection after half of the body. */
void answer_halve(answer_t *self);

/* True when halving leaves the client with an incomplete body. */
bool answer_can_halve(const answer_t *self);

int answer_status(const answer_t *self);

/* What libmicrohttpd needs; the caller destroys it. NULL when it takes no such header. */
struct MHD_Response *answer_response(const answer_t *self);

#endif
