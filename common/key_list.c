#include "common/key_list.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"

static int fail(char *why, const char *what, const char *path) {
    (void)snprintf(why, KEY_WHY_MAX, "cannot %s %.300s: %s", what, path, strerror(errno));
    return ERR_IO;
}

uint64_t key_id(const uint8_t public_key[KEY_BYTES]) {
    uint64_t id = 0;
    for (int i = 0; i < 8; i++)
        id = id << 8 | public_key[i];
    return id ? id : 1;
}

const listed_key_t *key_list_find(const key_list_t *list, const uint8_t public_key[KEY_BYTES]) {
    for (size_t i = 0; i < list->count; i++)
        if (memcmp(list->items[i].key.public_key, public_key, KEY_BYTES) == 0) return &list->items[i];
    return NULL;
}

int key_list_add(key_list_t *list, const key_pair_t *key, char why[KEY_WHY_MAX]) {
    const listed_key_t *same = key_list_find(list, key->public_key);
    for (size_t i = 0; !same && i < list->count; i++)
        if (strcmp(list->items[i].key.name, key->name) == 0) same = &list->items[i];
    if (same) {
        (void)snprintf(why, KEY_WHY_MAX, "a key of this name, or this key, is allowed already: %s %s",
                       key_role_name(same->key.role), same->key.name);
        return ERR_INVALID;
    }
    if (list->count >= KEY_LIST_MAX) {
        (void)snprintf(why, KEY_WHY_MAX, "there are %d keys already", KEY_LIST_MAX);
        return ERR_TOO_LARGE;
    }
    listed_key_t *grown = realloc(list->items, (list->count + 1) * sizeof *grown);
    if (!grown) {
        (void)snprintf(why, KEY_WHY_MAX, "out of memory");
        return ERR_NOMEM;
    }
    list->items = grown;
    grown[list->count++] = (listed_key_t){key_id(key->public_key), *key};
    return 0;
}

int key_list_remove(key_list_t *list, const char *name, key_pair_t *removed) {
    for (size_t i = 0; i < list->count; i++) {
        char hex[KEY_HEX_SIZE];
        key_hex(list->items[i].key.public_key, hex);
        if (strcmp(list->items[i].key.name, name) != 0 && strcmp(hex, name) != 0) continue;
        *removed = list->items[i].key;
        memmove(&list->items[i], &list->items[i + 1], (--list->count - i) * sizeof *list->items);
        return 0;
    }
    return ERR_NOT_FOUND;
}

void key_list_clear(key_list_t *list) {
    free(list->items);
    *list = (key_list_t){NULL, 0};
}

static int read_lines(FILE *file, const char *path, key_list_t *list, char *why) {
    char *line = NULL, reason[KEY_WHY_MAX];
    size_t size = 0;
    int err = 0;
    for (unsigned number = 1; !err && getline(&line, &size, file) >= 0; number++) {
        char *word = line + strspn(line, " \t");
        key_pair_t key;
        word[strcspn(word, " \t\r\n")] = '\0';
        if (*word == '\0' || *word == '#') continue;
        err = key_read_word(word, false, &key, reason);
        if (!err && key.role == KEY_BROKER) {
            (void)snprintf(reason, sizeof reason, "a broker's key is not one that connects");
            err = ERR_INVALID;
        }
        if (!err) err = key_list_add(list, &key, reason);
        if (err) (void)snprintf(why, KEY_WHY_MAX, "%.200s, line %u: %.280s", path, number, reason);
    }
    free(line);
    return err;
}

/* Whoever can write the list lets in whom he likes. */
static int check_file(int fd, const char *path, char *why) {
    struct stat st;
    if (fstat(fd, &st) != 0) return fail(why, "look at", path);
    if (S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH) == 0) return 0;
    if (S_ISREG(st.st_mode))
        (void)snprintf(why, KEY_WHY_MAX, "%.300s can be written by everybody (mode %04o); chmod 0600", path,
                       (unsigned)st.st_mode & 07777);
    else
        (void)snprintf(why, KEY_WHY_MAX, "%.300s is no file", path);
    return ERR_INVALID;
}

