/* The broker's sockets where libzmq's own threads have a part: listeners that end, monitors nobody reads. */
#include <poll.h>
#include <pthread.h>
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
#include "common/err.h"
#include "common/link_wire.h"

#define PATIENCE_S 60
#define RENEWALS   100

#define SOCKETS_MORE_THAN_ANY 5000
#define PEERS                 4
#define ROUNDS                4000
#define KNOCKS                4000 /* a monitor's socket would hold 2000 events */

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

/* libzmq has a bound for its sockets: who cannot have one is refused, and the broker lives. */
static void test_no_more_sockets_is_a_refusal(void **state) {
    (void)state;
    char why[SOCKETS_WHY_MAX];
    sockets_t *sockets = NULL;
    sockets_options_t options = {.runtime_dir = dir, .bind = ""};
    assert_int_equal(sockets_open(&options, &sockets, why), 0);
    const char *endpoint;
    int err = 0;
    uint64_t peers = 0;
    for (; !err && peers < SOCKETS_MORE_THAN_ANY; peers++) {
        worker_wish_t wish = {.peer = peers + 1, .session = peers + 1, .slots = 1};
        err = sockets_worker_open(sockets, &wish, &endpoint);
    }
    assert_true(err == ERR_FULL || err == ERR_IO); /* or no more files */
    for (uint64_t i = 1; i <= peers; i++)
        sockets_worker_close(sockets, i, 0);
    assert_int_equal(sockets_renew_events(sockets), 0); /* once there is room again */
    sockets_close(&sockets);
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

/* --- news: libzmq tells of them once --- */

typedef struct {
    inlet_t control;
    void *push;
    unsigned asked, answered;
} asker_t;

typedef struct {
    void *context;
    asker_t askers[PEERS];
    bool failed;
} askers_t;

static void take_answers(asker_t *self) {
    zmq_msg_t header;
    zframe_t *payload;
    while (wire_recv(&self->control, &header, &payload) == 0) {
        zmq_msg_close(&header);
        zframe_destroy(&payload);
        self->answered++;
    }
}

/* As common/link.c does it: what is sent on control may take in news. */
static void ask(askers_t *self, unsigned i, unsigned *seed) {
    asker_t *asker = &self->askers[i];
    msg_t chunk = {.type = MSG_CHUNK, .chunk = {.session = i + 1}};
    msg_t beat = {.type = MSG_HEARTBEAT, .heartbeat = {.session = i + 1}};
    bool by_push = rand_r(seed) % 2 == 0;
    if (rand_r(seed) % 128 == 0)
        (void)poll(NULL, 0, 2); /* what sending takes in is looked at once a millisecond */
    if (!by_push) asker->control.unread = true;
    int rc =
        by_push ? wire_send(asker->push, &chunk, "x", 1) : wire_send(asker->control.socket, &beat, NULL, 0);
    if (rc == 0) asker->asked++;
}

static void wait_for_answers(askers_t *self) {
    struct pollfd polled[PEERS];
    bool unread = false;
    for (int i = 0; i < PEERS; i++) {
        polled[i] = (struct pollfd){.fd = self->askers[i].control.fd, .events = POLLIN};
        unread = unread || self->askers[i].control.unread;
    }
    if (poll(polled, PEERS, unread ? 0 : -1) <= 0) return;
    for (int i = 0; i < PEERS; i++)
        if (polled[i].revents) self->askers[i].control.unread = true;
}

static bool all_answered(const askers_t *self) {
    for (int i = 0; i < PEERS; i++)
        if (self->askers[i].answered < self->askers[i].asked) return false;
    return true;
}

static void *run_askers(void *ctx) {
    askers_t *self = ctx;
    unsigned seed = 1;
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < PEERS; i++)
            for (int n = rand_r(&seed) % 4; n > 0; n--) {
                ask(self, i, &seed);
                if (rand_r(&seed) % 4 == 0) take_answers(&self->askers[i]);
            }
        while (!all_answered(self)) {
            wait_for_answers(self);
            for (int i = 0; i < PEERS; i++)
                take_answers(&self->askers[i]);
        }
    }
    self->askers[0].asked++; /* the last word: control without an answer ends the broker's loop */
    msg_t bye = {.type = MSG_BYE, .bye = {1}};
    self->failed = wire_send(self->askers[0].control.socket, &bye, NULL, 0) != 0;
    return NULL;
}

