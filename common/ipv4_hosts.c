#include "common/ipv4_hosts.h"

#include <stdio.h>
#include <strings.h>

bool ipv4_hosts_has(const ipv4_hosts_t *self, const char *host, int64_t now_ms) {
    for (int i = 0; i < IPV4_HOSTS_MAX; i++) {
        if (now_ms < self->items[i].until_ms && strcasecmp(self->items[i].name, host) == 0) return true;
    }
    return false;
}

void ipv4_hosts_add(ipv4_hosts_t *self, const char *host, int64_t now_ms) {
    int at = 0;

    for (int i = 0; i < IPV4_HOSTS_MAX; i++) {
        if (strcasecmp(self->items[i].name, host) == 0) {
            at = i;
            break;
        }
        if (self->items[i].until_ms < self->items[at].until_ms) at = i;
    }
    (void)snprintf(self->items[at].name, sizeof self->items[at].name, "%s", host);
    self->items[at].until_ms = now_ms + IPV4_HOST_MS;
}
