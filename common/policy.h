/* What an executor may call: rules on scheme, host, address, port, method and path, the first that matches
 * decides (docs/POLICY.md). A rule that allows may add headers whose values lie in files of this machine.
 * Judging is pure. */
#ifndef SLUICE_COMMON_POLICY_H
#define SLUICE_COMMON_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define POLICY_WHY_MAX  512
#define POLICY_NAME_MAX 64
#define POLICY_TEXT_MAX 200

typedef struct policy_t policy_t;
typedef struct policy_rule_t policy_rule_t;

/* An address of either family: 16 octets, IPv4 as ::ffff:a.b.c.d; and as it was spelled, when that leads
 * there (64:ff9b::a.b.c.d, ::, 0.0.0.0). */
typedef struct {
    uint8_t octets[16], spelled[16];
} policy_address_t;

/* What is to be sent, and where. */
typedef struct {
    bool https;
    const char *host;        /* lower-case; an IPv6 address with its brackets */
    const char *host_header; /* of the request, when it names another host; else NULL */
    unsigned port;
    const char *method;
    const char *target; /* path and query, as they are sent */
    const char *path;   /* of policy_path() */
    const policy_address_t
        *address; /* connected to; NULL while (or, behind a proxy, since) it is not known */
} policy_question_t;

typedef struct {
    bool allowed;
    bool open; /* a rule on addresses may yet allow it: not to be refused before the address is known */
    const policy_rule_t *rule;  /* which has decided; NULL: what is built in, or the default */
    char text[POLICY_TEXT_MAX]; /* says so, e.g. rule "x" (policy.conf, line 7) */
    bool built_in;
} policy_verdict_t;

/* Reads the rules; `path` "" is no rules at all: everything is allowed but what is refused by itself.
 * ERR_INVALID with file, line and what would be right; ERR_IO, ERR_NOT_FOUND (there is no file), ERR_NOMEM.
 */
int policy_read(const char *path, policy_t **self, char why[POLICY_WHY_MAX]);
policy_t *policy_share(policy_t *self);
/* Lets go of one share. Accepts NULL; nulls the pointer. */
void policy_release(policy_t **self);
/* Whether a rule adds headers: then this process holds secrets. */
bool policy_has_headers(const policy_t *self);
size_t policy_count(const policy_t *self);

void policy_judge(const policy_t *self, const policy_question_t *question, policy_verdict_t *verdict);

/* The path that a server will take it for: decoded once, no empty, "." or ".." segments, no ";" parameters.
 * NULL when out of memory; freed by the caller. */
char *policy_path(const char *target);
/* The address of a host that is one itself, in any spelling that name lookups take. */
bool policy_literal(const char *host, policy_address_t *address);
/* False for an address of neither family. */
bool policy_address(const struct sockaddr *from, policy_address_t *address);

/* Headers that the rule adds or replaces. */
size_t policy_header_count(const policy_rule_t *rule);
const char *policy_header_name(const policy_rule_t *rule, size_t index);
/* Its value, from its file as that is now; wiped and freed by policy_header_free(). ERR_IO or ERR_INVALID
 * with `why`, in which there is nothing of the value; ERR_NOMEM. */
int policy_header_value(const policy_rule_t *rule, size_t index, char **value, char why[POLICY_WHY_MAX]);
void policy_header_free(char **value);

#endif