static void open_askers(askers_t *self) {
    self->context = zmq_ctx_new();
    for (unsigned i = 0; i < PEERS; i++) {
        unsigned char identity[8] = {0, 0, 0, 0, 0, 0, 0, (unsigned char)(i + 1)};
        char endpoint[160];
        asker_t *asker = &self->askers[i];
        assert_true(inlet_open(&asker->control, wire_socket(self->context, ZMQ_DEALER, 1000, identity)));
        asker->push = wire_socket(self->context, ZMQ_PUSH, 1000, NULL);
        snprintf(endpoint, sizeof endpoint, "ipc://%s/control", dir);
        assert_int_equal(zmq_connect(asker->control.socket, endpoint), 0);
        snprintf(endpoint, sizeof endpoint, "ipc://%s/results-in", dir);
        assert_int_equal(zmq_connect(asker->push, endpoint), 0);
        msg_t beat = {.type = MSG_HEARTBEAT, .heartbeat = {.session = i + 1}};
        asker->control.unread = true;
        while (wire_send(asker->control.socket, &beat, NULL, 0) !=
               0) /* connected: nothing is queued before */
            (void)poll(NULL, 0, 1);
        asker->asked++;
    }
}

/* Answers what has come; false after the last word. */
static bool answer_all(sockets_t *sockets, msg_scratch_t *scratch) {
    bool goes_on = true;
    for (source_t source = 0; source < FROM_COUNT; source++)
        for (received_t got; goes_on; sockets_done(&got)) {
            msg_t msg;
            if (!sockets_receive(sockets, source, &got)) {
                sockets_done(&got);
                break;
            }
            assert_int_equal(msg_decode(zmq_msg_data(&got.header), zmq_msg_size(&got.header),
                                        got.has_payload ? 1 : -1, &msg, scratch),
                             0);
            goes_on = msg.type != MSG_BYE;
            uint64_t peer = msg.type == MSG_CHUNK ? msg.chunk.session : got.peer;
            if (goes_on)
                (void)sockets_control(sockets, peer,
                                      &(msg_t){.type = MSG_HEARTBEAT, .heartbeat = {.session = peer}});
        }
    return goes_on;
}

/* Both sides wait without a time limit, for nothing but each other: news that are missed stop them for good.
 */
static void test_no_news_are_missed(void **state) {
    (void)state;
    static askers_t askers;
    static msg_scratch_t scratch;
    char why[SOCKETS_WHY_MAX];
    sockets_t *sockets = NULL;
    pthread_t thread;
    sockets_options_t options = {.runtime_dir = dir, .bind = ""};
    assert_int_equal(sockets_open(&options, &sockets, why), 0);
    open_askers(&askers);
    assert_int_equal(pthread_create(&thread, NULL, run_askers, &askers), 0);
    do
        (void)sockets_wait(sockets, NULL, 0, -1);
    while (answer_all(sockets, &scratch));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(askers.failed);
    for (int i = 0; i < PEERS; i++) {
        inlet_close(&askers.askers[i].control);
        wire_close(&askers.askers[i].push);
    }
    zmq_ctx_term(askers.context);
    sockets_close(&sockets);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_news_are_missed), cmocka_unit_test(test_events_can_be_renewed_at_any_time),
        cmocka_unit_test(test_a_monitor_nobody_reads_holds_nothing_up),
        cmocka_unit_test(test_no_more_sockets_is_a_refusal), /* last: libzmq closes them in its own time */
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
