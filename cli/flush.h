/* The end of what a command shows. */
#ifndef SLUICE_CLI_FLUSH_H
#define SLUICE_CLI_FLUSH_H

#include <stdbool.h>

/* Whether the text is written out; complains when not. When nobody reads it any more (`sluice dead | head`)
 * the process ends by SIGPIPE without a word, as other tools do. */
bool tool_flush(void);

#endif
