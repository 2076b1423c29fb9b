/*
 * The "expect" object of a script line. Its members must be in the result: objects as a subset,
 * strings by their text, everything else as written. These mean more than themselves:
 *   "absent": ["output"]      members the result must not have
 *   "error": true | "network" | "error" | "outcome unknown"   an agent side error, of that class
 *   "outputText": "..."       what the base64 output decodes to
 *   "outputPrefix": "..."     how the plain output begins
 *   "outputContains": "..."   what the plain output contains
 *   "unlessFault": true       none of this holds for an error, or after a fault at the tool
 */
#ifndef MOCK_AC_CHECK_EXPECT_H
#define MOCK_AC_CHECK_EXPECT_H

#include <stdbool.h>

#include "check.h"

void check_expect(span_t expect, const members_t *result, result_class_t class, buf_t *reason);

/* True when "unlessFault" applies: what then makes an error right is up to check_outcome. */
bool expect_is_waived(span_t expect, const task_t *task, result_class_t class);

/* What an "expect" object settles, so that the tool's plan does not have to. */
bool expect_covers_status(span_t expect);
bool expect_covers_body(span_t expect);
bool expect_covers_headers(span_t expect);

#endif
