/* Keys of the encrypted link (CURVE): who may talk to the broker from another machine, and as what. A public
 * key travels as a word "ROLE:NAME:PUBLIC", a secret one lies in a file as "ROLE:NAME:PUBLIC:SECRET", both
 * parts in hex. */
#ifndef SLUICE_COMMON_KEY_H
#define SLUICE_COMMON_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"

#define KEY_BYTES     32
#define KEY_HEX_SIZE  65
#define KEY_NAME_MAX  64
#define KEY_WORD_MAX  256
#define KEY_WHY_MAX   512
#define KEY_OF_BROKER "broker.key" /* in keysDir */

/* What a key is for. Fetcher and uploader share the broker's machine, and need none. */
typedef enum { KEY_BROKER, KEY_EXECUTOR, KEY_TOOL, KEY_ROLES } key_role_t;

typedef struct {
    key_role_t role;
    char name[KEY_NAME_MAX + 1];
    uint8_t public_key[KEY_BYTES];
    uint8_t secret_key[KEY_BYTES]; /* zero in a public word */
} key_pair_t;

/* What a connecting socket needs: the broker's public key, and its own pair. */
typedef struct {
    uint8_t broker[KEY_BYTES];
    key_pair_t own;
} link_key_t;

const char *key_role_name(key_role_t role);
/* ERR_INVALID with `why`: no such role, or one that needs no key. */
int key_role_read(const char *text, key_role_t *role, char why[KEY_WHY_MAX]);
/* Letters, digits, ".", "_" and "-", at most KEY_NAME_MAX of them, no dot in front. */
bool key_name_good(const char *name);

void key_hex(const uint8_t key[KEY_BYTES], char hex[KEY_HEX_SIZE]);
bool key_from_hex(const char *hex, uint8_t key[KEY_BYTES]);
/* Reads a public word, or, with `secret`, one that has the secret too. ERR_INVALID with `why`, which never
 * has any of the text in it. */
int key_read_word(const char *text, bool secret, key_pair_t *key, char why[KEY_WHY_MAX]);
void key_write_word(const key_pair_t *key, bool secret, char word[KEY_WORD_MAX]);
/* A new pair. ERR_UNSUPPORTED when ZeroMQ has no CURVE. */
int key_make(key_role_t role, const char *name, key_pair_t *key);

/* Reads a file of one word; lines that begin with # are passed over. A file with a secret that others can
 * read is refused, but for one of systemd's credentials. ERR_INVALID or ERR_IO with `why`. */
int key_read_file(const char *path, bool secret, key_pair_t *key, char why[KEY_WHY_MAX]);

/* The broker's own key. ERR_NOT_FOUND: there is none. */
int key_load_broker(const config_t *config, key_pair_t *key, char why[KEY_WHY_MAX]);
/* The keys for `config`'s --broker: *found is false when the link is not encrypted. Wipe with key_wipe(). */
int key_load_link(const config_t *config, key_role_t role, link_key_t *key, bool *found,
                  char why[KEY_WHY_MAX]);
void key_wipe(void *key, size_t size);

#endif
