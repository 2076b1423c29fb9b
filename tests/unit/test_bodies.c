/* Streams into the spool: credit by window and pool, broken streams, what is kept and what is swept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/bodies.h"
#include "broker/flow.h"
#include "common/err.h"

#define CHUNK   ((uint64_t)MSG_CHUNK_MAX)
#define SENT    1024
#define SESSION 7

#define MB ((uint64_t)1 << 20)

int __real_fstatvfs(int fd, struct statvfs *disk);
int __wrap_fstatvfs(int fd, struct statvfs *disk);

static uint64_t disk_size, disk_room; /* octets; 0: as it is */

int __wrap_fstatvfs(int fd, struct statvfs *disk) {
    int rc = __real_fstatvfs(fd, disk);
    if (disk_size > 0) {
        disk->f_frsize = 1;
        disk->f_blocks = disk_size;
        disk->f_bavail = disk_room;
    }
    return rc;
}

typedef struct {
    char dir[64];
    spool_t *spool;
    bodies_t *bodies;
    msg_t sent[SENT];
    unsigned count;
    uint64_t gone;    /* number of a task that is nobody's any more */
    uint64_t no_room; /* number of the task that was ended last for want of room */
    unsigned no_rooms;
    uint64_t leaving; /* session of an executor that is about to end */
    int64_t now_ms;
} bench_t;

static void on_send(void *ctx, uint64_t peer, const msg_t *msg) {
    bench_t *b = ctx;
    assert_int_equal(peer, 1);
    assert_true(b->count < SENT);
    b->sent[b->count++] = *msg;
}

static bool on_runs(void *ctx, uint64_t session, uint64_t number, uint32_t attempt) {
    bench_t *b = ctx;
    return session >= SESSION && number != b->gone && attempt == 1;
}

static bool on_leaves(void *ctx, uint64_t session) {
    return session == ((bench_t *)ctx)->leaving;
}

static void on_no_room(void *ctx, uint64_t number, uint32_t attempt) {
    bench_t *b = ctx;
    assert_int_equal(attempt, 1);
    b->no_room = b->gone = number;
    b->no_rooms++;
}

static bool owned(void *ctx, uint64_t number, uint64_t bytes) {
    (void)bytes;
    return number == *(uint64_t *)ctx;
}

static void bench_open(bench_t *b, uint64_t max) {
    static uint64_t owner = 5;
    char why[SPOOL_WHY_MAX];
    const bodies_handler_t handler = {b, on_send, on_runs, on_leaves, on_no_room};
    *b = (bench_t){.dir = "/tmp/sluice-bodies.XXXXXX", .now_ms = 1000};
    assert_non_null(mkdtemp(b->dir));
    assert_int_equal(spool_open(b->dir, NULL, max, owned, &owner, &b->spool, why), 0);
    b->bodies = bodies_new(b->spool, &handler);
    assert_non_null(b->bodies);
}

static void bench_close(bench_t *b) {
    char command[128];
    bodies_destroy(&b->bodies);
    spool_close(&b->spool);
    (void)snprintf(command, sizeof command, "rm -r %s", b->dir);
    assert_int_equal(system(command), 0);
}

static bool exists(const bench_t *b, const char *name) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/spool/%s", b->dir, name);
    return access(path, F_OK) == 0;
}

static void announce_in(bench_t *b, uint64_t session, uint64_t number, uint64_t stream, uint64_t length) {
    const msg_body_t body = {session, number, 1, stream, length, BODY_RAW};
    assert_int_equal(bodies_announced(b->bodies, 1, &body, b->now_ms), 0);
    bodies_turn(b->bodies, b->now_ms);
}

static void announce(bench_t *b, uint64_t number, uint64_t stream, uint64_t length) {
    announce_in(b, SESSION, number, stream, length);
}

static void chunk_in(bench_t *b, const msg_chunk_t *msg, uint64_t size) {
    static char octets[CHUNK];
    bodies_chunk(b->bodies, msg, octets, size, b->now_ms);
    bodies_turn(b->bodies, b->now_ms);
}

static void chunk(bench_t *b, uint64_t number, uint64_t stream, uint64_t offset, uint64_t size, bool last) {
    const msg_chunk_t msg = {SESSION, number, 1, stream, offset, last};
    chunk_in(b, &msg, size);
}

