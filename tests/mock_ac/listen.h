/* Opens a listening socket. */
#ifndef MOCK_AC_LISTEN_H
#define MOCK_AC_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

/*
 * A socket listening on the host's first address; port 0 takes any free one. Its URL is appended
 * to `url`. -1 with the reason appended to `error` when that fails. The caller closes it.
 */
int listen_on(const char *host, int64_t port, bool tls, buf_t *url, buf_t *error);

#endif
