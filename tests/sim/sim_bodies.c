/* Large bodies: the broker's own code for them (broker/bodies.c) on a spool that stands for its files
 * (broker/spool.h), and what must hold of the octets on their way. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "broker/bodies.h"
#include "common/err.h"
#include "tests/sim/sim.h"

#define PARTS_MAX   64
#define STREAMS_MAX 128

/* A file that is being written; its place is its descriptor. */
typedef struct {
    bool used;
    uint64_t number, written, upto;
    uint32_t attempt;
} part_t;

typedef struct {
    uint64_t session, stream, number, upto;
    bool stopped; /* since it was announced last */
} promise_t;

struct spool_t {
    world_t *world;
    part_t parts[PARTS_MAX];
    struct {
        uint64_t number, bytes; /* 0: none */
    } kept[TICKETS_MAX];        /* what is synced, and outlives the machine */
    uint64_t bytes;
    promise_t promises[STREAMS_MAX]; /* of the present broker; what was stopped makes room */
    uint32_t promise_count;
    bodies_t *bodies;
};

static spool_t *here; /* of the world that runs now */

/* --- broker/spool.h --- */

static bool disk_fails(const spool_t *self, uint32_t ppm) {
    world_t *world = self->world;
    errno = ENOSPC;
    return world->disk_full_us > world->now_us || (!world->calm && chance(world, ppm));
}

int spool_create(spool_t *self, uint64_t number, uint32_t attempt) {
    if (disk_fails(self, 2000)) return ERR_IO;
    for (int i = 0; i < PARTS_MAX; i++) {
        if (self->parts[i].used) continue;
        self->parts[i] = (part_t){.used = true, .number = number, .attempt = attempt};
        return i;
    }
    world_fail(self->world, "bodies: more than %d are written at once", PARTS_MAX);
    return ERR_IO;
}

int spool_write(int fd, const void *bytes, uint64_t size, uint64_t offset) {
    part_t *part = &here->parts[fd];
    (void)bytes;
    if (!part->used || part->written != offset)
        world_fail(here->world, "bodies: octets at %" PRIu64 " of task %" PRIu64 ", which has %" PRIu64,
                   offset, part->number, part->written);
    if (offset + size > part->upto)
        world_fail(here->world,
                   "window: octets up to %" PRIu64 " were taken, and credit given up to %" PRIu64,
                   offset + size, part->upto);
    if (disk_fails(here, 2000)) return ERR_IO;
    part->written += size;
    return 0;
}

static int find_kept(const spool_t *self, uint64_t number) {
    for (int i = 0; i < TICKETS_MAX; i++)
        if (self->kept[i].number == number) return i;
    return -1;
}

int spool_keep(spool_t *self, int fd, uint64_t number, uint32_t attempt) {
    part_t *part = &self->parts[fd];
    bool failed = disk_fails(self, 5000);
    if (part->number != number || part->attempt != attempt)
        world_fail(self->world, "bodies: another file is kept than was written");
    part->used = false;
    if (failed) return ERR_IO;
    spool_remove(self, number);
    int place = find_kept(self, 0);
    if (place < 0) return ERR_IO;
    self->kept[place].number = number;
    self->kept[place].bytes = part->written;
    self->bytes += part->written;
    return 0;
}

void spool_discard(spool_t *self, int fd, uint64_t number, uint32_t attempt) {
    (void)number, (void)attempt;
    if (fd >= 0) self->parts[fd].used = false;
}

void spool_remove(spool_t *self, uint64_t number) {
    const row_t *row = journal_find(self->world, number);
    int place = find_kept(self, number);
    if (place < 0) return;
    if (row && row->body)
        world_fail(self->world,
                   "lost: the body of task %" PRIu64 ", whose result is in the journal, is removed", number);
    self->bytes -= self->kept[place].bytes;
    self->kept[place].number = 0;
}

uint64_t spool_bytes(const spool_t *self) {
    return self->bytes;
}

uint64_t spool_counted(const spool_t *self) {
    uint64_t aside = core_buried_bodies(broker_core(self->world));
    return self->bytes > aside ? self->bytes - aside : 0;
}

