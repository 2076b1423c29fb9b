/* Headers of a rule: their values, or parts of them, lie in files that only this machine has. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/policy_internal.h"
#include "common/task_json.h"

#define SECRET_MAX 8192

static int fail(char *why, const char *text) {
    (void)snprintf(why, POLICY_WHY_MAX, "%s", text);
    return ERR_INVALID;
}

static bool is_token(const char *name) {
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-.^_`|~", *c)) return false;
    return name[0] != '\0';
}

/* What the executor itself says of a request. */
static bool is_ours(const char *name) {
    static const char *const ours[] = {
        "Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade", "TE"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcasecmp(name, ours[i]) == 0) return true;
    return false;
}

static int split_value(policy_header_t *header, const char *value, char *why) {
    const char *open = strchr(value, '{'), *close = open ? strchr(open, '}') : NULL;
    if (!open)
        return fail(why, "header must name a file for its value: header=\"NAME: TEXT {/path/of/file}\"");
    if (!close) return fail(why, "header has a { without its }");
    const char *file = open + 1;
    header->base64 = strncmp(file, "base64:", 7) == 0;
    if (header->base64) file += 7;
    if (file[0] != '/') return fail(why, "the file of a header must be named with its whole path, from / on");
    header->before = strndup(value, (size_t)(open - value));
    header->file = strndup(file, (size_t)(close - file));
    header->after = strdup(close + 1);
    return header->before && header->file && header->after ? 0 : ERR_NOMEM;
}

int policy_header_read(policy_rule_t *rule, const char *text, char why[POLICY_WHY_MAX]) {
    const char *colon = strchr(text, ':');
    policy_header_t *grown = realloc(rule->headers, (rule->header_count + 1) * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    rule->headers = grown;
    policy_header_t *header = &grown[rule->header_count++];
    *header = (policy_header_t){.name = strndup(text, colon ? (size_t)(colon - text) : 0)};
    if (!header->name) return ERR_NOMEM;
    if (!colon || !is_token(header->name)) return fail(why, "header must be \"NAME: TEXT {/path/of/file}\"");
    if (is_ours(header->name)) return fail(why, "header names one that the executor itself decides on");
    int err = split_value(header, colon + 1 + strspn(colon + 1, " \t"), why);
    char *value = NULL;
    if (!err) err = policy_header_value(rule, rule->header_count - 1, &value, why);
    policy_header_free(&value);
    return err == ERR_IO ? ERR_INVALID : err;
}

/* The file's octets, without the line's end. Returns how many. */
static int read_secret(const char *path, char secret[SECRET_MAX + 1], size_t *size, char *why) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 || fstat(fd, &st) != 0 ? -1 : read(fd, secret, SECRET_MAX + 1);
    int error = errno;
    if (fd >= 0) (void)close(fd);
    if (n < 0) {
        (void)snprintf(why, POLICY_WHY_MAX, "cannot read %.200s: %s", path, strerror(error));
        return ERR_IO;
    }
    if (st.st_mode & S_IRWXO) {
        (void)snprintf(why, POLICY_WHY_MAX, "%.200s is open to everybody (mode %04o); chmod 0600", path,
                       (unsigned)st.st_mode & 07777);
        return ERR_INVALID;
    }
    while (n > 0 && strchr("\r\n", secret[n - 1]))
        n--;
    bool plain = n > 0 && n <= SECRET_MAX;
    for (ssize_t i = 0; plain && i < n; i++)
        plain = (unsigned char)secret[i] >= ' ' && secret[i] != 0x7f;
    if (!plain) {
        (void)snprintf(why, POLICY_WHY_MAX, "%.200s must hold one line of at most %d characters", path,
                       SECRET_MAX);
        return ERR_INVALID;
    }
    *size = (size_t)n;
    return 0;
}

int policy_header_value(const policy_rule_t *rule, size_t index, char **value, char why[POLICY_WHY_MAX]) {
    const policy_header_t *header = &rule->headers[index];
    char secret[SECRET_MAX + 1];
    size_t size = 0;
    text_t text = {0};
    int err = read_secret(header->file, secret, &size, why);
    if (!err) {
        text_add_str(&text, header->before);
        if (header->base64)
            text_add_base64(&text, secret, size);
        else
            text_add(&text, secret, size);
        text_add_str(&text, header->after);
        text_add(&text, "", 1);
        err = text.failed ? ERR_NOMEM : 0;
    }
    explicit_bzero(secret, sizeof secret);
    if (err) {
        if (text.ptr) explicit_bzero(text.ptr, text.len);
        text_clear(&text);
        return err;
    }
    *value = text.ptr;
    return 0;
}

void policy_header_free(char **value) {
    if (!*value) return;
    explicit_bzero(*value, strlen(*value));
    free(*value);
    *value = NULL;
}

size_t policy_header_count(const policy_rule_t *rule) {
    return rule ? rule->header_count : 0;
}

const char *policy_header_name(const policy_rule_t *rule, size_t index) {
    return rule->headers[index].name;
}
