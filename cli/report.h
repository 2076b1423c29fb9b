/* What `sluice doctor` finds: a list of findings, each with what was seen and, when something is wrong, what
 * to do. Shown as a page or as JSON. */
#ifndef SLUICE_CLI_REPORT_H
#define SLUICE_CLI_REPORT_H

#include <stdbool.h>
#include <stdio.h>

typedef enum {
    FOUND_OK,
    FOUND_SKIPPED, /* could not be looked at; the text says why */
    FOUND_WARNING, /* works, but should not stay so */
    FOUND_FAILURE  /* does not work */
} severity_t;

typedef struct report_t report_t;

/* NULL when out of memory. */
report_t *report_new(void);
/* Accepts NULL; nulls the pointer. */
void report_destroy(report_t **self);

/* Adds a finding. `check` names what was looked at (a constant), `advice` what to do ("" for nothing; a
 * constant), the rest what was found, in words. */
void report_add(report_t *self, severity_t severity, const char *check, const char *advice, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));

/* The worst severity so far. */
severity_t report_worst(const report_t *self);

/* Ends with a line of sums. `colour`: for a terminal; `width` in columns. */
void report_print(const report_t *self, FILE *out, bool colour, unsigned width);
/* {"worst": "...", "findings": [{"check", "severity", "text", "advice"}]}, one line. False when out of
 * memory. */
bool report_print_json(const report_t *self, FILE *out);

#endif
