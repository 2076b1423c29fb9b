/* A hash table from task numbers to things: CZMQ's zhashx_t with keys that live in the things themselves. */
#ifndef SLUICE_BROKER_NUMBER_MAP_H
#define SLUICE_BROKER_NUMBER_MAP_H

#include <czmq.h>

/* Keys are `const uint64_t *`, borrowed as long as they are in the table. NULL when out of memory. */
zhashx_t *number_map_new(void);

#endif
