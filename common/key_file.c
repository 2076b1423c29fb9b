/* Keys in files, and which of them the configuration names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/key.h"

#define FILE_MAX   4096
#define CREDENTIAL "executor_key" /* of systemd */

static bool is_credential(const char *path) {
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    size_t len = dir ? strlen(dir) : 0;
    return len > 0 && strncmp(path, dir, len) == 0 && path[len] == '/';
}

/* A secret for this user alone. One that root has given to our group (a mounted secret) is as good. */
static int check_owner(int fd, const char *path, char *why) {
    struct stat st;
    if (is_credential(path)) return 0;
    if (fstat(fd, &st) != 0) {
        (void)snprintf(why, KEY_WHY_MAX, "cannot look at the key file %.300s: %s", path, strerror(errno));
        return ERR_IO;
    }
    mode_t forbidden = st.st_uid == 0 && geteuid() != 0 ? S_IRWXO | S_IWGRP : S_IRWXO | S_IRWXG;
    if (st.st_mode & forbidden)
        (void)snprintf(
            why, KEY_WHY_MAX,
            "the key file %.300s is open to others (mode %04o); it must be for its owner alone: chmod 0600",
            path, (unsigned)st.st_mode & 07777);
    else if (st.st_uid != geteuid() && st.st_uid != 0 && geteuid() != 0)
        (void)snprintf(why, KEY_WHY_MAX, "the key file %.300s belongs to another user (uid %u)", path,
                       (unsigned)st.st_uid);
    else
        return 0;
    return ERR_INVALID;
}

/* The first line that is no comment, cut at its end. */
static char *word_of(char *text) {
    for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        line += strspn(line, " \t\r\n");
        if (*line == '#' || *line == '\0') continue;
        line[strcspn(line, " \t\r\n")] = '\0';
        return line;
    }
    return NULL;
}

int key_read_file(const char *path, bool secret, key_pair_t *key, char why[KEY_WHY_MAX]) {
    char text[FILE_MAX + 1], reason[KEY_WHY_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, text, FILE_MAX);
    int error = errno, err = n < 0 ? (error == ENOENT ? ERR_NOT_FOUND : ERR_IO) : 0;
    if (err) (void)snprintf(why, KEY_WHY_MAX, "cannot read the key file %.300s: %s", path, strerror(error));
    if (!err && secret) err = check_owner(fd, path, why);
    if (fd >= 0) (void)close(fd);
    if (!err) {
        text[n] = '\0';
        const char *word = word_of(text);
        err = word ? key_read_word(word, secret, key, reason) : ERR_INVALID;
        if (err)
            (void)snprintf(why, KEY_WHY_MAX, "the key file %.150s: %.300s", path,
                           word ? reason : "there is no key in it");
    }
    key_wipe(text, sizeof text);
    return err;
}

int key_load_broker(const config_t *config, key_pair_t *key, char why[KEY_WHY_MAX]) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", config->keys_dir, KEY_OF_BROKER);
    int err = key_read_file(path, true, key, why);
    if (!err && key->role != KEY_BROKER) {
        (void)snprintf(why, KEY_WHY_MAX, "the key file %.300s holds no broker's key but one for role %s",
                       path, key_role_name(key->role));
        key_wipe(key, sizeof *key);
        err = ERR_INVALID;
    }
    return err;
}

/* --brokerKey is the word itself, or a file that has it. */
static int read_broker_word(const char *text, uint8_t broker[KEY_BYTES], char *why) {
    key_pair_t key;
    char reason[KEY_WHY_MAX];
    int err = text[0] == '/' || text[0] == '.' ? key_read_file(text, false, &key, reason)
                                               : key_read_word(text, false, &key, reason);
    if (!err && key.role != KEY_BROKER) {
        (void)snprintf(reason, sizeof reason, "it is the key of %s %.64s, not a broker's",
                       key_role_name(key.role), key.name);
        err = ERR_INVALID;
    }
    if (err)
        (void)snprintf(why, KEY_WHY_MAX, "brokerKey: %.400s", reason);
    else
        memcpy(broker, key.public_key, KEY_BYTES);
    return err;
}

/* What systemd loads is an empty line where there is no file with a key. */
static bool is_blank(const char *path) {
    char text[FILE_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    bool blank = text[strspn(text, " \t\r\n")] == '\0';
    key_wipe(text, sizeof text);
    return n >= 0 && blank;
}

/* --key names a file, or a key in keysDir; without it there may be a credential. */
static void own_path(const config_t *config, key_role_t role, char *path, size_t size) {
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    path[0] = '\0';
    if (strchr(config->key, '/'))
        (void)snprintf(path, size, "%s", config->key);
    else if (config->key[0])
        (void)snprintf(path, size, "%s/%s.key", config->keys_dir, config->key);
    else if (dir && role == KEY_EXECUTOR)
        (void)snprintf(path, size, "%s/%s", dir, CREDENTIAL);
    if (!config->key[0] && is_blank(path)) path[0] = '\0';
}

int key_load_link(const config_t *config, key_role_t role, link_key_t *key, bool *found,
                  char why[KEY_WHY_MAX]) {
    char path[PATH_MAX];
    *found = false;
    if (config->broker_key[0] == '\0' || config->broker[0] == '\0') return 0;
    int err = read_broker_word(config->broker_key, key->broker, why);
    own_path(config, role, path, sizeof path);
    if (!err && path[0] == '\0') {
        (void)snprintf(
            why, KEY_WHY_MAX,
            "brokerKey is given, but no key of this program: make one with `sluice key new NAME --role %s` "
            "and name it with --key NAME%s",
            key_role_name(role),
            role == KEY_EXECUTOR ? ", or for the service put it into " CONFIG_SYSTEM_DIR "/executor_key"
                                 : "");
        err = ERR_INVALID;
    }
    if (!err) err = key_read_file(path, true, &key->own, why);
    if (!err && key->own.role != role) {
        (void)snprintf(why, KEY_WHY_MAX, "the key in %.300s is for role %s, but this program is for role %s",
                       path, key_role_name(key->own.role), key_role_name(role));
        err = ERR_INVALID;
    }
    if (err) key_wipe(key, sizeof *key);
    *found = !err;
    return err;
}
