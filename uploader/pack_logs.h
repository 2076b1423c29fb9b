/* Packs the log folder into a zip for the logs task, a slice of work at a time, so that the loop goes on
 * between. What it packs are the files of sluice's own programs and their metrics, also in its
 * subfolder `executors`: a folder that is shared
 * with others gives nothing of theirs away. */
#ifndef SLUICE_UPLOADER_PACK_LOGS_H
#define SLUICE_UPLOADER_PACK_LOGS_H

#include <stdint.h>

typedef struct pack_logs_t pack_logs_t;

#define PACK_SLICE_BYTES ((size_t)256 * 1024) /* of logs, read and compressed in one turn: some 5 ms */
#define PACK_WHY_MAX     200

/* Looks up what there is to pack; the zip is made in the same folder, as a file without a name. NULL with
 * `why`. */
pack_logs_t *pack_logs_new(const char *log_dir, char why[PACK_WHY_MAX]);
/* Accepts NULL; nulls the pointer. */
void pack_logs_destroy(pack_logs_t **self);

/* Packs on. 1: there is more to do; 0: the zip is complete; ERR_NOMEM or ERR_IO with `why`: it will not be. A
 * file that grows meanwhile is packed as long as it was; one that has gone is left out. */
int pack_logs_turn(pack_logs_t *self, char why[PACK_WHY_MAX]);
/* Hands over the complete zip: a descriptor, the caller's to close, and how many octets it has. */
int pack_logs_take(pack_logs_t *self, int64_t *bytes);

#endif
