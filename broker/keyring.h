/* The keys that may connect from other machines: the file `allowed` in keysDir, a word a line (common/key.h),
 * read again when it changes. One thread. */
#ifndef SLUICE_BROKER_KEYRING_H
#define SLUICE_BROKER_KEYRING_H

#include <stddef.h>
#include <stdint.h>

#include "common/key.h"
#include "common/key_list.h"

typedef struct keyring_t keyring_t;

/* `dir` is copied. ERR_INVALID (a line that is no key), ERR_IO, ERR_NOMEM with `why`. */
int keyring_open(const char *dir, keyring_t **self, char why[KEY_WHY_MAX]);
void keyring_close(keyring_t **self);

/* The key, NULL when it is not allowed. */
const listed_key_t *keyring_find(const keyring_t *self, const uint8_t public_key[KEY_BYTES]);
/* The same by the hex text that ZeroMQ gives with each message. */
const listed_key_t *keyring_find_hex(const keyring_t *self, const char *hex);
const listed_key_t *keyring_find_id(const keyring_t *self, uint64_t id);
size_t keyring_count(const keyring_t *self);

/* Readable when the file may have changed. */
int keyring_fd(const keyring_t *self);
/* Reads it again. Tells of every key that is not allowed any more, or is for another role. ERR_INVALID or
 * ERR_IO with `why`: nothing has changed then. */
int keyring_reload(keyring_t *self, void *ctx, void (*revoked)(void *ctx, const listed_key_t *key),
                   char why[KEY_WHY_MAX]);

#endif
