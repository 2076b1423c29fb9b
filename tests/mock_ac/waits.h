/*
 * Requests that wait for the books to say something: "delivered>=500", or several such conditions
 * with commas between them, all of which must hold.
 */
#ifndef MOCK_AC_WAITS_H
#define MOCK_AC_WAITS_H

#include <stdbool.h>

#include "books.h"
#include "faults.h"
#include "server.h"

typedef struct waits waits_t;

/* All borrowed. */
waits_t *waits_new(const books_t *books, const faults_t *faults);
void waits_destroy(waits_t **self);

/*
 * Answers the request with the books: 200 as soon as the condition holds, 408 when `timeout_us`
 * has passed before. False with the fault appended to `error` for a condition it cannot read.
 */
bool waits_add(waits_t *self, request_t *request, const char *condition, int64_t timeout_us, buf_t *error);

/* The request is over. */
void waits_remove(waits_t *self, const request_t *request);

/* Looks again when any counter has changed. */
void waits_look(waits_t *self);

#endif
