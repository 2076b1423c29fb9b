/* Addresses as the policy compares them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/policy_internal.h"

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0};

static void set_v4(policy_address_t *address, const void *octets) {
    static const uint8_t none[4] = {0}, loopback[4] = {127, 0, 0, 1};
    memcpy(address->octets, mapped, sizeof mapped);
    memcpy(address->spelled, mapped, sizeof mapped);
    memcpy(address->spelled + 12, octets, 4);
    /* connecting to 0.0.0.0 leads to this host itself */
    memcpy(address->octets + 12, memcmp(octets, none, 4) == 0 ? loopback : octets, 4);
}

/* Other ways to write an IPv4 address are that address: mapped, translated, and the old compatible form. */
static void set_v6(policy_address_t *address, const uint8_t octets[16]) {
    static const uint8_t zero[12] = {0};
    bool low = memcmp(octets, zero, 12) == 0,
         one = low && octets[12] == 0 && octets[13] == 0 && octets[14] == 0;
    if (memcmp(octets, mapped, 12) == 0 || memcmp(octets, nat64, 12) == 0 ||
        (low && !(one && octets[15] <= 1))) {
        set_v4(address, octets + 12);
    } else {
        memcpy(address->octets, octets, 16);
        if (one) address->octets[15] = 1; /* :: leads to ::1 */
    }
    memcpy(address->spelled, octets, 16);
}

bool policy_address(const struct sockaddr *from, policy_address_t *address) {
    if (from->sa_family == AF_INET)
        set_v4(address, &((const struct sockaddr_in *)(const void *)from)->sin_addr);
    else if (from->sa_family == AF_INET6)
        set_v6(address, ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr.s6_addr);
    else
        return false;
    return true;
}

bool policy_literal(const char *host, policy_address_t *address) {
    char text[64];
    struct in_addr v4;
    struct in6_addr v6;
    size_t len = strlen(host);
    if (len >= sizeof text) return false;
    memcpy(text, host, len + 1);
    if (text[0] == '[' || strchr(text, ':')) {
        char *inner = text[0] == '[' ? text + 1 : text;
        inner[strcspn(inner, "]%")] = '\0'; /* a zone is no part of the address */
        if (inet_pton(AF_INET6, inner, &v6) != 1) return false;
        set_v6(address, v6.s6_addr);
        return true;
    }
    while (len > 0 && text[len - 1] == '.')
        text[--len] = '\0';
    if (text[0] == '\0' || inet_aton(text, &v4) == 0) return false;
    set_v4(address, &v4);
    return true;
}

bool cidr_read(const char *text, cidr_t *cidr) {
    char address[64], *end;
    struct in_addr v4;
    size_t len = strcspn(text, "/");
    if (len >= sizeof address) return false;
    memcpy(address, text, len);
    address[len] = '\0';
    bool is_v4 = inet_pton(AF_INET, address, &v4) == 1;
    if (is_v4) {
        memcpy(cidr->octets, mapped, 12);
        memcpy(cidr->octets + 12, &v4, 4);
    } else if (inet_pton(AF_INET6, address, cidr->octets) != 1) {
        return false;
    }
    unsigned most = is_v4 ? 32 : 128;
    unsigned long bits = most;
    if (text[len] == '/') {
        bits = strtoul(text + len + 1, &end, 10);
        if (end == text + len + 1 || *end != '\0' || bits > most || text[len + 1] == '-') return false;
    }
    cidr->bits = (unsigned)bits + (is_v4 ? 96 : 0);
    return true;
}

static bool is_within(const cidr_t *cidr, const uint8_t octets[16]) {
    unsigned whole = cidr->bits / 8, rest = cidr->bits % 8;
    if (memcmp(cidr->octets, octets, whole) != 0) return false;
    return rest == 0 || ((cidr->octets[whole] ^ octets[whole]) >> (8 - rest)) == 0;
}

bool cidr_holds(const cidr_t *cidr, const policy_address_t *address) {
    return is_within(cidr, address->octets);
}

bool cidr_holds_spelled(const cidr_t *cidr, const policy_address_t *address) {
    return is_within(cidr, address->spelled);
}

/* NAT64 of a network's own: 64:ff9b:1::/48 */
#define OWN_NAT64                                                                                            \
    { {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48 }

/* Where the octets of the IPv4 address are. */
static const struct {
    cidr_t net;
    uint8_t at[4];
    uint8_t mask;
} embeddings[] = {
    {{{0x20, 0x02}, 16}, {2, 3, 4, 5}, 0},              /* 6to4: 2002::/16 */
    {{{0x20, 0x01, 0, 0}, 32}, {12, 13, 14, 15}, 0xff}, /* Teredo: 2001::/32 */
    {{{[8] = 0xff, 0xff}, 96}, {12, 13, 14, 15}, 0},    /* SIIT: ::ffff:0:0:0/96 */
    {OWN_NAT64, {12, 13, 14, 15}, 0},                   /* /96, /64, /56, /48 */
    {OWN_NAT64, {9, 10, 11, 12}, 0},
    {OWN_NAT64, {7, 9, 10, 11}, 0},
    {OWN_NAT64, {6, 7, 9, 10}, 0},
};

static bool is_isatap(const uint8_t octets[16]) {
    static const uint8_t mark[3] = {0, 0x5e, 0xfe};
    return (octets[8] & 0xfd) == 0 && memcmp(octets + 9, mark, sizeof mark) == 0;
}

size_t policy_embedded(const policy_address_t *address, policy_address_t inner[EMBEDDED_MAX]) {
    size_t count = 0;
    if (memcmp(address->octets, mapped, sizeof mapped) == 0) return 0;
    if (is_isatap(address->octets)) set_v4(&inner[count++], address->octets + 12);
    for (size_t i = 0; i < sizeof embeddings / sizeof embeddings[0] && count < EMBEDDED_MAX; i++) {
        uint8_t octets[4];
        if (!cidr_holds(&embeddings[i].net, address)) continue;
        for (size_t j = 0; j < sizeof octets; j++)
            octets[j] = address->octets[embeddings[i].at[j]] ^ embeddings[i].mask;
        set_v4(&inner[count++], octets);
    }
    return count;
}
