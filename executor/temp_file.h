/* A temporary file without a name: it is gone with its descriptor, however the process ends. */
#ifndef SLUICE_EXECUTOR_TEMP_FILE_H
#define SLUICE_EXECUTOR_TEMP_FILE_H

/* In $TMPDIR, /var/tmp, the state directory or /tmp, whichever is the first that can have it. The descriptor,
 * or ERR_IO with errno (of the first). */
int temp_file_open(const char *state_dir);

#endif
