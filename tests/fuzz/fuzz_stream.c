/* Large bodies on their way into the spool: announcements, chunks, results, time, lost executors and
 * restarts, in any order. Eight octets an event; the first of all says how large the spool is. A body that
 * counts as kept is there, whole, octet by octet. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/bodies.h"
#include "common/log.h"
#include "fuzz.h"

#define TASKS      4
#define STREAMS    8
#define EVENT      8
#define EVENTS_MAX 200
#define PIECE      4096

enum { ANNOUNCE, CHUNK, RIGHT_CHUNK, RESULT, TURN, TIME, LOSE, RESTART, KINDS };

static const uint64_t lengths[STREAMS] = {0, 1, 1000, 262143, 262144, 262145, 600000, 1 << 20};

typedef struct {
    spool_t *spool;
    bodies_t *bodies;
    uint64_t max;
    bool leaves; /* the executor is about to end */
    int64_t now_ms;
    struct {
        uint64_t stream; /* of the latest announcement */
        bool lost, kept;
    } tasks[TASKS];
    struct {
        uint64_t sent, upto;
    } streams[STREAMS];
} bench_t;

static char dir[] = "/dev/shm/sluice-fuzz.XXXXXX"; /* where a sync costs nothing */

static void must(bool holds) {
    if (!holds) abort();
}

/* Of a body, by pieces of PIECE octets that are alike. */
static int octet(uint64_t stream, uint64_t at) {
    return (int)((stream * 31 + at / PIECE * 7 + 1) & 0xff);
}

static void on_send(void *ctx, uint64_t peer, const msg_t *msg) {
    bench_t *b = ctx;
    must(peer == 1 && (msg->type == MSG_CREDIT || msg->type == MSG_ABORT));
    if (msg->type != MSG_CREDIT) return;
    must(msg->credit.upto <= lengths[msg->credit.stream]);
    b->streams[msg->credit.stream].upto = msg->credit.upto;
}

static bool on_runs(void *ctx, uint64_t session, uint64_t number, uint32_t attempt) {
    const bench_t *b = ctx;
    return session == 1 && attempt == 1 && number < TASKS && !b->tasks[number].lost;
}

static bool on_leaves(void *ctx, uint64_t session) {
    (void)session;
    return ((const bench_t *)ctx)->leaves;
}

static void on_no_room(void *ctx, uint64_t number, uint32_t attempt) {
    bench_t *b = ctx;
    must(attempt == 1 && number < TASKS);
    b->tasks[number].lost = true;
}

static bool owned(void *ctx, uint64_t number, uint64_t bytes) {
    const bench_t *b = ctx;
    (void)bytes;
    return number < TASKS && b->tasks[number].kept;
}

static void open_all(bench_t *b) {
    char why[SPOOL_WHY_MAX];
    const bodies_handler_t handler = {b, on_send, on_runs, on_leaves, on_no_room};
    must(spool_open(dir, NULL, b->max, owned, b, &b->spool, why) == 0);
    b->bodies = bodies_new(b->spool, &handler);
    must(b->bodies != NULL);
}

static void close_all(bench_t *b) {
    bodies_destroy(&b->bodies);
    spool_close(&b->spool);
}

static void must_be_kept(uint64_t number, uint64_t stream) {
    char path[64], octets[PIECE], wanted[PIECE];
    uint64_t at = 0;
    ssize_t n;
    (void)snprintf(path, sizeof path, "%s/spool/%d.body", dir, (int)number);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0);
    while ((n = read(fd, octets, sizeof octets)) > 0) {
        memset(wanted, octet(stream, at), sizeof wanted);
        must(memcmp(octets, wanted, (size_t)n) == 0);
        at += (uint64_t)n;
    }
    must(n == 0 && at == lengths[stream]);
    (void)close(fd);
}

static void send_chunk(bench_t *b, const msg_chunk_t *chunk, uint64_t size) {
    static char octets[MSG_CHUNK_MAX];
    for (uint64_t i = 0; i < size; i += PIECE)
        memset(octets + i, octet(chunk->stream, chunk->offset + i), size - i < PIECE ? size - i : PIECE);
    bodies_chunk(b->bodies, chunk, octets, size, b->now_ms);
}

