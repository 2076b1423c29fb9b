/* Which rule decides. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/policy_internal.h"

#define POLICY_PATH_NUL "\1" /* stands for a NUL in a decoded path */

typedef enum { NO, MAYBE, YES } match_t; /* MAYBE: it depends on an address that is not known */

/* A question with what follows from it. */
typedef struct {
    policy_question_t q;
    const char *twice;                    /* the path when a server decodes it twice */
    policy_address_t inner[EMBEDDED_MAX]; /* what the address may stand for */
    size_t inner_count;
} ask_t;

/* Where clouds keep the keys of their machines, and what is no routed address at all. */
static const struct {
    cidr_t net;
    const char *what;
} forbidden_nets[] = {
    {CIDR_V4(169, 254, 0, 0, 16), "link-local and cloud metadata addresses"},
    {{{0xfe, 0x80}, 10}, "link-local addresses"},
    {{{0xfd, 0x00, 0x0e, 0xc2}, 32}, "cloud metadata addresses"},
    {{{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, 0x54}, 128}, "cloud metadata addresses"}, /* fd20:ce::254 */
    {CIDR_V4(100, 100, 100, 200, 32), "cloud metadata addresses"},
    {CIDR_V4(168, 63, 129, 16, 32), "cloud metadata addresses"},
    {CIDR_V4(192, 0, 0, 192, 32), "cloud metadata addresses"},
};
static const char *const forbidden_names[] = {"metadata.google.internal", "metadata.goog", "metadata",
                                              "instance-data", "instance-data.ec2.internal"};

/* Names with the dot at the end of the root's are the same. */
static size_t name_length(const char *name) {
    size_t len = strlen(name);
    while (len > 1 && name[len - 1] == '.')
        len--;
    return len;
}

static bool same_name(const char *host, const char *name) {
    size_t len = name_length(host);
    return len == name_length(name) && strncasecmp(host, name, len) == 0;
}

/* ".example.com" is example.com and all below it; "*" is all. An address is compared as such. */
static bool host_matches(const char *host, const char *pattern) {
    policy_address_t wanted, given;
    size_t len = name_length(host), most = name_length(pattern);
    if (strcmp(pattern, "*") == 0) return true;
    if (policy_literal(pattern, &wanted))
        return policy_literal(host, &given) && memcmp(&wanted, &given, 16) == 0;
    if (pattern[0] != '.') return same_name(host, pattern);
    if (len == most - 1) return strncasecmp(host, pattern + 1, len) == 0;
    return len > most && strncasecmp(host + len - most, pattern, most) == 0;
}

static bool one_host(const texts_t *hosts, const char *host) {
    for (size_t i = 0; i < hosts->count; i++)
        if (host_matches(host, hosts->items[i])) return true;
    return hosts->count == 0;
}

/* What is refused is refused by either name; what is allowed has to be allowed by both. */
static bool any_host(const policy_rule_t *rule, const policy_question_t *q) {
    bool by_url = one_host(&rule->hosts, q->host);
    if (!q->host_header) return by_url;
    bool by_header = one_host(&rule->hosts, q->host_header);
    return rule->allow ? by_url && by_header : by_url || by_header;
}

static bool any_text(const texts_t *texts, const char *text) {
    for (size_t i = 0; i < texts->count; i++)
        if (strcasecmp(text, texts->items[i]) == 0) return true;
    return texts->count == 0;
}

typedef int (*compare_t)(const char *a, const char *b, size_t size);

/* A prefix ends at the end of a segment, or at what `ends` has beside. */
static bool under(const char *path, size_t path_len, const char *prefix, compare_t compare,
                  const char *ends) {
    size_t len = strlen(prefix);
    if (len > path_len && len == path_len + 1 && prefix[len - 1] == '/')
        return compare(path, prefix, path_len) == 0;
    if (len > path_len || compare(path, prefix, len) != 0) return false;
    return len == path_len || prefix[len - 1] == '/' || path[len] == '/' || strchr(ends, path[len]);
}

