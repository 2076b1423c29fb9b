/* Streams into the spool: credit by window and pool, broken streams, what is kept and what is swept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/bodies.h"
#include "common/err.h"

#define CHUNK   ((uint64_t)MSG_CHUNK_MAX)
#define SENT    64
#define SESSION 7

typedef struct {
    char dir[64];
    spool_t *spool;
    bodies_t *bodies;
    msg_t sent[SENT];
    unsigned count;
    uint64_t gone; /* number of a task that is nobody's any more */
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
    return session == SESSION && number != b->gone && attempt == 1;
}

static bool owned(void *ctx, uint64_t number, uint64_t bytes) {
    (void)bytes;
    return number == *(uint64_t *)ctx;
}

static void bench_open(bench_t *b, uint64_t max) {
    static uint64_t owner = 5;
    char why[SPOOL_WHY_MAX];
    const bodies_handler_t handler = {b, on_send, on_runs};
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

static void announce(bench_t *b, uint64_t number, uint64_t stream, uint64_t length) {
    const msg_body_t body = {SESSION, number, 1, stream, length, BODY_RAW};
    assert_int_equal(bodies_announced(b->bodies, 1, &body, b->now_ms), 0);
    bodies_turn(b->bodies, b->now_ms);
}

static void chunk(bench_t *b, uint64_t number, uint64_t stream, uint64_t offset, uint64_t size, bool last) {
    static char octets[CHUNK];
    const msg_chunk_t msg = {SESSION, number, 1, stream, offset, last};
    bodies_chunk(b->bodies, &msg, octets, size, b->now_ms);
    bodies_turn(b->bodies, b->now_ms);
}

static bool result(bench_t *b, uint64_t number) {
    const msg_result_t msg = {.session = SESSION, .number = number, .attempt = 1, .flags = RESULT_STREAM};
    return bodies_result(b->bodies, &msg);
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
    assert_int_equal(credit(&b, 1), BODIES_WINDOW);
    chunk(&b, 1, 1, 0, CHUNK, false);
    assert_int_equal(credit(&b, 1), BODIES_WINDOW); /* again after two */
    chunk(&b, 1, 1, CHUNK, CHUNK, false);
    assert_int_equal(credit(&b, 1), BODIES_WINDOW + 2 * CHUNK);
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
    chunk(&b, 1, 91, 2 * CHUNK, CHUNK, false); /* of an unknown stream: ignored */
    assert_int_equal(bodies_count(b.bodies), 1);
    assert_false(result(&b, 1)); /* RESULT before the last chunk: some were lost */
    assert_int_equal(abort_reason(&b, 90), ABORT_STALE);
    announce(&b, 1, 92, 20 * CHUNK);
    chunk(&b, 1, 92, 0, CHUNK, false);
    announce(&b, 1, 93, 20 * CHUNK); /* its writer began anew */
    assert_int_equal(bodies_count(b.bodies), 1);
    assert_int_equal(credit(&b, 93), BODIES_WINDOW);
    b.now_ms += BODIES_STALL_MS + 1;
    bodies_turn(b.bodies, b.now_ms);
    assert_int_equal(abort_reason(&b, 93), ABORT_WRITER);
    bench_close(&b);
}

static void test_the_pool_is_shared(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, (uint64_t)1 << 40);
    uint64_t ahead = 0;
    for (uint64_t i = 1; i <= 10; i++)
        announce(&b, i, i, 3 * CHUNK);
    for (uint64_t i = 1; i <= 10; i++) {
        assert_int_equal(credit(&b, i), 3 * CHUNK);
        ahead += credit(&b, i);
    }
    assert_true(ahead <= BODIES_POOL);
    announce(&b, 11, 11, 8 * CHUNK);
    assert_int_equal(credit(&b, 11), 2 * CHUNK); /* what is left of 32 */
    announce(&b, 12, 12, 8 * CHUNK);
    assert_null(heard(&b, 12));
    chunk(&b, 1, 1, 0, CHUNK, false);
    chunk(&b, 1, 1, CHUNK, CHUNK, false);
    assert_int_equal(credit(&b, 12), 2 * CHUNK);
    bench_close(&b);
}

static void test_room(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, 4 * CHUNK);
    announce(&b, 1, 1, 3 * CHUNK);
    assert_null(bodies_hold(b.bodies));
    announce(&b, 2, 2, 2 * CHUNK);
    assert_null(heard(&b, 2));
    assert_string_equal(bodies_hold(b.bodies), "the spool of large bodies is full");
    announce(&b, 3, 3, 9 * CHUNK); /* larger than the spool: when it is empty */
    b.gone = 1;
    bodies_turn(b.bodies, b.now_ms);
    assert_false(exists(&b, "1-1.part"));
    assert_int_equal(credit(&b, 2), 2 * CHUNK);
    assert_null(heard(&b, 3));
    b.gone = 2;
    bodies_turn(b.bodies, b.now_ms);
    assert_int_equal(credit(&b, 3), BODIES_WINDOW);
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
    assert_non_null(spool_refuses(again, 95, 0, 0));
    assert_null(spool_refuses(again, 94, 0, 0));
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
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_what_is_gone_leaves_nothing),
        cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