uint64_t spool_max(const spool_t *self) {
    return self->world->plan.spool_bytes;
}

const char *spool_refuses(const spool_t *self, uint64_t length, uint64_t reserved) {
    return spool_fits(spool_counted(self) + reserved, length, spool_max(self)) ? NULL : SPOOL_FULL;
}

const char *spool_disk_refuses(const spool_t *self, uint64_t length, uint64_t unwritten) {
    (void)length, (void)unwritten;
    return self->world->disk_full_us > self->world->now_us ? SPOOL_DISK_FULL : NULL;
}

/* It is full of what is not the agent's, and some day it is not. */
int64_t spool_patience_ms(const spool_t *self, uint64_t length) {
    (void)self, (void)length;
    return INT64_MAX;
}

/* --- the broker's side --- */

static promise_t *find_promise(spool_t *self, uint64_t session, uint64_t stream) {
    for (int i = 0; i < STREAMS_MAX; i++)
        if (self->promises[i].session == session && self->promises[i].stream == stream)
            return &self->promises[i];
    return NULL;
}

/* The oldest that may be forgotten; the oldest of all when none may. */
static promise_t *next_promise(spool_t *self) {
    for (int i = 0; i < STREAMS_MAX; i++) {
        promise_t *promise = &self->promises[self->promise_count++ % STREAMS_MAX];
        if (promise->session == 0 || promise->stopped) return promise;
    }
    return &self->promises[self->promise_count++ % STREAMS_MAX];
}

/* No stream is further ahead of what is written than its window, nor all together than the pool. */
static void check_credit(spool_t *self, const msg_credit_t *credit) {
    promise_t *promise = find_promise(self, credit->session, credit->stream);
    uint64_t ahead = 0;
    if (!promise) return;
    /* a BODY that comes late begins the stream anew; what its writer was promised before stays promised */
    if (credit->upto > promise->upto) promise->upto = credit->upto;
    for (int i = 0; i < PARTS_MAX; i++) {
        part_t *part = &self->parts[i];
        if (!part->used) continue;
        if (part->number == promise->number) part->upto = credit->upto;
        if (part->upto > part->written + BODIES_WINDOW)
            world_fail(self->world, "window: credit up to %" PRIu64 ", and only %" PRIu64 " are written",
                       part->upto, part->written);
        ahead += part->upto > part->written ? part->upto - part->written : 0;
    }
    if (ahead > self->world->books.most_ahead) self->world->books.most_ahead = ahead;
    if (ahead > BODIES_POOL)
        world_fail(self->world, "window: %" PRIu64 " octets may be on their way, %" PRIu64 " allowed", ahead,
                   BODIES_POOL);
}

static void send_out(void *ctx, uint64_t peer, const msg_t *msg) {
    world_t *world = ctx;
    int to = (int)(peer & 0xff);
    if (msg->type == MSG_CREDIT) check_credit(world->spool, &msg->credit);
    promise_t *stopped =
        msg->type == MSG_ABORT ? find_promise(world->spool, msg->abort.session, msg->abort.stream) : NULL;
    if (stopped) stopped->stopped = true;
    if (to > 0 && to < world->proc_count && world->procs[to].instance == peer)
        net_send(world, BROKER, to, SOCK_CONTROL, msg, (doc_t){0});
}

static bool runs(void *ctx, uint64_t session, uint64_t number, uint32_t attempt) {
    return core_runs(broker_core(ctx), session, number, attempt);
}

static bool leaves(void *ctx, uint64_t session) {
    return core_leaves(broker_core(ctx), session);
}

static void no_room(void *ctx, uint64_t number, uint32_t attempt) {
    world_fail(ctx, "room: the body of %" PRIu64 ", attempt %u, was given up", number, attempt);
}

