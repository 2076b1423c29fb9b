/*
 * The accounts: counters every part of the mock adds to, and the first texts of what went
 * wrong. Knows nothing of tasks or sockets.
 */
#ifndef MOCK_AC_BOOKS_H
#define MOCK_AC_BOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "text.h"

/* Every counter, in the order of the report. X(constant, name in JSON) */
#define BOOKS_COUNTERS(X)                                                                                    \
    X(BOOK_TASKS_TOTAL, "tasks_total")                                                                       \
    X(BOOK_WAITING, "waiting")                                                                               \
    X(BOOK_HANDED, "handed")                                                                                 \
    X(BOOK_HANDINGS, "handings")                                                                             \
    X(BOOK_DELIVERED, "delivered")                                                                           \
    X(BOOK_OUTSTANDING, "outstanding")                                                                       \
    X(BOOK_LOST, "lost")                                                                                     \
    X(BOOK_HANDED_TO_DEAD, "handed_to_dead")                                                                 \
    X(BOOK_CLOSED_AFTER_HANDING, "closed_after_handing")                                                     \
    X(BOOK_LOST_AFTER_CLOSE, "lost_after_close")                                                             \
    X(BOOK_RESULTS, "results")                                                                               \
    X(BOOK_DUPLICATES, "duplicates")                                                                         \
    X(BOOK_UNANSWERED, "unanswered")                                                                         \
    X(BOOK_WRONG, "wrong")                                                                                   \
    X(BOOK_ERROR_RESULTS, "error_results")                                                                   \
    X(BOOK_ERROR_NETWORK, "error_network")                                                                   \
    X(BOOK_ERROR_OTHER, "error_other")                                                                       \
    X(BOOK_OUTCOME_UNKNOWN, "outcome_unknown")                                                               \
    X(BOOK_REEXECUTED_SAFE, "reexecuted_safe")                                                               \
    X(BOOK_REEXECUTED_UNSAFE, "reexecuted_unsafe")                                                           \
    X(BOOK_REEXECUTED_FAULTED, "reexecuted_faulted")                                                         \
    X(BOOK_TOOL_REQUESTS, "tool_requests")                                                                   \
    X(BOOK_TOOL_NOT_FOUND, "tool_not_found")                                                                 \
    X(BOOK_TOOL_IN_FLIGHT, "tool_in_flight")                                                                 \
    X(BOOK_TOOL_MAX_IN_FLIGHT, "tool_max_in_flight")                                                         \
    X(BOOK_TOOL_CLIENTS_GONE, "tool_clients_gone")                                                           \
    X(BOOK_TOOL_CONNECTIONS_OPENED, "tool_connections_opened")                                               \
    X(BOOK_TOOL_CONNECTIONS_OPEN, "tool_connections_open")                                                   \
    X(BOOK_AC_REQUESTS, "ac_requests")                                                                       \
    X(BOOK_AC_GET_TASK, "ac_get_task")                                                                       \
    X(BOOK_AC_PUT_RESULT, "ac_put_result")                                                                   \
    X(BOOK_AC_UPLOAD_RESULT, "ac_upload_result")                                                             \
    X(BOOK_AC_UPLOAD_URL, "ac_upload_url")                                                                   \
    X(BOOK_AC_UPLOAD_LOGS, "ac_upload_logs")                                                                 \
    X(BOOK_AC_OTHER, "ac_other")                                                                             \
    X(BOOK_AC_IN_FLIGHT, "ac_in_flight")                                                                     \
    X(BOOK_AC_MAX_IN_FLIGHT, "ac_max_in_flight")                                                             \
    X(BOOK_AC_TOO_MANY, "ac_too_many")                                                                       \
    X(BOOK_AC_RATE_LIMITED, "ac_rate_limited")                                                               \
    X(BOOK_AC_MAX_PER_MINUTE, "ac_max_per_minute")                                                           \
    X(BOOK_AC_UNAUTHORIZED, "ac_unauthorized")                                                               \
    X(BOOK_AC_POLLS_WAITING, "ac_polls_waiting")                                                             \
    X(BOOK_AC_CLIENTS_GONE, "ac_clients_gone")                                                               \
    X(BOOK_AC_GHOSTS, "ac_ghosts")                                                                           \
    X(BOOK_AC_CONNECTIONS_OPENED, "ac_connections_opened")                                                   \
    X(BOOK_AC_CONNECTIONS_OPEN, "ac_connections_open")                                                       \
    X(BOOK_STORE_REQUESTS, "store_requests")                                                                 \
    X(BOOK_PROTOCOL_ERRORS, "protocol_errors")                                                               \
    X(BOOK_FAULTS_INJECTED, "faults_injected")

#define BOOKS_CONSTANT(constant, name) constant,
typedef enum { BOOKS_COUNTERS(BOOKS_CONSTANT) BOOK_COUNT } book_t;
#undef BOOKS_CONSTANT

/* Lists of texts that keep their first entries only. */
typedef enum { NOTE_WRONG, NOTE_PROTOCOL, NOTE_AGENT_IDS, NOTE_COUNT } note_t;

/* Durations that are kept as a distribution. */
typedef enum { TIMING_HAND_TO_TOOL, TIMING_HAND_TO_RESULT, TIMING_TOOL_TO_RESULT, TIMING_COUNT } timing_t;

typedef struct books books_t;

books_t *books_new(void);
void books_destroy(books_t **self);

void books_add(books_t *self, book_t counter, int64_t change);
void books_max(books_t *self, book_t counter, int64_t value);
int64_t books_get(const books_t *self, book_t counter);

const char *book_name(book_t counter);

/* The counter with this name, or BOOK_COUNT. */
book_t book_named(span_t name);

/* Keeps the text while the list is short of 20. */
void books_note(books_t *self, note_t list, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Keeps the text unless the list has it already. */
void books_note_once(books_t *self, note_t list, const char *text);

/* The text at `index`, or NULL behind the last. */
const char *books_noted(const books_t *self, note_t list, size_t index);

/* From the handing of a task to its first call at the tool, or its first result. */
void books_time(books_t *self, timing_t timing, int64_t duration_us);
const histogram_t *books_timing(const books_t *self, timing_t timing);

/* Counts up with every change of any counter. */
uint64_t books_version(const books_t *self);

#endif
