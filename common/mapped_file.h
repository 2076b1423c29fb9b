/* A file of one size that is mapped into memory: what is stored there survives the end of the process,
 * whatever ends it, at the price of a store; it survives the machine's by chance only. */
#ifndef SLUICE_COMMON_MAPPED_FILE_H
#define SLUICE_COMMON_MAPPED_FILE_H

#include <stddef.h>

/* Maps `name` in the folder `dir`, which is there; makes the file if need be (mode 0600, zeros), in its whole
 * size: a disk that is full shows now. NULL with errno. Undone by munmap(memory, bytes). */
void *mapped_file(const char *dir, const char *name, size_t bytes);

#endif
