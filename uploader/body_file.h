/* Bodies in the broker's spool, and what of them is said to AC and to the store. */
#ifndef SLUICE_UPLOADER_BODY_FILE_H
#define SLUICE_UPLOADER_BODY_FILE_H

#include <stdint.h>

#include "uploader/from_broker.h"

#define BODY_NAME_SIZE 1100

/* Opens RUNTIME/spool/NUMBER.body for reading: the descriptor with its size, ERR_NOT_FOUND when the spool has
 * no such file, or ERR_IO with errno: a spool that is not there tells nothing of what is in it. */
int body_file_open(const char *runtime_dir, uint64_t number, int64_t *bytes);
/* The outcome for a result whose body could not be opened (`err`, errno): one that is gone is refused, any
 * other is tried again. */
void body_file_unreadable(from_broker_t *results, result_t *result, int err, int64_t now_ms);
/* A name that no other upload has: the task's id, 32 random hex digits with `between` before them, and `end`.
 */
void body_file_name(const char *task_id, const char *between, const char *end, char name[BODY_NAME_SIZE]);

/* The pair of URLs in an answer of upload-url, freed by the caller. ERR_MALFORMED, ERR_NOMEM. */
int presigned_read(const char *answer, size_t size, char **put_url, char **get_url);
/* A header of the tool in a result's JSON, freed by the caller; NULL when it has none (or memory is out). */
char *result_header(const char *result, size_t size, const char *name);

#endif