bool sim_bodies_start(world_t *world) {
    const bodies_handler_t handler = {world, send_out, runs, leaves, no_room};
    spool_t *self = world->spool;
    if (!self) self = world->spool = calloc(1, sizeof *self);
    if (!self) return false;
    here = self;
    self->world = world;
    self->promise_count = 0;
    for (int i = 0; i < STREAMS_MAX; i++)
        self->promises[i] = (promise_t){0};
    for (int i = 0; i < PARTS_MAX; i++)
        self->parts[i].used = false;
    for (int i = 0; i < TICKETS_MAX; i++) {
        uint64_t number = self->kept[i].number;
        if (number == 0) continue;
        core_body_found(broker_core(world), number, self->kept[i].bytes);
        if (!core_has_body(broker_core(world), number)) spool_remove(self, number);
    }
    self->bodies = bodies_new(self, &handler);
    return self->bodies != NULL;
}

void sim_bodies_end(world_t *world) {
    if (world->spool) bodies_destroy(&world->spool->bodies);
}

void sim_bodies_destroy(world_t *world) {
    free(world->spool);
    world->spool = NULL;
}

void sim_bodies_announced(world_t *world, uint64_t peer, const msg_body_t *body) {
    spool_t *self = world->spool;
    promise_t *promise = find_promise(self, body->session, body->stream);
    if (!promise) {
        promise = next_promise(self);
        *promise = (promise_t){.session = body->session, .stream = body->stream, .number = body->number};
    }
    promise->stopped = false;
    if (bodies_announced(self->bodies, peer, body, proc_ms(world, BROKER)) != 0) abort();
}

void sim_bodies_chunk(world_t *world, const msg_chunk_t *chunk, uint64_t size) {
    bodies_chunk(world->spool->bodies, chunk, NULL, size, proc_ms(world, BROKER));
}

bool sim_bodies_result(world_t *world, const msg_result_t *result) {
    bodies_heard(world->spool->bodies, result->session, proc_ms(world, BROKER));
    return bodies_result(world->spool->bodies, result, proc_ms(world, BROKER));
}

void sim_bodies_turn(world_t *world) {
    bodies_turn(world->spool->bodies, proc_ms(world, BROKER));
    core_hold_fetching(broker_core(world), bodies_hold(world->spool->bodies));
}

int64_t sim_bodies_due_ms(const world_t *world) {
    return bodies_due_ms(world->spool->bodies, proc_ms(world, BROKER));
}

/* What is committed: a body whose task is gone goes as well; one whose result is there is whole. */
void sim_bodies_committed(world_t *world, const record_t *record) {
    bool body = record->task.call == CALL_UPLOAD_RESULT || record->task.call == CALL_UPLOAD_URL;
    if (record->type == REC_TASK_GONE && body) spool_remove(world->spool, record->task.number);
}

void sim_bodies_check_stored(world_t *world, const row_t *row) {
    const ticket_t *ticket = &world->tickets[row->doc.ticket];
    int64_t bytes = sim_body_bytes(world, row->image.number);
    if (!ticket_is_large(ticket) || !row->body) return;
    if (bytes != (int64_t)ticket_length(world, ticket))
        world_fail(world, "lost: the result of ticket %u is stored with %" PRId64 " octets of %" PRIu64,
                   row->doc.ticket, bytes, ticket_length(world, ticket));
}

int64_t sim_body_bytes(const world_t *world, uint64_t number) {
    int place = world->spool ? find_kept(world->spool, number) : -1;
    return place < 0 ? -1 : (int64_t)world->spool->kept[place].bytes;
}

/* At the end nothing is left of tasks that are gone. */
void sim_bodies_check_end(world_t *world) {
    for (int i = 0; world->spool && broker_rests(world) && i < TICKETS_MAX; i++) {
        uint64_t number = world->spool->kept[i].number;
        if (number != 0 && !journal_find(world, number))
            world_fail(world, "bodies: that of task %" PRIu64 ", which is gone, is left", number);
    }
}

/* --- the executor's side --- */

void sim_bodies_check_sent(world_t *world, const msg_chunk_t *chunk, uint64_t size) {
    const promise_t *promise =
        world->spool ? find_promise(world->spool, chunk->session, chunk->stream) : NULL;
    world->books.chunks++;
    if (promise && chunk->offset + size > promise->upto)
        world_fail(world, "window: octets up to %" PRIu64 " are sent, and credit was given up to %" PRIu64,
                   chunk->offset + size, promise->upto);
}
