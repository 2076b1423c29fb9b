/* The broker's sockets where libzmq's own threads have a part: listeners that end, monitors nobody reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/sockets.h"
#include "common/link_wire.h"

#define PATIENCE_S 60
#define RENEWALS   100
#define KNOCKS     4000 /* a monitor's socket would hold 2000 events */

static char dir[] = "/tmp/sluice-sockets-XXXXXX";

static int make_dir(void **state) {
    (void)state;
    alarm(PATIENCE_S); /* what stands still fails */
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    (void)state;
    const char *names[] = {"control", "tasks-in", "results-in", "events", "door"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path); /* libzmq leaves them */
    }
    return rmdir(dir);
}

/* A tool's key was revoked: events ends at both endpoints, and is there again at both. */
static void test_events_can_be_renewed_at_any_time(void **state) {
    (void)state;
    char bind[64], why[SOCKETS_WHY_MAX];
    sockets_t *sockets = NULL;
    sockets_options_t options = {.runtime_dir = dir, .bind = bind, .worker_ports = 1};
    for (int i = 0; i < 20 && !sockets; i++) { /* others may have the ports */
        snprintf(bind, sizeof bind, "tcp://127.0.0.1:%d", 20000 + (int)(getpid() % 400) * 20 + i * 500);
        if (sockets_open(&options, &sockets, why) != 0) sockets = NULL;
    }
    assert_non_null(sockets);
    for (int i = 0; i < RENEWALS; i++)
        assert_int_equal(sockets_renew_events(sockets), 0);
    sockets_close(&sockets);
}

static void knock(const char path[64]) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, 64);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

/* More knock than a monitor's socket would hold while its reader is elsewhere: all are still let in, and the
 * socket can be closed. */
static void test_a_monitor_nobody_reads_holds_nothing_up(void **state) {
    (void)state;
    char endpoint[160], path[64];
    void *context = zmq_ctx_new(), *socket = wire_socket(context, ZMQ_ROUTER, 10, NULL);
    void *monitor = wire_monitor(context, socket, 1);
    assert_non_null(socket);
    assert_non_null(monitor);
    snprintf(path, sizeof path, "%s/door", dir);
    snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    assert_int_equal(zmq_bind(socket, endpoint), 0);
    for (int i = 0; i < KNOCKS; i++)
        knock(path);
    assert_int_equal(zmq_socket_monitor(socket, NULL, 0), 0);
    wire_close(&monitor);
    wire_close(&socket);
    zmq_ctx_term(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_can_be_renewed_at_any_time),
        cmocka_unit_test(test_a_monitor_nobody_reads_holds_nothing_up),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
