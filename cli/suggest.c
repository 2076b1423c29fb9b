#include "cli/suggest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/program.h"

#define PATHS_MAX 8 /* of one rule; more are any */

typedef struct {
    char *origin, *method, *path; /* "https://host:443", "GET", "/rest" */
} seen_line_t;

typedef struct {
    seen_line_t *items;
    size_t count;
} seen_lines_t;

static int compare(const void *a, const void *b) {
    const seen_line_t *one = a, *other = b;
    int by = strcmp(one->origin, other->origin);
    return by ? by : strcmp(one->path, other->path);
}

static bool add(seen_lines_t *lines, const char *method, const char *origin, const char *path) {
    seen_line_t *grown = realloc(lines->items, (lines->count + 1) * sizeof *grown);
    if (!grown) return false;
    lines->items = grown;
    seen_line_t *line = &grown[lines->count];
    *line = (seen_line_t){strdup(origin), strdup(method), strdup(path)};
    if (!line->origin || !line->method || !line->path) return false;
    lines->count++;
    return true;
}

/* What a rule can have: others may have written the file, and a line is no way to write rules. */
static bool good_origin(const char *origin) {
    const char *host = strstr(origin, "://") + 3, *port = strrchr(host, ':');
    size_t scheme = (size_t)(host - 3 - origin), len = port ? (size_t)(port - host) : 0;
    bool v6 = len > 2 && host[0] == '[' && host[len - 1] == ']';
    static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_~", address[] = "0123456789abcdef:.[]";
    return len > 0 && strspn(host, v6 ? address : name) >= len && host[0] != '.' && port[1] &&
           strspn(port + 1, "0123456789") == strlen(port + 1) &&
           ((scheme == 4 && strncmp(origin, "http", 4) == 0) ||
            (scheme == 5 && strncmp(origin, "https", 5) == 0));
}

static bool good_method(const char *method) {
    return method[0] &&
           strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") == strlen(method);
}

/* "METHOD SCHEME://HOST:PORT/FIRST"; what is none is passed over. */
static bool take(seen_lines_t *lines, char *text) {
    text[strcspn(text, "\r\n")] = '\0';
    char *url = strchr(text, ' '), *host = url ? strstr(url, "://") : NULL;
    if (!host) return true;
    *url++ = '\0';
    char *slash = strchr(host + 3, '/'), path[512];
    (void)snprintf(path, sizeof path, "%s", slash ? slash : "/");
    if (slash) *slash = '\0';
    if (!good_origin(url) || !good_method(text)) return true;
    return add(lines, text, url, path);
}

static int read_file(seen_lines_t *lines, const char *path) {
    char why[PATH_MAX + 128], *line = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "re");
    bool good = true;
    if (!file) {
        (void)snprintf(why, sizeof why, "%s: %s%s", path, strerror(errno),
                       errno == ENOENT
                           ? "; nothing was learned yet (policy.mode = learn in the executors' configuration)"
                           : "");
        program_complain("sluice", why);
        return EXIT_CONFIG;
    }
    while (good && getline(&line, &size, file) >= 0)
        good = take(lines, line);
    free(line);
    (void)fclose(file);
    if (!good) program_complain("sluice", "out of memory");
    return good ? 0 : EXIT_FAILED;
}

/* A path can be a rule's when it means the same there. */
static bool plain(const char *path) {
    return strlen(path) > 1 && strpbrk(path, "%,\" \\;?#\t") == NULL;
}

static void print_methods(const seen_line_t *lines, size_t count) {
    const char *between = "";
    for (size_t i = 0; i < count; i++) {
        bool before = false;
        for (size_t j = 0; j < i; j++)
            before = before || strcmp(lines[j].method, lines[i].method) == 0;
        if (before) continue;
        (void)printf("%s%s", between, lines[i].method);
        between = ",";
    }
}

static void print_paths(const seen_line_t *lines, size_t count) {
    size_t different = 0;
    for (size_t i = 0; i < count; i++) {
        if (!plain(lines[i].path)) return;
        if (i == 0 || strcmp(lines[i].path, lines[i - 1].path) != 0) different++;
    }
    if (different > PATHS_MAX) return;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(lines[i].path, lines[i - 1].path) != 0)
            (void)printf("%s%s", i ? "," : " path=", lines[i].path);
}

/* One rule for all of an origin; the lines are sorted by path. */
static void print_rule(const seen_line_t *lines, size_t count) {
    const char *origin = lines[0].origin, *host = strstr(origin, "://") + 3, *port = strrchr(host, ':');
    if (!port) return;
    (void)printf("allow scheme=%.*s host=%.*s port=%s method=", (int)(host - 3 - origin), origin,
                 (int)(port - host), host, port + 1);
    print_methods(lines, count);
    print_paths(lines, count);
    (void)printf("\n");
}

int suggest(const config_t *config, char **files, int count) {
    seen_lines_t lines = {NULL, 0};
    char usual[PATH_MAX];
    int code = 0;
    (void)snprintf(usual, sizeof usual, "%s/policy-seen", config->state_dir);
    if (count == 0) code = read_file(&lines, usual);
    for (int i = 0; !code && i < count; i++)
        code = read_file(&lines, files[i]);
    if (!code) {
        if (lines.count > 0) qsort(lines.items, lines.count, sizeof *lines.items, compare);
        (void)printf("# What was seen; read it before you enforce it (policy.mode = enforce).\n");
        for (size_t i = 0, end; i < lines.count; i = end) {
            for (end = i + 1;
                 end < lines.count && strcmp(lines.items[i].origin, lines.items[end].origin) == 0;)
                end++;
            print_rule(&lines.items[i], end - i);
        }
        (void)printf("default deny\n");
    }
    for (size_t i = 0; i < lines.count; i++) {
        free(lines.items[i].origin);
        free(lines.items[i].method);
        free(lines.items[i].path);
    }
    free(lines.items);
    return code;
}
