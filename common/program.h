/* What every program does alike at its start and end. */
#ifndef SLUICE_COMMON_PROGRAM_H
#define SLUICE_COMMON_PROGRAM_H

#include <stdbool.h>

#include "common/config.h"
#include "common/metrics.h"

/* Exit statuses: a clean end; a failure after which starting again may help; something in the options, files
 * or places that has to be put right before starting again helps. */
#define EXIT_CLEAN  0
#define EXIT_FAILED 1
#define EXIT_CONFIG 2

/* Sets up logging from the configuration, the umask (077), and signals: SIGPIPE is ignored, ZeroMQ's and
 * CZMQ's own handling is off, SIGTERM, SIGINT and SIGHUP come through the returned descriptor only. -1 with
 * errno on failure. Call before any thread or socket is made. */
int program_start(const char *name, const config_t *config);
/* Logs that the program started, with the broker it will look for and a warning when it will not verify TLS
 * certificates. `name` is the program's own in status. */
void program_started(const config_t *config, const char *name);
/* Opens the log file LOGDIR/NAME[-NUMBER]INDEX.log, once the process has its place: `number` is that among
 * several of its kind on one machine, 0 or 1 for none. Lines go to stderr as well when the configuration says
 * so or a service manager is there, and to stderr alone, after a warning, when the file cannot be opened. */
#define LOGS_KEPT 7
void program_log(const char *name, unsigned number, const config_t *config);
/* The metrics file, NULL when none is wanted, or, after a warning, when it cannot be had. */
metrics_t *program_metrics(const config_t *config);
/* The process holds a secret: no core dump, no look from other processes of the user. */
void program_hide(void);
/* Reads a signal from the descriptor: its number, 0 when there is none. */
int program_signal(int fd);

/* SIGHUP: reads the configuration anew, has `apply` change what can change while the program runs (0, or an
 * error with *why and nothing changed), and logs what was changed and what needs a restart. */
typedef int (*program_apply_fn)(void *ctx, const config_t *fresh, const char **why);
void program_reload(config_t *config, program_apply_fn apply, void *ctx);

/* Tells the service manager, when there is one (sd_notify(3)), and, once it can work, the parent that has
 * named a descriptor in the variable PROGRAM_READY_FD. `state` is shown by systemctl status. A worker can
 * work when it has a session with the broker. */
#define PROGRAM_READY_FD "SLUICE_READY_FD"
void program_ready(const char *state);
void program_waits(const char *state);
/* It ends, in at most `drain_ms` and the time to say so: the manager waits that long. */
void program_stopping(int drain_ms);
/* Feeds the watchdog, at most as often as it asks for; call it once a loop turn. `now_ms` is boot time. */
void program_alive(long long now_ms);
/* How long a turn may wait for events (-1: for ever) so that the watchdog is fed in time. */
long program_wait_ms(long timeout_ms);

/* One line on stderr: "NAME: TEXT". */
void program_complain(const char *name, const char *text);
/* The last call of main(): complains of `why`, unless that is "". What somebody has to put right first
 * (EXIT_CONFIG) a service manager shows as its state for PROGRAM_REST_S, rather than start the program again
 * at once for ever. Returns the status to end with. */
#define PROGRAM_REST_S 10
int program_end(const char *name, int status, const char *why);

#endif
