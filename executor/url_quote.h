/* Percent-encoding of URL parts: illegal characters are encoded, escapes stay (in capitals), escapes of
 * unreserved characters are resolved; a part with a broken escape has all its percent signs encoded. */
#ifndef SLUICE_EXECUTOR_URL_QUOTE_H
#define SLUICE_EXECUTOR_URL_QUOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/task_json.h"

/* Appends a path; `resolve_dots` removes "." and ".." segments as RFC 3986 section 5.2.4 does. */
void url_quote_path(text_t *out, const char *path, size_t size, bool resolve_dots);
void url_quote_query(text_t *out, const char *query, size_t size);
/* Appends a relative reference: only what no URL may hold is encoded. */
void url_quote_reference(text_t *out, const char *reference, size_t size);
/* Decodes escapes, freed by the caller; a text with a broken one stays as it is. NULL when out of memory. */
char *url_unquote(const char *text, size_t size);

#endif
