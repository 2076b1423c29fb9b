#include <arpa/inet.h>
#include <sys/socket.h>

#include "common/ac_door_private.h"

/* Numbers are used again, so that a few are all there are. */
void ac_sockets_add(ac_sockets_t *self, int fd) {
    for (unsigned i = 0; i < AC_SOCKETS_MAX && i < self->count; i++)
        if (self->fds[i] == fd) return;
    self->fds[self->count++ % AC_SOCKETS_MAX] = fd;
}

/* 0 for what is no socket of the internet any more. */
static int local_port_of(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.any.sa_family = AF_UNSPEC};
    socklen_t size = sizeof address;
    if (getsockname(fd, &address.any, &size) != 0) return 0;
    if (address.any.sa_family == AF_INET) return ntohs(address.v4.sin_port);
    return address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port) : 0;
}

bool ac_sockets_readable(const ac_sockets_t *self, int local_port) {
    char octet;
    for (unsigned i = 0; i < AC_SOCKETS_MAX && i < self->count; i++)
        if (local_port_of(self->fds[i]) == local_port)
            return recv(self->fds[i], &octet, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
    return false;
}