static bool result_of(bench_t *b, uint64_t number, uint64_t stream) {
    const msg_result_t msg = {
        .session = SESSION, .number = number, .attempt = 1, .stream = stream, .flags = RESULT_STREAM};
    return bodies_result(b->bodies, &msg, b->now_ms);
}

static bool result(bench_t *b, uint64_t number) {
    return result_of(b, number, number);
}

/* The last message to the stream. */
static const msg_t *heard(const bench_t *b, uint64_t stream) {
    for (unsigned i = b->count; i-- > 0;)
        if ((b->sent[i].type == MSG_CREDIT ? b->sent[i].credit.stream : b->sent[i].abort.stream) == stream)
            return &b->sent[i];
    return NULL;
}

static uint64_t credit(const bench_t *b, uint64_t stream) {
    const msg_t *msg = heard(b, stream);
    return msg && msg->type == MSG_CREDIT ? msg->credit.upto : 0;
}

static int abort_reason(const bench_t *b, uint64_t stream) {
    const msg_t *msg = heard(b, stream);
    return msg && msg->type == MSG_ABORT ? msg->abort.reason : 0;
}

static void test_a_body_comes_in(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 1 << 30);
    const uint64_t length = 10 * CHUNK + 5;
    announce(&b, 1, 1, length);
    assert_int_equal(credit(&b, 1), FLOW_BEGIN);
    chunk(&b, 1, 1, 0, CHUNK, false);
    assert_int_equal(credit(&b, 1), 4 * CHUNK); /* it came at once: the window is wider by one */
    chunk(&b, 1, 1, CHUNK, CHUNK, false);
    assert_int_equal(credit(&b, 1), 6 * CHUNK);
    body_view_t view;
    assert_true(bodies_look(b.bodies, 1, &view));
    assert_true(view.place == 0 && view.received == 2 * CHUNK && view.length == length);
    assert_true(exists(&b, "1-1.part"));
    assert_false(result(&b, 2)); /* of a body that never came: not judged */
    for (uint64_t at = 2; at < 10; at++)
        chunk(&b, 1, 1, at * CHUNK, CHUNK, false);
    assert_int_equal(credit(&b, 1), length);
    assert_false(exists(&b, "1.body"));
    chunk(&b, 1, 1, 10 * CHUNK, 5, true);
    assert_true(exists(&b, "1.body") && !exists(&b, "1-1.part"));
    assert_true(result(&b, 1));
    assert_int_equal(bodies_count(b.bodies), 0);
    assert_int_equal(spool_bytes(b.spool), length);
    spool_remove(b.spool, 1);
    assert_int_equal(spool_bytes(b.spool), 0);
    assert_false(exists(&b, "1.body"));
    bench_close(&b);
}

static void test_broken_streams(void **state) {
    (void)state;
    bench_t b;
    const struct {
        uint64_t number, offset, size;
        bool last;
    } bad[] = {
        {1, CHUNK, CHUNK, false}, /* a gap */
        {1, 0, 100, false},       /* a short chunk that is not the last */
        {1, 0, CHUNK, true},      /* not the last */
        {2, 0, CHUNK, false},     /* of another task */
        {1, 0, 0, false},         /* nothing */
    };
    bench_open(&b, 1 << 30);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        b.count = 0;
        announce(&b, 1, i + 1, 20 * CHUNK);
        chunk(&b, bad[i].number, i + 1, bad[i].offset, bad[i].size, bad[i].last);
        assert_int_equal(abort_reason(&b, i + 1), ABORT_STALE);
        assert_false(exists(&b, "1-1.part"));
    }
    b.count = 0;
    announce(&b, 1, 90, 20 * CHUNK);
    for (uint64_t at = 0; at < 2; at++)
        chunk(&b, 1, 90, at * CHUNK, CHUNK, false);
    chunk(&b, 1, 91, 2 * CHUNK, CHUNK, false); /* of an unknown stream: said once more, no more */
    assert_int_equal(abort_reason(&b, 91), ABORT_STALE);
    assert_false(result_of(&b, 1, 91)); /* nor does its RESULT end the present one */
    assert_int_equal(bodies_count(b.bodies), 1);
    assert_false(result_of(&b, 1, 90)); /* RESULT before the last chunk: some were lost */
    assert_int_equal(bodies_count(b.bodies), 0);
    assert_int_equal(abort_reason(&b, 90), ABORT_STALE);
    announce(&b, 1, 92, 20 * CHUNK);
    chunk(&b, 1, 92, 0, CHUNK, false);
    announce(&b, 1, 93, 20 * CHUNK); /* its writer began anew */
    assert_int_equal(bodies_count(b.bodies), 1);
    assert_true(credit(&b, 93) > 0);
    b.now_ms += FLOW_STALL_MS + 1;
    bodies_turn(b.bodies, b.now_ms);
    assert_int_equal(abort_reason(&b, 93), ABORT_WRITER);
    bench_close(&b);
}

