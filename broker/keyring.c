#include "broker/keyring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/err.h"

struct keyring_t {
    char *dir;
    int watch;
    key_list_t list;
};

static int watch(const keyring_t *self) {
    return inotify_add_watch(self->watch, self->dir,
                             IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MOVE_SELF |
                                 IN_DELETE_SELF | IN_ONLYDIR);
}

int keyring_open(const char *dir, keyring_t **out, char why[KEY_WHY_MAX]) {
    keyring_t *self = calloc(1, sizeof *self);
    (void)snprintf(why, KEY_WHY_MAX, "out of memory");
    if (!self) return ERR_NOMEM;
    self->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    self->dir = strdup(dir);
    int err = self->dir ? 0 : ERR_NOMEM;
    if (!err && (self->watch < 0 || watch(self) < 0)) {
        (void)snprintf(why, KEY_WHY_MAX, "cannot watch the directory of keys %.300s: %s", dir,
                       strerror(errno));
        err = ERR_IO;
    }
    if (!err) err = key_list_read(dir, &self->list, why); /* watched already: no change is missed */
    if (err)
        keyring_close(&self);
    else
        *out = self;
    return err;
}

void keyring_close(keyring_t **self) {
    if (!*self) return;
    if ((*self)->watch >= 0) (void)close((*self)->watch);
    key_list_clear(&(*self)->list);
    free((*self)->dir);
    free(*self);
    *self = NULL;
}

const listed_key_t *keyring_find(const keyring_t *self, const uint8_t public_key[KEY_BYTES]) {
    return key_list_find(&self->list, public_key);
}

const listed_key_t *keyring_find_hex(const keyring_t *self, const char *hex) {
    uint8_t key[KEY_BYTES];
    return key_from_hex(hex, key) ? key_list_find(&self->list, key) : NULL;
}

const listed_key_t *keyring_find_id(const keyring_t *self, uint64_t id) {
    for (size_t i = 0; i < self->list.count; i++)
        if (self->list.items[i].id == id) return &self->list.items[i];
    return NULL;
}

size_t keyring_count(const keyring_t *self) {
    return self->list.count;
}

int keyring_fd(const keyring_t *self) {
    return self->watch;
}

int keyring_reload(keyring_t *self, void *ctx, void (*revoked)(void *ctx, const listed_key_t *key),
                   char why[KEY_WHY_MAX]) {
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    while (read(self->watch, events, sizeof events) > 0)
        ;
    (void)watch(self); /* another directory may be there by now */
    key_list_t list;
    int err = key_list_read(self->dir, &list, why);
    if (err) return err;
    key_list_t former = self->list;
    self->list = list;
    for (size_t i = 0; i < former.count; i++) {
        const listed_key_t *now = key_list_find(&self->list, former.items[i].key.public_key);
        if (!now || now->key.role != former.items[i].key.role) revoked(ctx, &former.items[i]);
    }
    key_list_clear(&former);
    return 0;
}
