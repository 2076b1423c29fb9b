/* The API key: where it comes from, and what it may be. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config_table.h"
#include "common/err.h"

#define KEY_MAX 8192

static int fail(char *why, const char *text) {
    (void)snprintf(why, CONFIG_WHY_MAX, "%s", text);
    return ERR_INVALID;
}

/* What a header may carry, and a NUL ends no text unseen. */
static bool plain(const char *key, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (key[i] < ' ' || key[i] >= 0x7f) return false;
    return true;
}

/* ERR_NOT_FOUND: there is nothing in it. */
static int key_from_file(config_t *config, const char *path, char *why) {
    char key[KEY_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, key, sizeof key);
    int error = errno, err = ERR_INVALID;
    if (fd >= 0) (void)close(fd);
    size_t blanks = 0;
    while (n > 0 && strchr(" \t\r\n", key[n - 1]))
        n--;
    while ((ssize_t)blanks < n && strchr(" \t", key[blanks]))
        blanks++;
    if (blanks > 0) memmove(key, key + blanks, (size_t)(n -= (ssize_t)blanks));
    if (n < 0)
        (void)snprintf(why, CONFIG_WHY_MAX, "cannot read the API key file %.200s: %s", path, strerror(error));
    else if (n > KEY_MAX)
        (void)snprintf(why, CONFIG_WHY_MAX, "the API key file %.200s is longer than %d bytes", path, KEY_MAX);
    else if (!plain(key, (size_t)n))
        (void)snprintf(
            why, CONFIG_WHY_MAX,
            "the API key file %.200s holds a character that no header may carry; it must hold the key on "
            "one line of ASCII",
            path);
    else
        err = n == 0 ? ERR_NOT_FOUND : 0;
    if (err == ERR_NOT_FOUND)
        (void)snprintf(why, CONFIG_WHY_MAX,
                       "the API key file %.200s is empty; it must hold the key on one line", path);
    if (!err) {
        key[n] = '\0';
        char *copy = strdup(key);
        err = copy ? 0 : ERR_NOMEM;
        free(config->api_key);
        config->api_key = copy;
    }
    explicit_bzero(key, sizeof key);
    return err;
}

/* What systemd loads is an empty line where there is no file with a key. */
static int key_from_credential(config_t *config, const char *dir, char *why) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/api_key", dir);
    int err = key_from_file(config, path, why);
    if (!err) *config_origin(config, "apiKey") = (config_origin_t){ORIGIN_CREDENTIAL, 0};
    if (err != ERR_NOT_FOUND) return err;
    return fail(why, "no API key: the credential api_key is empty; put the key into " CONFIG_SYSTEM_DIR
                     "/api_key, on one line, with mode 0600");
}

int config_read_key(config_t *config, unsigned program, char why[CONFIG_WHY_MAX]) {
    bool needed = program & (PROGRAM_RUN | PROGRAM_FETCHER | PROGRAM_UPLOADER);
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    int err = 0;
    if (!needed && program != PROGRAM_DOCTOR) { /* who needs no key neither reads nor keeps one */
        explicit_bzero(config->api_key, strlen(config->api_key));
        return 0;
    }
    if (config->api_key_file[0] != '\0') {
        err = key_from_file(config, config->api_key_file, why);
        if (!err) *config_origin(config, "apiKey") = *config_origin(config, "apiKeyFile");
        if (err == ERR_NOT_FOUND || err == ERR_INVALID) config_blame(config, "apiKeyFile", why);
    } else if (config->api_key[0] == '\0' && dir) {
        err = key_from_credential(config, dir, why);
    }
    if (err) return err == ERR_NOT_FOUND ? ERR_INVALID : err;
    if (config->api_key[0] == '\0' && !needed) return 0;
    if (config->api_key[0] == '\0')
        return fail(why, "no API key: give --apiKeyFile FILE, set $api_key, or load the credential api_key");
    if (plain(config->api_key, strlen(config->api_key))) return 0;
    (void)fail(why, "the API key has a character that no header may carry; it must be one line of ASCII");
    config_blame(config, "apiKey", why);
    return ERR_INVALID;
}