/* All of a body, as fast as credit comes: the session's window grows. */
static void fast_body(bench_t *b, uint64_t session, uint64_t id, uint64_t chunks) {
    announce_in(b, session, id, id, chunks * CHUNK);
    for (uint64_t at = 0; at < chunks; at++) {
        const msg_chunk_t msg = {session, id, 1, id, at * CHUNK, at + 1 == chunks};
        assert_true(credit(b, id) > at * CHUNK);
        chunk_in(b, &msg, CHUNK);
    }
}

static void test_the_pool_is_shared(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, (uint64_t)1 << 40);
    uint64_t ahead = 0;
    for (uint64_t i = 0; i < 4; i++) {
        fast_body(&b, SESSION + i, 100 + i, 40);
        announce_in(&b, SESSION + i, 200 + i, 200 + i, 20 * CHUNK);
    }
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(credit(&b, 200 + i),
                         BODIES_WINDOW); /* of one stream, however wide the session's is */
        ahead += credit(&b, 200 + i);
    }
    assert_int_equal(ahead, BODIES_POOL);
    announce_in(&b, SESSION + 5, 12, 12, 8 * CHUNK);
    assert_null(heard(&b, 12));
    const msg_chunk_t first = {SESSION, 200, 1, 200, 0, false};
    chunk_in(&b, &first, CHUNK);
    assert_int_equal(credit(&b, 12), CHUNK);
    bench_close(&b);
}

/* In the slowest pipe one chunk in all is under way, each stream has its turn, and none is ended. */
static void test_a_slow_pipe(void **state) {
    (void)state;
    bench_t b;
    uint64_t sent[3] = {0};
    bench_open(&b, 1 << 30);
    for (uint64_t i = 0; i < 3; i++)
        announce(&b, i + 1, i + 1, 20 * CHUNK);
    assert_int_equal(credit(&b, 1) + credit(&b, 2) + credit(&b, 3), FLOW_BEGIN);
    for (int round = 0; round < 30; round++) {
        uint64_t next = 0, ahead = 0;
        for (uint64_t i = 0; i < 3; i++) {
            assert_int_equal(abort_reason(&b, i + 1), 0);
            if (credit(&b, i + 1) > sent[i]) next = i;
            ahead += credit(&b, i + 1) - sent[i];
        }
        if (round > 1) assert_int_equal(ahead, CHUNK);
        b.now_ms += 4000;
        bodies_turn(b.bodies, b.now_ms);
        chunk(&b, next + 1, next + 1, sent[next], CHUNK, false);
        sent[next] += CHUNK;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(sent[i], 9 * CHUNK, 11 * CHUNK);
    bench_close(&b);
}

/* Something comes from the session, of whatever stream: nothing is lost, and its executor hears so. */
static void test_what_comes_is_a_sign_of_life(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 1 << 30);
    announce(&b, 1, 1, 2 * CHUNK);
    assert_int_equal(credit(&b, 1), 2 * CHUNK);
    for (int i = 0; i < 3; i++) {
        b.now_ms += FLOW_STALL_MS - 1000;
        unsigned before = b.count;
        if (i == 0)
            chunk(&b, 1, 1, 0, CHUNK, false); /* no credit is due: the former is said again */
        else if (i == 1)
            bodies_heard(b.bodies, SESSION, b.now_ms);
        else
            chunk(&b, 1, 77, 0, CHUNK, false); /* of a stream that is no more, and is told so */
        bodies_turn(b.bodies, b.now_ms);
        assert_int_equal(b.count, before + 1);
        assert_int_equal(credit(&b, 1), 2 * CHUNK);
    }
    for (int64_t until = b.now_ms + FLOW_ALONE_MS; b.now_ms < until; b.now_ms += 1000) {
        assert_int_equal(abort_reason(&b, 1), 0);
        bodies_heard(b.bodies, SESSION, b.now_ms);
        bodies_turn(b.bodies, b.now_ms);
        if (abort_reason(&b, 1)) break;
    }
    assert_int_equal(abort_reason(&b, 1), ABORT_WRITER); /* results alone do not keep it for ever */
    bench_close(&b);
}

