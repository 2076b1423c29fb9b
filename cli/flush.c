#include "cli/flush.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/program.h"

bool tool_flush(void) {
    char why[128];
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return true;
    if (errno == EPIPE) {
        (void)signal(SIGPIPE, SIG_DFL);
        (void)raise(SIGPIPE);
        return false; /* where that signal is blocked */
    }
    (void)snprintf(why, sizeof why, "cannot write: %s", strerror(errno));
    program_complain("sluice", why);
    return false;
}
