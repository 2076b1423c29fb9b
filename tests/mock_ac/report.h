/* The books, and what is known of one task, as JSON. */
#ifndef MOCK_AC_REPORT_H
#define MOCK_AC_REPORT_H

#include "books.h"
#include "faults.h"
#include "tasks.h"
#include "text.h"

/* Appends one JSON object on one line, without the newline. */
void report_books(const books_t *books, const faults_t *faults, buf_t *out);
void report_task(tasks_t *tasks, task_t *task, buf_t *out);
void report_outstanding(tasks_t *tasks, buf_t *out);

#endif