int key_list_read(const char *dir, key_list_t *list, char why[KEY_WHY_MAX]) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", dir, KEY_LIST_FILE);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* never waits for a pipe */
    *list = (key_list_t){NULL, 0};
    if (fd < 0) return errno == ENOENT ? 0 : fail(why, "read the allowed keys in", path);
    int err = check_file(fd, path, why);
    FILE *file = err ? NULL : fdopen(fd, "r");
    if (!file) {
        if (!err) err = fail(why, "read the allowed keys in", path);
        (void)close(fd);
        return err;
    }
    err = read_lines(file, path, list, why);
    if (!err && ferror(file)) err = fail(why, "read the allowed keys in", path);
    (void)fclose(file);
    if (err) key_list_clear(list);
    return err;
}

int key_list_write(const char *dir, const key_list_t *list, char why[KEY_WHY_MAX]) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out)
        (void)fputs("# Keys that may connect to this broker: `sluice key allow` and `sluice key revoke`.\n",
                    out);
    for (size_t i = 0; out && i < list->count; i++) {
        char word[KEY_WORD_MAX];
        key_write_word(&list->items[i].key, false, word);
        (void)fprintf(out, "%s\n", word);
    }
    if (!out || fclose(out) != 0) {
        free(text);
        (void)snprintf(why, KEY_WHY_MAX, "out of memory");
        return ERR_NOMEM;
    }
    int err = key_file_write(dir, KEY_LIST_FILE, text, true, why);
    free(text);
    return err;
}

/* --- files --- */

int key_dir_make(const char *dir, char why[KEY_WHY_MAX]) {
    char above[PATH_MAX];
    struct stat st;
    (void)snprintf(above, sizeof above, "%s", dir);
    const char *parent = dirname(above);
    if (stat(dir, &st) == 0) return S_ISDIR(st.st_mode) ? 0 : (errno = ENOTDIR, fail(why, "use", dir));
    if (stat(parent, &st) != 0) {
        char again[PATH_MAX];
        (void)snprintf(again, sizeof again, "%s", parent);
        if (errno != ENOENT || key_dir_make(again, why) != 0 || stat(again, &st) != 0)
            return fail(why, "make the directory", dir);
    }
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) return fail(why, "make the directory", dir);
    if (geteuid() == 0 && st.st_uid != 0 && lchown(dir, st.st_uid, st.st_gid) != 0)
        return fail(why, "give away the directory", dir);
    return 0;
}

static int write_all(int fd, const char *text, const char *dir) {
    struct stat st;
    size_t len = strlen(text);
    if (write(fd, text, len) != (ssize_t)len || fsync(fd) != 0) return -1;
    if (geteuid() != 0) return 0;
    return stat(dir, &st) == 0 && (st.st_uid == 0 || fchown(fd, st.st_uid, st.st_gid) == 0) ? 0 : -1;
}

int key_file_write(const char *dir, const char *name, const char *text, bool replace, char why[KEY_WHY_MAX]) {
    char path[PATH_MAX], temporary[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int len = snprintf(temporary, sizeof temporary, "%s/.%s.XXXXXX", dir, name), err = 0;
    errno = ENAMETOOLONG;
    int fd =
        len > 0 && (size_t)len < sizeof temporary ? mkostemp(temporary, O_CLOEXEC) : -1; /* with mode 0600 */
    if (fd < 0) return fail(why, "make a file beside", path);
    if (write_all(fd, text, dir) != 0) {
        err = fail(why, "write", temporary);
    } else if (replace ? rename(temporary, path) != 0 : link(temporary, path) != 0) {
        err = fail(why, "make", path);
        if (errno == EEXIST) err = ERR_BUSY;
    }
    (void)close(fd);
    if (err || !replace) (void)unlink(temporary);
    return err;
}