/* What was allowed long after a chunk has come, and the chunk has not: it will not come any more. */
static void test_a_chunk_that_others_have_passed(void **state) {
    (void)state;
    flow_t flow;
    flow_begin(&flow, 1000);
    for (int64_t now_ms = 1000; now_ms <= 1000 + FLOW_PASS_MS; now_ms += 1000) {
        flow_arrived(&flow, now_ms, false, now_ms + 500);
        assert_false(flow_lost(&flow, 1000, now_ms + 500));
    }
    flow_arrived(&flow, 1001 + FLOW_PASS_MS, false, 1002 + FLOW_PASS_MS);
    assert_true(flow_lost(&flow, 1000, 1002 + FLOW_PASS_MS));
    assert_false(flow_lost(&flow, 1001, 1002 + FLOW_PASS_MS));
}

static void test_the_window_goes_with_the_pipe(void **state) {
    (void)state;
    flow_t flow;
    flow_begin(&flow, 0);
    for (int64_t now_ms = 1; now_ms < 100; now_ms++)
        flow_arrived(&flow, now_ms - 1, true, now_ms);
    assert_int_equal(flow.window, FLOW_MOST);
    assert_int_equal(flow_step(&flow), 2 * FLOW_CHUNK);
    flow_arrived(&flow, 100, true, 100 + FLOW_SLOW_MS + 1);
    assert_int_equal(flow.window, FLOW_MOST / 2);
    flow_arrived(&flow, 100, true, 5000); /* was under way already */
    assert_int_equal(flow.window, FLOW_MOST / 2);
    flow_arrived(&flow, 5000, true, 5000 + FLOW_GROWS_MS + 100); /* neither fast nor slow */
    assert_int_equal(flow.window, FLOW_MOST / 2);
    flow_arrived(&flow, 6000, true, 16000);
    assert_int_equal(flow.window, FLOW_CHUNK);
    assert_int_equal(flow_step(&flow), FLOW_CHUNK);
    flow_arrived(&flow, 20000, true, 30000);
    assert_int_equal(flow.window, FLOW_CHUNK);
    flow_arrived(&flow, 30000, false, 30001); /* no more was wanted */
    assert_int_equal(flow.window, FLOW_CHUNK);
    flow_arrived(&flow, 30000, true, 30001);
    assert_int_equal(flow.window, 2 * FLOW_CHUNK);
    flow_begin(&flow, 0); /* far away, but wide: as fast as it can be */
    for (int i = 0; i < 20; i++)
        flow_arrived(&flow, 1000, true, 1700);
    assert_int_equal(flow.window, FLOW_BEGIN + 20 * FLOW_CHUNK);
}

static void test_room(void **state) {
    (void)state;
    bench_t b;
    uint64_t number = 0, bytes = 0;
    bench_open(&b, 4 * CHUNK);
    announce(&b, 1, 1, 3 * CHUNK);
    assert_null(bodies_hold(b.bodies));
    assert_int_equal(bodies_waiting(b.bodies, &number, &bytes), 0);
    announce(&b, 2, 2, 2 * CHUNK);
    assert_null(heard(&b, 2));
    assert_string_equal(bodies_hold(b.bodies), "the spool of large bodies is full");
    announce(&b, 3, 3, CHUNK); /* would fit, and does not pass */
    assert_null(heard(&b, 3));
    assert_int_equal(bodies_waiting(b.bodies, &number, &bytes), 2);
    assert_true(number == 2 && bytes == 2 * CHUNK);
    body_view_t view;
    assert_true(bodies_look(b.bodies, 3, &view) && view.place == 2 && view.length == CHUNK);
    assert_false(bodies_look(b.bodies, 4, &view));
    announce(&b, 4, 4, 2 * CHUNK);
    b.gone = 1;
    bodies_turn(b.bodies, b.now_ms);
    assert_false(exists(&b, "1-1.part"));
    assert_true(credit(&b, 2) > 0);
    assert_true(credit(&b, 2) + credit(&b, 3) == FLOW_BEGIN);
    assert_int_equal(bodies_waiting(b.bodies, &number, &bytes), 1); /* those that begin in one turn count */
    assert_int_equal(number, 4);
    b.gone = 4;
    bodies_turn(b.bodies, b.now_ms);
    assert_null(bodies_hold(b.bodies));
    bench_close(&b);
}