static bool allowed_under(const char *path, const char *prefix) {
    return under(path, strlen(path), prefix, strncmp, "");
}

static bool denied_under(const char *path, size_t path_len, const char *prefix) {
    return under(path, path_len, prefix, strncasecmp, POLICY_PATH_NUL);
}

/* What is refused is refused in each spelling that some server may take for it: as it is written, decoded,
 * decoded twice, in capitals or not, cut at a NUL. What is allowed has to be so however often it is decoded.
 */
static bool any_path(const policy_rule_t *rule, const ask_t *ask) {
    const char *target = ask->q.target, *path = ask->q.path, *twice = ask->twice;
    for (size_t i = 0; i < rule->paths.count; i++) {
        const char *prefix = rule->paths.items[i];
        if (rule->allow) {
            if (allowed_under(path, prefix) && allowed_under(twice, prefix)) return true;
        } else if (denied_under(path, strlen(path), prefix) || denied_under(twice, strlen(twice), prefix) ||
                   denied_under(target, strcspn(target, "?#"), prefix)) {
            return true;
        }
    }
    return rule->paths.count == 0;
}

static bool any_port(const policy_rule_t *rule, unsigned port) {
    for (size_t i = 0; i < rule->port_count; i++)
        if (port >= rule->ports[i].first && port <= rule->ports[i].last) return true;
    return rule->port_count == 0;
}

/* What an address stands for behind a translation is refused as well, but not allowed; and so is what a rule
 * names by the net of such a translation. */
static bool any_cidr(const policy_rule_t *rule, const ask_t *ask) {
    for (size_t i = 0; i < rule->cidr_count; i++) {
        if (cidr_holds(&rule->cidrs[i], ask->q.address)) return true;
        if (!rule->allow && cidr_holds_spelled(&rule->cidrs[i], ask->q.address)) return true;
        for (size_t j = 0; !rule->allow && j < ask->inner_count; j++)
            if (cidr_holds(&rule->cidrs[i], &ask->inner[j])) return true;
    }
    return false;
}

static match_t matches(const policy_rule_t *rule, const ask_t *ask) {
    const policy_question_t *q = &ask->q;
    if (!any_text(&rule->schemes, q->https ? "https" : "http") || !any_text(&rule->methods, q->method) ||
        !any_host(rule, q) || !any_port(rule, q->port) || !any_path(rule, ask))
        return NO;
    if (rule->cidr_count == 0) return YES;
    if (!q->address) return MAYBE;
    return any_cidr(rule, ask) ? YES : NO;
}

static const char *forbidden_name(const char *host) {
    for (size_t i = 0; i < sizeof forbidden_names / sizeof forbidden_names[0]; i++)
        if (same_name(host, forbidden_names[i])) return "cloud metadata addresses";
    return NULL;
}

static const char *forbidden_address(const policy_address_t *address) {
    for (size_t i = 0; i < sizeof forbidden_nets / sizeof forbidden_nets[0]; i++)
        if (cidr_holds(&forbidden_nets[i].net, address)) return forbidden_nets[i].what;
    return NULL;
}

static const char *forbidden(const ask_t *ask) {
    policy_address_t named;
    const char *what = forbidden_name(ask->q.host), *header = ask->q.host_header;
    if (!what && header) what = forbidden_name(header);
    if (!what && header && policy_literal(header, &named)) what = forbidden_address(&named);
    if (!what && ask->q.address) what = forbidden_address(ask->q.address);
    for (size_t i = 0; !what && i < ask->inner_count; i++)
        what = forbidden_address(&ask->inner[i]);
    return what;
}

static void by_rule(policy_verdict_t *verdict, const policy_rule_t *rule) {
    verdict->allowed = rule->allow;
    verdict->rule = rule;
    const char *slash = strrchr(rule->file, '/');
    (void)snprintf(verdict->text, sizeof verdict->text, "rule %s%s%s(%.60s, line %u)",
                   rule->name[0] ? "\"" : "", rule->name, rule->name[0] ? "\" " : "",
                   slash ? slash + 1 : rule->file, rule->line);
}

