/* Hosts whose names are looked up for IPv4 alone, each for an hour after a lookup for both families had
 * failed
 * (--ipv4Fallback). Pure: takes the time. */
#ifndef SLUICE_COMMON_IPV4_HOSTS_H
#define SLUICE_COMMON_IPV4_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#define IPV4_HOSTS_MAX 64 /* with more the one whose hour ends first gives way */
#define IPV4_HOST_MS   3600000

typedef struct {
    struct {
        char name[256];
        int64_t until_ms;
    } items[IPV4_HOSTS_MAX];
} ipv4_hosts_t;

bool ipv4_hosts_has(const ipv4_hosts_t *self, const char *host, int64_t now_ms);
void ipv4_hosts_add(ipv4_hosts_t *self, const char *host, int64_t now_ms);

#endif