/* A body larger than the spool has its turn like any other, is alone beyond the bound, and nothing that stays
 * keeps it out. */
static void test_larger_than_the_spool(void **state) {
    (void)state;
    bench_t b;
    uint64_t number = 0, bytes = 0;
    bench_open(&b, 4 * CHUNK);
    fast_body(&b, SESSION, 1, 1);
    assert_true(result(&b, 1)); /* it stays */
    announce(&b, 2, 2, 3 * CHUNK);
    announce(&b, 3, 3, 9 * CHUNK);
    assert_null(heard(&b, 3));
    assert_string_equal(bodies_hold(b.bodies), "the spool of large bodies is full");
    announce(&b, 4, 4, CHUNK); /* nobody goes past it */
    b.gone = 2;
    bodies_turn(b.bodies, b.now_ms);
    assert_int_equal(credit(&b, 3) > 0, true);
    assert_null(heard(&b, 4));
    announce(&b, 5, 5, 9 * CHUNK);
    assert_int_equal(bodies_waiting(b.bodies, &number, &bytes), 2);
    assert_int_equal(number, 4);
    assert_non_null(bodies_hold(b.bodies));
    b.gone = 3;
    bodies_turn(b.bodies, b.now_ms);
    assert_true(credit(&b, 4) > 0 && credit(&b, 5) > 0);
    bench_close(&b);
}

/* An executor that is about to end brings all it has, beyond the bound and before those that can wait. */
static void test_who_leaves_waits_for_the_disk_alone(void **state) {
    (void)state;
    bench_t b;
    uint64_t number = 0, bytes = 0;
    bench_open(&b, 4 * CHUNK);
    announce(&b, 1, 1, 4 * CHUNK);
    announce(&b, 2, 2, CHUNK);
    announce_in(&b, SESSION + 1, 3, 3, CHUNK);
    announce_in(&b, SESSION + 1, 4, 4, 5 * CHUNK); /* larger than the spool */
    announce_in(&b, SESSION + 1, 5, 5, (uint64_t)1 << 47);
    assert_int_equal(bodies_waiting(b.bodies, &number, &bytes), 4);
    b.leaving = SESSION + 1;
    bodies_turn(b.bodies, b.now_ms);
    assert_true(credit(&b, 3) > 0 && credit(&b, 4) > 0);
    assert_null(heard(&b, 2));
    assert_null(heard(&b, 5)); /* no disk has the room */
    assert_int_equal(bodies_waiting(b.bodies, &number, &bytes), 2);
    assert_string_equal(bodies_hold(b.bodies), "the disk has no room for large bodies");
    b.gone = 5;
    bodies_turn(b.bodies, b.now_ms);
    assert_string_equal(bodies_hold(b.bodies), "the spool of large bodies is full");
    assert_null(heard(&b, 2));
    bench_close(&b);
}

static void later(bench_t *b, int seconds) {
    for (int i = 0; i < seconds; i++) {
        b->now_ms += 1000;
        bodies_turn(b->bodies, b->now_ms);
    }
}

/* Two bodies of 10 MB wait for the disk; so long, in seconds, until the first is ended, 0 for never. */
static void test_a_disk_that_will_not_have_room(void **state) {
    (void)state;
    static const struct {
        uint64_t size, room;
        int ended_s;
    } table[] = {{15 * MB, 14 * MB, 0}, /* it could not take one if it were empty */
                 {60 * MB, 12 * MB, 300}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bench_t b;
        bench_open(&b, 1 << 30);
        disk_size = table[i].size;
        disk_room = table[i].room;
        announce(&b, 1, 1, 10 * MB);
        if (table[i].ended_s > 0) {
            announce(&b, 2, 2, 10 * MB);
            later(&b, table[i].ended_s - 1);
            assert_int_equal(b.no_rooms, 0);
            later(&b, 1);
        }
        assert_int_equal(b.no_rooms, 1);
        assert_int_equal(b.no_room, 1);
        if (table[i].ended_s > 0) {
            later(&b, 1);
            assert_int_equal(b.no_rooms, 1); /* the next may have room by that */
            assert_int_equal(bodies_count(b.bodies), 1);
            disk_room = 18 * MB;
            later(&b, 1);
            assert_true(credit(&b, 2) > 0);
        }
        disk_size = 0;
        bench_close(&b);
    }
}

