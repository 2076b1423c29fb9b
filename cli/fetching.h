/* What keeps tasks from coming though the broker would have them fetched; for all commands that say whether
 * fetching is on. */
#ifndef SLUICE_CLI_FETCHING_H
#define SLUICE_CLI_FETCHING_H

#include <yajl/yajl_tree.h>

/* "no fetcher is connected" and the like, by the broker's status; NULL when a fetcher is at it. A constant.
 */
const char *fetching_but(yajl_val status);

#endif
