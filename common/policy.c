/* Reads a policy: a rule a line. */
#include "common/policy.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/policy_internal.h"

#define RULES_MAX 10000

typedef struct {
    policy_t *policy;
    policy_rule_t *rule; /* of this line */
    char *why;           /* without file and line */
} reader_t;

static int fail(reader_t *self, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(reader_t *self, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(self->why, POLICY_WHY_MAX, fmt, args);
    va_end(args);
    return ERR_INVALID;
}

/* --- conditions: each gets one item of a list --- */

static int add_text(texts_t *texts, const char *item) {
    char **grown = realloc(texts->items, (texts->count + 1) * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    texts->items = grown;
    grown[texts->count] = strdup(item);
    return grown[texts->count] ? (texts->count++, 0) : ERR_NOMEM;
}

static int add_scheme(reader_t *self, const char *item) {
    if (strcmp(item, "http") != 0 && strcmp(item, "https") != 0)
        return fail(self, "scheme is \"%.40s\"; it must be http or https", item);
    return add_text(&self->rule->schemes, item);
}

/* A rule on a host that no request can name would never match, and a denial would be none. */
static bool is_host(const char *item) {
    policy_address_t address;
    if (item[0] == '[') return item[strlen(item) - 1] == ']' && policy_literal(item, &address);
    for (const char *c = item; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(".-_~", *c)) return false;
    return strcmp(item, ".") != 0;
}

static int add_host(reader_t *self, const char *item) {
    if (strcmp(item, "*") != 0 && !is_host(item))
        return fail(
            self,
            "host is \"%.80s\"; it must be a name without port (beyond ASCII as xn--...), .suffix for "
            "a domain and all below it, an address (IPv6 in brackets), or *",
            item);
    return add_text(&self->rule->hosts, item);
}

static int add_method(reader_t *self, const char *item) {
    for (const char *c = item; *c; c++)
        if ((*c < 'A' || *c > 'Z') && !isdigit((unsigned char)*c) && !strchr("!#$%&'*+-.^_`|~", *c))
            return fail(self, "method is \"%.40s\"; it must be like GET, in capitals", item);
    return add_text(&self->rule->methods, item);
}

static int add_path(reader_t *self, const char *item) {
    if (item[0] != '/') return fail(self, "path is \"%.80s\"; it must begin with /", item);
    if (strpbrk(item, "?#%"))
        return fail(self, "path is \"%.80s\"; it must be decoded, without a query", item);
    return add_text(&self->rule->paths, item);
}

static int add_cidr(reader_t *self, const char *item) {
    cidr_t cidr, *grown;
    if (!cidr_read(item, &cidr))
        return fail(self, "cidr is \"%.60s\"; it must be like 10.0.0.0/8, fd00::/8, or one address", item);
    grown = realloc(self->rule->cidrs, (self->rule->cidr_count + 1) * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    self->rule->cidrs = grown;
    grown[self->rule->cidr_count++] = cidr;
    return 0;
}

static int add_port(reader_t *self, const char *item) {
    char *end, *last;
    unsigned long from = strtoul(item, &end, 10), to = from;
    bool good = isdigit((unsigned char)item[0]);
    if (good && *end == '-') {
        to = strtoul(end + 1, &last, 10);
        good = isdigit((unsigned char)end[1]) && *last == '\0';
    } else if (good) {
        good = *end == '\0';
    }
    if (!good || from < 1 || to > 65535 || from > to)
        return fail(self, "port is \"%.40s\"; it must be like 443 or 8000-8999", item);
    ports_t *grown = realloc(self->rule->ports, (self->rule->port_count + 1) * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    self->rule->ports = grown;
    grown[self->rule->port_count++] = (ports_t){(unsigned)from, (unsigned)to};
    return 0;
}

static const struct {
    const char *name;
    int (*add)(reader_t *self, const char *item);
} conditions[] = {{"scheme", add_scheme}, {"host", add_host}, {"method", add_method},
                  {"path", add_path},     {"cidr", add_cidr}, {"port", add_port}};

static int add_items(reader_t *self, const char *name, char *value,
                     int (*add)(reader_t *self, const char *item)) {
    int err = 0;
    for (char *next; !err && value; value = next) {
        next = strchr(value, ',');
        if (next) *next++ = '\0';
        err = value[0] ? add(self, value)
                       : fail(self, "%s has an empty item; it must be like %s=A,B", name, name);
    }
    return err;
}

/* --- words --- */

/* One NAME=VALUE. */
static int add_word(reader_t *self, char *word) {
    policy_rule_t *rule = self->rule;
    if (strcmp(word, "override") == 0) {
        rule->override = true;
        return rule->allow ? 0 : fail(self, "override is for rules that allow what is refused by itself");
    }
    char *equals = strchr(word, '=');
    if (!equals) return fail(self, "\"%.60s\" is no NAME=VALUE", word);
    *equals = '\0';
    char *value = equals + 1;
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
        if (strcmp(word, conditions[i].name) == 0) return add_items(self, word, value, conditions[i].add);
    if (strcmp(word, "name") == 0) {
        if (value[0] == '\0' || strlen(value) > POLICY_NAME_MAX)
            return fail(self, "name must be 1 to %d octets", POLICY_NAME_MAX);
        (void)snprintf(rule->name, sizeof rule->name, "%s", value);
        return 0;
    }
    if (strcmp(word, "header") == 0)
        return rule->allow ? policy_header_read(rule, value, self->why)
                           : fail(self, "a rule that denies sends no header");
    return fail(
        self,
        "there is no \"%.40s\" in a rule; it must be scheme, host, cidr, port, method, path, name, header",
        word);
}

/* Cuts the next word off, with its quotes taken away. NULL at the end, or (with *torn) in an unended quote.
 */
static char *next_word(char **at, bool *torn) {
    *at += strspn(*at, " \t\r\n");
    if (**at == '\0' || **at == '#') return NULL;
    char *word = *at, *out = *at;
    bool quoted = false;
    for (; **at && (quoted || !strchr(" \t\r\n", **at)); ++*at) {
        if (**at == '"')
            quoted = !quoted;
        else
            *out++ = **at;
    }
    *torn = quoted;
    if (**at) ++*at;
    *out = '\0';
    return quoted ? NULL : word;
}

static int read_default(reader_t *self, const char *word, unsigned line) {
    bool allow = word && strcmp(word, "allow") == 0;
    if (!allow && (!word || strcmp(word, "deny") != 0))
        return fail(self, "it must be: default allow, or default deny");
    if (self->policy->has_default)
        return fail(self, "the default is in line %u already", self->policy->default_line);
    self->policy->has_default = true;
    self->policy->default_allow = allow;
    self->policy->default_line = line;
    return 0;
}

/* Who hands out the tasks chooses where they lead: what a header holds must not go anywhere it likes. */
static int check_rule(reader_t *self) {
    const policy_rule_t *rule = self->rule;
    bool any = rule->hosts.count == 0 && rule->cidr_count == 0;
    for (size_t i = 0; !any && rule->cidr_count == 0 && i < rule->hosts.count; i++)
        any = strcmp(rule->hosts.items[i], "*") == 0;
    return any && rule->header_count > 0
               ? fail(self, "a rule with a header must say for whom it is: by host= (not *), or by cidr=")
               : 0;
}

static int read_rule(reader_t *self, bool allow, unsigned line, char *rest) {
    policy_t *policy = self->policy;
    bool torn = false;
    if (policy->count >= RULES_MAX) return fail(self, "there are %d rules already", RULES_MAX);
    policy_rule_t *grown = realloc(policy->rules, (policy->count + 1) * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    policy->rules = grown;
    self->rule = &grown[policy->count++];
    *self->rule = (policy_rule_t){.allow = allow, .file = policy->path, .line = line};
    int err = 0;
    for (char *word; !err && (word = next_word(&rest, &torn)) != NULL;)
        err = add_word(self, word);
    if (torn) return fail(self, "a quote does not end");
    return err ? err : check_rule(self);
}

static int read_line(reader_t *self, char *line, unsigned number) {
    bool torn = false;
    char *word = next_word(&line, &torn);
    if (torn) return fail(self, "a quote does not end");
    if (!word) return 0;
    if (strcmp(word, "allow") == 0 || strcmp(word, "deny") == 0)
        return read_rule(self, word[0] == 'a', number, line);
    if (strcmp(word, "default") == 0) {
        word = next_word(&line, &torn);
        int err = read_default(self, word, number);
        return !err && next_word(&line, &torn) ? fail(self, "nothing follows after default allow or deny")
                                               : err;
    }
    return fail(self, "\"%.40s\" is no beginning of a rule; it must be allow, deny or default", word);
}

/* Never waits for what is no file, nor believes one that everybody can write. */
static int open_file(const char *path, FILE **file, char *why) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = errno, err = 0;
    if (fd < 0 || fstat(fd, &st) != 0) {
        err = error == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        (void)snprintf(why, POLICY_WHY_MAX, "cannot read the policy %.200s: %s", path, strerror(error));
    } else if (!S_ISREG(st.st_mode)) {
        err = ERR_INVALID;
        (void)snprintf(why, POLICY_WHY_MAX, "the policy %.200s is no file", path);
    } else if (st.st_mode & S_IWOTH) {
        err = ERR_INVALID;
        (void)snprintf(why, POLICY_WHY_MAX,
                       "the policy %.200s can be written by everybody (mode %04o); chmod 0644", path,
                       (unsigned)st.st_mode & 07777);
    } else if (!(*file = fdopen(fd, "r"))) {
        err = ERR_NOMEM;
    }
    if (err && fd >= 0) (void)close(fd);
    return err;
}

static int read_file(policy_t *policy, const char *path, char *why) {
    char reason[POLICY_WHY_MAX] = "";
    reader_t reader = {policy, NULL, reason};
    FILE *file = NULL;
    char *line = NULL;
    size_t size = 0;
    int err = open_file(path, &file, why);
    if (err) return err;
    ssize_t len;
    for (unsigned number = 1; !err && (len = getline(&line, &size, file)) >= 0; number++) {
        err = strlen(line) == (size_t)len ? read_line(&reader, line, number)
                                          : fail(&reader, "there is a NUL in it; it must be text");
        if (err == ERR_INVALID)
            (void)snprintf(why, POLICY_WHY_MAX, "%.150s, line %u: %.320s", path, number, reason);
    }
    if (!err && ferror(file)) {
        (void)snprintf(why, POLICY_WHY_MAX, "cannot read the policy %.200s: %s", path, strerror(errno));
        err = ERR_IO;
    }
    if (!err && !policy->has_default) {
        (void)snprintf(
            why, POLICY_WHY_MAX,
            "%.200s does not say what holds when no rule matches; it needs a line: default deny, or default "
            "allow",
            path);
        err = ERR_INVALID;
    }
    free(line);
    (void)fclose(file);
    return err;
}

int policy_read(const char *path, policy_t **out, char why[POLICY_WHY_MAX]) {
    policy_t *self = calloc(1, sizeof *self);
    int err = self && (self->path = strdup(path)) ? 0 : ERR_NOMEM;
    if (!err) {
        self->shares = 1;
        self->default_allow = true;
        if (path[0]) err = read_file(self, path, why);
    } else {
        free(self);
        self = NULL;
    }
    if (err == ERR_NOMEM) (void)snprintf(why, POLICY_WHY_MAX, "out of memory");
    if (err)
        policy_release(&self);
    else
        *out = self;
    return err;
}

policy_t *policy_share(policy_t *self) {
    self->shares++;
    return self;
}

static void texts_clear(texts_t *texts) {
    for (size_t i = 0; i < texts->count; i++)
        free(texts->items[i]);
    free(texts->items);
}

void policy_rule_clear(policy_rule_t *rule) {
    texts_clear(&rule->schemes);
    texts_clear(&rule->hosts);
    texts_clear(&rule->methods);
    texts_clear(&rule->paths);
    free(rule->cidrs);
    free(rule->ports);
    for (size_t i = 0; i < rule->header_count; i++) {
        free(rule->headers[i].name);
        free(rule->headers[i].before);
        free(rule->headers[i].file);
        free(rule->headers[i].after);
    }
    free(rule->headers);
}

void policy_release(policy_t **self) {
    policy_t *policy = *self;
    *self = NULL;
    if (!policy || --policy->shares > 0) return;
    for (size_t i = 0; i < policy->count; i++)
        policy_rule_clear(&policy->rules[i]);
    free(policy->rules);
    free(policy->path);
    free(policy);
}

bool policy_has_headers(const policy_t *self) {
    for (size_t i = 0; i < self->count; i++)
        if (self->rules[i].header_count > 0) return true;
    return false;
}

size_t policy_count(const policy_t *self) {
    return self->count;
}
