/* Ports of workers under tcp: whose they are, and when they rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/worker_sockets.h"

#define PORTS 64 /* others may have some of them */

static void open_range(worker_sockets_t *self) {
    *self = (worker_sockets_t){.runtime_dir = "/tmp", .host = "127.0.0.1", .ports = PORTS};
    self->first_port = 30000 + (int)(getpid() % 400) * PORTS;
    self->rests_until = calloc(PORTS, sizeof *self->rests_until);
    assert_non_null(self->rests_until);
}

static void send_one(worker_socket_t *socket) {
    zmq_msg_t header, payload;
    zmq_msg_init(&header);
    zmq_msg_init(&payload);
    assert_int_equal(worker_socket_send(socket, &header, &payload), 0);
}

/* The repeats of a HELLO that come all at once after a cut take one port, not one each. */
static void test_sessions_without_a_task_share_a_port(void **state) {
    (void)state;
    worker_sockets_t range;
    const char *endpoint;
    char first[256];
    open_range(&range);
    worker_wish_t wish = {.peer = 7, .session = 1, .slots = 2, .tcp = true};
    assert_int_equal(worker_sockets_open(&range, &wish, 0, &endpoint), 0);
    snprintf(first, sizeof first, "%s", endpoint);
    for (wish.session = 2; wish.session < 20; wish.session++) {
        assert_int_equal(worker_sockets_open(&range, &wish, 0, &endpoint), 0);
        assert_string_equal(endpoint, first);
    }
    wish.slots = 3; /* another mark wants another socket, and the port rests */
    assert_int_equal(worker_sockets_open(&range, &wish, 0, &endpoint), 0);
    assert_string_not_equal(endpoint, first);
    worker_sockets_clear(&range);
}

static void test_a_port_rests_when_tasks_went_by_it(void **state) {
    (void)state;
    worker_sockets_t range;
    const char *endpoint;
    char first[256];
    open_range(&range);
    worker_wish_t wish = {.peer = 7, .session = 1, .slots = 2, .tcp = true};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(worker_sockets_open(&range, &wish, 0, &endpoint), 0);
        if (i == 0) snprintf(first, sizeof first, "%s", endpoint);
        if (i > 0) assert_string_not_equal(endpoint, first);
        send_one(worker_sockets_find(&range, 7));
    }
    worker_sockets_clear(&range);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_without_a_task_share_a_port),
        cmocka_unit_test(test_a_port_rests_when_tasks_went_by_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