/* The first of the rules (with `override`: of those that go before what is built in) that matches. */
static bool decide(const policy_t *self, const ask_t *ask, bool override, policy_verdict_t *verdict) {
    for (size_t i = 0; i < self->count; i++) {
        const policy_rule_t *rule = &self->rules[i];
        if (override && !rule->override) continue;
        match_t match = matches(rule, ask);
        if (match == MAYBE && rule->allow) verdict->open = true;
        if (match != YES) continue;
        by_rule(verdict, rule);
        return true;
    }
    return false;
}

static void by_what_is_built_in(policy_verdict_t *verdict, const char *what) {
    verdict->allowed = false;
    verdict->built_in = true;
    (void)snprintf(verdict->text, sizeof verdict->text, "what is built in against %s", what);
}

static void judge(const policy_t *self, const ask_t *ask, policy_verdict_t *verdict) {
    if (decide(self, ask, true, verdict)) return;
    const char *what = forbidden(ask);
    if (what) {
        by_what_is_built_in(verdict, what);
        return;
    }
    if (decide(self, ask, false, verdict)) return;
    verdict->allowed = self->default_allow;
    (void)snprintf(verdict->text, sizeof verdict->text,
                   self->has_default ? "the default (line %u)" : "the default", self->default_line);
}

void policy_judge(const policy_t *self, const policy_question_t *question, policy_verdict_t *verdict) {
    policy_address_t literal;
    ask_t ask = {.q = *question, .twice = question->path};
    char *twice = NULL;
    *verdict = (policy_verdict_t){.allowed = true};
    if (!ask.q.address && policy_literal(ask.q.host, &literal)) ask.q.address = &literal;
    if (ask.q.address) ask.inner_count = policy_embedded(ask.q.address, ask.inner);
    if (strchr(ask.twice, '%')) ask.twice = twice = policy_path(ask.twice);
    if (ask.twice)
        judge(self, &ask, verdict);
    else
        by_what_is_built_in(verdict, "requests that there is no memory to judge");
    free(twice);
}

/* --- paths --- */

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void decode(const char *from, size_t len, char *to) {
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        int high = from[i] == '%' && i + 2 < len ? hex(from[i + 1]) : -1,
            low = high < 0 ? -1 : hex(from[i + 2]);
        if (low < 0) {
            to[out++] = from[i];
        } else {
            to[out++] = (char)(high << 4 | low);
            i += 2;
        }
        if (to[out - 1] == '\\') to[out - 1] = '/';
        if (to[out - 1] == '\0') to[out - 1] = POLICY_PATH_NUL[0];
    }
    to[out] = '\0';
}

char *policy_path(const char *target) {
    size_t len = strcspn(target, "?#");
    char *decoded = calloc(1, len + 3), *path = malloc(len + 3);
    if (!decoded || !path) {
        free(decoded);
        free(path);
        return NULL;
    }
    decode(target, len, decoded);
    size_t out = 0;
    path[out++] = '/';
    for (const char *at = decoded; *at;) {
        size_t segment = strcspn(at, "/"), kept = 0;
        while (kept < segment && at[kept] != ';')
            kept++;
        bool last = at[segment] == '\0';
        if (kept == 2 && at[0] == '.' && at[1] == '.') {
            if (out > 1) out--; /* the slash behind the segment before */
            while (out > 1 && path[out - 1] != '/')
                out--;
        } else if (kept > 0 && !(kept == 1 && at[0] == '.')) {
            memcpy(path + out, at, kept);
            out += kept;
            if (!last) path[out++] = '/';
        }
        at += segment + (last ? 0 : 1);
    }
    path[out] = '\0';
    free(decoded);
    return path;
}
