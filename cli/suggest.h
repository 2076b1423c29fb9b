/* Rules for what executors have used in learn mode. */
#ifndef SLUICE_CLI_SUGGEST_H
#define SLUICE_CLI_SUGGEST_H

#include "common/config.h"

/* Reads the files (none: policy-seen of the state directory) and prints a rule for each scheme, host and
 * port. An exit status. */
int suggest(const config_t *config, char **files, int count);

#endif