/* It is full of what is not ours: that goes some day. */
static void test_a_disk_that_others_fill(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 1 << 30);
    disk_size = 60 * MB;
    disk_room = 5 * MB;
    announce(&b, 1, 1, 10 * MB);
    announce(&b, 2, 2, 10 * MB);
    later(&b, 10000);
    assert_int_equal(b.no_rooms, 0);
    assert_string_equal(bodies_hold(b.bodies), SPOOL_DISK_FULL);
    disk_room = 12 * MB; /* it is not full any more: the minutes begin now */
    later(&b, 1);
    assert_int_equal(b.no_rooms, 0);
    disk_room = 18 * MB;
    later(&b, 1);
    assert_true(credit(&b, 1) > 0);
    disk_room = 8 * MB; /* what comes now ends, and makes more */
    later(&b, 20);
    assert_int_equal(b.no_rooms, 0);
    disk_size = 0;
    bench_close(&b);
}

static void test_the_buried_do_not_count(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 4 * CHUNK);
    fast_body(&b, SESSION, 1, 4);
    assert_true(result(&b, 1));
    bodies_turn(b.bodies, b.now_ms);
    assert_non_null(bodies_hold(b.bodies));
    announce(&b, 2, 2, 2 * CHUNK);
    assert_null(heard(&b, 2));
    spool_set_aside(b.spool, 4 * CHUNK);
    bodies_turn(b.bodies, b.now_ms);
    assert_null(bodies_hold(b.bodies));
    assert_int_equal(credit(&b, 2), 2 * CHUNK);
    assert_int_equal(spool_bytes(b.spool), 4 * CHUNK);
    bench_close(&b);
}

static void test_what_is_gone_leaves_nothing(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 1 << 30);
    announce(&b, 1, 1, 10);
    chunk(&b, 1, 1, 0, 10, true);
    assert_true(exists(&b, "1.body"));
    b.gone = 1; /* its session ended before RESULT came */
    bodies_turn(b.bodies, b.now_ms);
    assert_false(exists(&b, "1.body"));
    assert_int_equal(spool_bytes(b.spool), 0);
    assert_true(result(&b, 1)); /* the core has the last word */
    announce(&b, 1, 2, 10);
    assert_int_equal(bodies_count(b.bodies), 0);
    b.gone = 0;
    announce(&b, 1, 3, 0); /* an executor knows the length */
    assert_int_equal(abort_reason(&b, 3), ABORT_STALE);
    bench_close(&b);
}

static void put(const bench_t *b, const char *name) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/spool/%s", b->dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs("octets", file);
    (void)fclose(file);
}

static void test_sweep(void **state) {
    (void)state;
    bench_t b;
    char why[SPOOL_WHY_MAX];
    uint64_t owner = 5;
    spool_t *again = NULL;
    bench_open(&b, 1 << 30);
    put(&b, "5.body");
    put(&b, "6.body");
    put(&b, "5-2.part");
    put(&b, "notes.txt");
    assert_int_equal(spool_open(b.dir, NULL, 100, owned, &owner, &again, why), 0);
    assert_true(exists(&b, "5.body") && exists(&b, "notes.txt"));
    assert_false(exists(&b, "6.body") || exists(&b, "5-2.part"));
    assert_int_equal(spool_bytes(again), 6);
    assert_non_null(spool_refuses(again, 95, 0));
    assert_null(spool_refuses(again, 94, 0));
    assert_null(spool_disk_refuses(again, 95, 0));
    assert_non_null(spool_disk_refuses(again, (uint64_t)1 << 60, 0));
    spool_close(&again);
    assert_int_equal(spool_open("/proc/nowhere", NULL, 100, owned, &owner, &again, why), ERR_IO);
    assert_non_null(strstr(why, "/proc/nowhere/spool"));
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_body_comes_in),
        cmocka_unit_test(test_broken_streams),
        cmocka_unit_test(test_the_pool_is_shared),
        cmocka_unit_test(test_a_slow_pipe),
        cmocka_unit_test(test_what_comes_is_a_sign_of_life),
        cmocka_unit_test(test_a_chunk_that_others_have_passed),
        cmocka_unit_test(test_the_window_goes_with_the_pipe),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_larger_than_the_spool),
        cmocka_unit_test(test_who_leaves_waits_for_the_disk_alone),
        cmocka_unit_test(test_a_disk_that_will_not_have_room),
        cmocka_unit_test(test_a_disk_that_others_fill),
        cmocka_unit_test(test_the_buried_do_not_count),
        cmocka_unit_test(test_what_is_gone_leaves_nothing),
        cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
