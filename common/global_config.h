/* A task's globalConfig (AC contract section 6): the fetcher passes on what is known of it, the broker reads
 * and applies it and tells the workers. Pure. */
#ifndef SLUICE_COMMON_GLOBAL_CONFIG_H
#define SLUICE_COMMON_GLOBAL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/task_json.h"

#define GLOBAL_CONFIG_POOL_MAX 1000
#define GLOBAL_CONFIG_RATE_MAX 100000000
#define GLOBAL_CONFIG_TEXT_MAX 400 /* of what global_config_write() gives, with its terminator */

/* What is not set changes nothing. */
typedef struct {
    int8_t debug, upload_to_ac; /* -1: not set */
    bool verify;                /* true: turn it on; nothing turns it off */
    uint16_t pool_size;         /* 0: not set */
    uint32_t rate_per_min;      /* 0: not set */
} global_config_t;

#define GLOBAL_CONFIG_NONE ((global_config_t){.debug = -1, .upload_to_ac = -1})

/* Reads the JSON object. Members of a wrong type or out of range are left out and named in `ignored` (names
 * only,
 * "" for none), with what would be right; unknown ones are left out. ERR_MALFORMED: no JSON object, `ignored`
 * says why; ERR_NOMEM. */
int global_config_read(const char *json, size_t size, global_config_t *config, char ignored[256]);

/* Writes the known members of an object that json_walk() has accepted anew, whatever its size: of several
 * with one name the last, and null for a value that is too long to be a right one. Returns the length, 0 when
 * there is no known member. */
size_t global_config_write(span_t object, char text[GLOBAL_CONFIG_TEXT_MAX]);

/* Puts what `more` sets over `config`; true when that changed it. */
bool global_config_merge(global_config_t *config, const global_config_t *more);

#endif
