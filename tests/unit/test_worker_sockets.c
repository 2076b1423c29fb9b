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

static void send_one(worker_socket_t *socket, uint64_t number) {
    zmq_msg_t header, payload;
    zmq_msg_init_size(&header, sizeof number);
    memcpy(zmq_msg_data(&header), &number, sizeof number);
    zmq_msg_init(&payload);
    assert_int_equal(worker_socket_send(socket, number, &header, &payload), 0);
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
        send_one(worker_sockets_find(&range, 7), 1);
    }
    worker_sockets_clear(&range);
}

/* Tasks that were taken back while nobody could read them are not there for whoever can at last. */
static void test_what_is_taken_back_does_not_go(void **state) {
    (void)state;
    static const uint64_t numbers[] = {5, 1, 2, 5, 3, 5}, left[] = {1, 2, 4};
    worker_sockets_t range;
    const char *endpoint;
    open_range(&range);
    worker_wish_t wish = {.peer = 7, .session = 1, .slots = 8, .tcp = true};
    assert_int_equal(worker_sockets_open(&range, &wish, 0, &endpoint), 0);
    worker_socket_t *socket = worker_sockets_find(&range, 7);
    worker_socket_drop(socket, 5); /* of nothing */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        send_one(socket, numbers[i]);
    worker_socket_drop(socket, 5);
    worker_socket_drop(socket, 3);
    worker_socket_drop(socket, 9);
    send_one(socket, 4);
    void *pull = zmq_socket(zsys_init(), ZMQ_PULL);
    uint64_t come[] = {0, 0, 0}, payload;
    zmq_pollitem_t room = {.socket = socket->push, .events = ZMQ_POLLOUT};
    zmq_pollitem_t news = {.socket = pull, .events = ZMQ_POLLIN};
    bool open = zmq_connect(pull, endpoint) == 0 && zmq_poll(&room, 1, 20000) == 1;
    worker_socket_flush(socket);
    bool all_went = socket->first == NULL && socket->last == &socket->first;
    for (size_t i = 0; open && i < sizeof come / sizeof *come && zmq_poll(&news, 1, 20000) == 1; i++) {
        (void)zmq_recv(pull, &come[i], sizeof come[i], 0);
        (void)zmq_recv(pull, &payload, sizeof payload, 0);
    }
    zmq_close(pull); /* an assertion that fails leaves nothing open, which would be waited for */
    worker_sockets_clear(&range);
    assert_true(open);
    assert_true(all_went);
    assert_memory_equal(come, left, sizeof left);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_without_a_task_share_a_port),
        cmocka_unit_test(test_a_port_rests_when_tasks_went_by_it),
        cmocka_unit_test(test_what_is_taken_back_does_not_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
