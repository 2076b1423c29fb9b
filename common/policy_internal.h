/* The parts of a policy, shared by policy*.c. */
#ifndef SLUICE_COMMON_POLICY_INTERNAL_H
#define SLUICE_COMMON_POLICY_INTERNAL_H

#include "common/policy.h"

typedef struct {
    uint8_t octets[16];
    unsigned bits; /* 0 to 128 */
} cidr_t;
#define CIDR_V4(a, b, c, d, bits)                                                                            \
    { {[10] = 0xff, 0xff, a, b, c, d}, 96 + (bits) } /* as ::ffff:a.b.c.d */

typedef struct {
    unsigned first, last;
} ports_t;

typedef struct {
    char *name;
    char *before, *file, *after; /* of the value; no file: `before` is all of it */
    bool base64;
} policy_header_t;

typedef struct {
    char **items;
    size_t count;
} texts_t;

struct policy_rule_t {
    bool allow, override; /* override: before what is built in */
    char name[POLICY_NAME_MAX + 1];
    const char *file; /* of the policy */
    unsigned line;
    texts_t schemes, hosts, methods, paths; /* none: any */
    cidr_t *cidrs;
    size_t cidr_count;
    ports_t *ports;
    size_t port_count;
    policy_header_t *headers;
    size_t header_count;
};

struct policy_t {
    unsigned shares;
    char *path;
    policy_rule_t *rules;
    size_t count;
    bool default_allow, has_default;
    unsigned default_line;
};

void policy_rule_clear(policy_rule_t *rule);
/* "10.0.0.0/8", "fd00::/8", or one address. */
bool cidr_read(const char *text, cidr_t *cidr);
bool cidr_holds(const cidr_t *cidr, const policy_address_t *address);
bool cidr_holds_spelled(const cidr_t *cidr, const policy_address_t *address);

#define EMBEDDED_MAX 4
/* The IPv4 addresses that an IPv6 address may stand for by a translation or a tunnel of some network: written
 * to `inner`; returns how many. */
size_t policy_embedded(const policy_address_t *address, policy_address_t inner[EMBEDDED_MAX]);
/* policy_header.c: "Name: text {file} text"; the file is read once, to see that it can be. ERR_INVALID,
 * ERR_NOMEM. */
int policy_header_read(policy_rule_t *rule, const char *text, char why[POLICY_WHY_MAX]);

#endif
