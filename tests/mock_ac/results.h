/* Takes a result that AC accepts: finds its task, has it checked, keeps the books and the record. */
#ifndef MOCK_AC_RESULTS_H
#define MOCK_AC_RESULTS_H

#include <stdbool.h>

#include "books.h"
#include "check.h"
#include "store.h"
#include "tasks.h"
#include "upload.h"

/* All borrowed. */
typedef struct {
    books_t *books;
    tasks_t *tasks;
    const store_t *store;
} ledger_t;

/*
 * `upload` is NULL for a put-result. False with the reason appended to `error` when the text is no
 * JSON object; a result that is JSON but wrong is taken, and booked as wrong.
 */
bool result_accept(const ledger_t *ledger, via_t via, span_t json, const upload_t *upload, buf_t *error);

#endif