/* The next one that a writer in its right mind sends. */
static void right_chunk(bench_t *b, uint64_t number) {
    uint64_t stream = b->tasks[number].stream;
    if (stream == STREAMS) return; /* none was announced */
    uint64_t at = b->streams[stream].sent;
    uint64_t left = lengths[stream] - at, size = left < MSG_CHUNK_MAX ? left : MSG_CHUNK_MAX;
    if (size == 0 || at + size > b->streams[stream].upto) return;
    const msg_chunk_t chunk = {1, number, 1, stream, at, size == left};
    send_chunk(b, &chunk, size);
    b->streams[stream].sent += size;
}

static void any_chunk(bench_t *b, uint64_t number, const uint8_t *event) {
    const msg_chunk_t chunk = {
        event[2] % 3, number, event[3] % 3, event[4] % STREAMS, (uint64_t)event[5] * 65536, event[6] & 1};
    uint64_t size = event[6] & 2 ? MSG_CHUNK_MAX : event[7];
    send_chunk(b, &chunk, size);
}

static void result(bench_t *b, uint64_t number, const uint8_t *event) {
    const msg_result_t msg = {.session = event[2] % 4 ? 1 : 2,
                              .number = number,
                              .attempt = 1,
                              .stream = b->tasks[number].stream,
                              .flags = RESULT_STREAM};
    bool runs = on_runs(b, msg.session, number, 1);
    if (!bodies_result(b->bodies, &msg, b->now_ms) || !runs || b->tasks[number].kept) return;
    b->tasks[number].kept = true; /* as the broker does it, which takes no other result of it */
    b->tasks[number].lost = true;
    must_be_kept(number, b->tasks[number].stream);
}

static void announce(bench_t *b, uint64_t number, const uint8_t *event) {
    uint64_t stream = event[3] % STREAMS;
    const msg_body_t body = {1, number, event[2] % 8 ? 1 : 2, stream, lengths[stream], BODY_RAW};
    if (b->tasks[number].kept) return;
    for (int i = 0; i < TASKS; i++)
        if ((uint64_t)i != number && b->tasks[i].stream == stream) return; /* an executor numbers them */
    if (on_runs(b, body.session, number, body.attempt)) {                  /* any other is nobody's */
        b->tasks[number].stream = stream;
        b->streams[stream].sent = b->streams[stream].upto = 0;
    }
    must(bodies_announced(b->bodies, 1, &body, b->now_ms) == 0);
}

static void play(bench_t *b, const uint8_t *event) {
    uint64_t number = event[1] % TASKS;
    switch (event[0] % KINDS) {
    case ANNOUNCE:
        announce(b, number, event);
        break;
    case CHUNK:
        any_chunk(b, number, event);
        break;
    case RIGHT_CHUNK:
        right_chunk(b, number);
        break;
    case RESULT:
        result(b, number, event);
        break;
    case TURN:
        bodies_turn(b->bodies, b->now_ms);
        break;
    case TIME:
        b->now_ms += event[2] * (int64_t)256 + event[3];
        break;
    case LOSE:
        if (!b->tasks[number].kept) b->tasks[number].lost = event[2] & 1;
        break;
    default:
        close_all(b);
        open_all(b);
    }
}

static void leave_nothing(void) {
    bench_t b = {.max = 1};
    char path[64];
    open_all(&b); /* which removes what is nobody's */
    close_all(&b);
    (void)snprintf(path, sizeof path, "%s/spool", dir);
    (void)rmdir(path);
    (void)rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool begun;
    bench_t b = {.now_ms = 1000};
    if (!begun) {
        must(mkdtemp(dir) != NULL && atexit(leave_nothing) == 0);
        log_set_level(LOG_LEVEL_ERROR);
    }
    begun = true;
    if (size < 1) return 0;
    b.max = data[0] & 1 ? 700000 : 1 << 30;
    b.leaves = data[0] & 2;
    for (int i = 0; i < TASKS; i++)
        b.tasks[i].stream = STREAMS;
    open_all(&b);
    for (size_t at = 1, n = 0; at + EVENT <= size && n < EVENTS_MAX; at += EVENT, n++)
        play(&b, data + at);
    close_all(&b);
    open_all(&b); /* once more: what is kept outlives it, and nothing else */
    for (uint64_t number = 0; number < TASKS; number++)
        if (b.tasks[number].kept) must_be_kept(number, b.tasks[number].stream);
    close_all(&b);
    return 0;
}
