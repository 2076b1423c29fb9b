/* The list of allowed keys: a file of words, one a line; lines that begin with # are comments. */
#ifndef SLUICE_COMMON_KEY_LIST_H
#define SLUICE_COMMON_KEY_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "common/key.h"

#define KEY_LIST_FILE "allowed" /* in keysDir */
#define KEY_LIST_MAX  10000

typedef struct {
    uint64_t id; /* the first octets of the public key: never 0 */
    key_pair_t key;
} listed_key_t;

typedef struct {
    listed_key_t *items;
    size_t count;
} key_list_t;

uint64_t key_id(const uint8_t public_key[KEY_BYTES]);
/* A file that is not there is an empty list. ERR_INVALID with file and line, ERR_IO, ERR_NOMEM. */
int key_list_read(const char *dir, key_list_t *list, char why[KEY_WHY_MAX]);
/* ERR_INVALID with `why`: the name or the key is there already. ERR_TOO_LARGE, ERR_NOMEM. */
int key_list_add(key_list_t *list, const key_pair_t *key, char why[KEY_WHY_MAX]);
/* By name, or by the hex of the public key. ERR_NOT_FOUND. */
int key_list_remove(key_list_t *list, const char *name, key_pair_t *removed);
/* Replaces the file in one step. ERR_IO with `why`. */
int key_list_write(const char *dir, const key_list_t *list, char why[KEY_WHY_MAX]);
const listed_key_t *key_list_find(const key_list_t *list, const uint8_t public_key[KEY_BYTES]);
void key_list_clear(key_list_t *list);

/* Makes a file in `dir` that is for its owner alone, in one step, and gives it to the owner of `dir`, so that
 * root can make keys for a service. `replace`: one that is there is replaced, else it is refused. ERR_IO or
 * ERR_BUSY (it is there) with `why`. */
int key_file_write(const char *dir, const char *name, const char *text, bool replace, char why[KEY_WHY_MAX]);
/* Makes the directory of keys if need be: for its owner alone, who is that of the directory above. */
int key_dir_make(const char *dir, char why[KEY_WHY_MAX]);

#endif
