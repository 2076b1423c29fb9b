#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static int open_socket(const struct addrinfo *where) {
    int on = 1;
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, where->ai_addr, where->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

static void append_url(int fd, const char *host, bool tls, buf_t *url) {
    char port[16] = "";
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0)
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    const char *scheme = tls ? "https" : "http";
    if (strchr(host, ':'))
        buf_printf(url, "%s://[%s]:%s", scheme, host, port);
    else
        buf_printf(url, "%s://%s:%s", scheme, host, port);
}

int listen_on(const char *host, int64_t port, bool tls, buf_t *url, buf_t *error) {
    char service[16];
    snprintf(service, sizeof service, "%d", (int)port);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int status = getaddrinfo(host, service, &hints, &found);
    if (status != 0) {
        buf_printf(error, "cannot listen on %s: %s", host, gai_strerror(status));
        return -1;
    }
    int fd = open_socket(found);
    if (fd < 0)
        buf_printf(error, "cannot listen on %s port %d: %s", host, (int)port, strerror(errno));
    else
        append_url(fd, host, tls, url);
    freeaddrinfo(found);
    return fd;
}
