/* The broker's status as a page for people. */
#ifndef SLUICE_CLI_STATUS_RENDER_H
#define SLUICE_CLI_STATUS_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes the page; a NUL follows the `size` octets. Members that are absent or of another kind are left out.
 * ERR_MALFORMED when it is no JSON object (or nests too deep), with nothing written. */
int status_render(const char *json, size_t size, unsigned width, bool colour, FILE *out);

#endif
