/* The subcommands of `sluice`. Each gets its own words from argv[0] = "sluice COMMAND" on, and returns the
 * exit status (common/program.h). */
#ifndef SLUICE_CLI_COMMANDS_H
#define SLUICE_CLI_COMMANDS_H

int command_run(int argc, char **argv);
int command_status(int argc, char **argv);
/* `sluice drain` and `sluice resume`: stop and resume fetching by hand. */
int command_drain(int argc, char **argv);
int command_resume(int argc, char **argv);
int command_key(int argc, char **argv);
int command_policy(int argc, char **argv);
/* `sluice config check|show`. */
int command_config(int argc, char **argv);
/* `sluice task ID`: what has happened to a task, and where it is. */
int command_task(int argc, char **argv);
/* `sluice dead`: the buried results, and what is to become of them. */
int command_dead(int argc, char **argv);
/* `sluice doctor`; its exit status is 0, 1 or 2 by the worst finding. */
int command_doctor(int argc, char **argv);

#endif
