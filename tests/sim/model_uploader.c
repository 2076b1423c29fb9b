/* An uploader: its own code (uploader/from_broker.c, uploader/post_result.c, common/ac_seat.c) in the loop
 * that uploader/uploader.c has around it. */
#include <fcntl.h>
#include <stdlib.h>

#include "tests/sim/sim.h"
#include "uploader/post_result.h"

#define LAST_MS 2000 /* after the drain timeout, for what was said last to be answered */

struct uploader_parts_t {
    taken_t *taken;
    from_broker_t *results;
    post_result_t *posts;
    bool drain_begun, drain_over;
};

static void on_forget(void *ctx, result_t *result) {
    uploader_parts_t *self = ctx;
    post_result_forget(self->posts, result);
}

void uploader_start(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    uploader_parts_t *self = calloc(1, sizeof *self);
    from_broker_handler_t handler = {self, on_forget};
    peer->uploader = self;
    if (!self || taken_open("", (unsigned)proc, &self->taken) != 0) abort();
    self->results = from_broker_new(&handler, self->taken);
    if (self->results) self->posts = post_result_new(&peer->door, &peer->link, self->results, NULL, "", NULL);
    if (!self->posts) abort();
}

void uploader_end(uploader_parts_t **self) {
    if (!*self) return;
    post_result_destroy(&(*self)->posts);
    from_broker_destroy(&(*self)->results);
    taken_close(&(*self)->taken);
    free(*self);
    *self = NULL;
}

uint64_t uploader_credit(const uploader_parts_t *self) {
    return post_result_credit(self->posts);
}

bool uploader_idle(const uploader_parts_t *self) {
    return from_broker_count(self->results) == 0;
}

uint32_t uploader_held(const uploader_parts_t *self, msg_held_t *held, uint32_t max) {
    return from_broker_held(self->results, held, max);
}

void uploader_welcome(world_t *world, int proc, const msg_welcome_t *welcome) {
    uploader_parts_t *self = world->procs[proc].peer.uploader;
    post_result_welcome(self->posts, welcome->credit, proc_ms(world, proc));
    from_broker_welcome(self->results, welcome, proc_ms(world, proc));
}

void uploader_task(world_t *world, int proc, const letter_t *letter) {
    uploader_parts_t *self = world->procs[proc].peer.uploader;
    zframe_t *payload = zframe_new(&letter->doc, sizeof letter->doc);
    from_broker_task(self->results, &letter->msg.task, &payload, proc_ms(world, proc));
    zframe_destroy(&payload);
}

void uploader_message(world_t *world, int proc, const msg_t *msg) {
    uploader_parts_t *self = world->procs[proc].peer.uploader;
    if (!post_result_message(self->posts, msg)) from_broker_message(self->results, msg, proc_ms(world, proc));
}

/* The zip of the logs is there at once. */
static void pack_logs(uploader_parts_t *self) {
    for (result_t *result; (result = from_broker_unpacked(self->results)) != NULL;) {
        result->zip_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        result->zip_bytes = 100;
        if (result->zip_fd < 0) abort();
    }
}

static bool drained(world_t *world, int proc, int64_t now_ms) {
    proc_t *p = &world->procs[proc];
    uploader_parts_t *self = p->peer.uploader;
    if (!p->draining) return false;
    if (!self->drain_begun) from_broker_return(self->results, false, now_ms);
    self->drain_begun = true;
    if (!self->drain_over && now_ms >= p->peer.drain_ms) {
        self->drain_over = true;
        p->peer.drain_ms = now_ms + LAST_MS;
        from_broker_return(self->results, true, now_ms);
        post_result_abort(self->posts, "the drain timeout is up");
        from_broker_turn(self->results, &p->peer.link, now_ms);
    }
    if (from_broker_count(self->results) == 0 && post_result_idle(self->posts)) return true;
    return self->drain_over && (now_ms >= p->peer.drain_ms || p->peer.session == 0);
}

void uploader_tick(world_t *world, int proc) {
    peer_t *peer = &world->procs[proc].peer;
    uploader_parts_t *self = peer->uploader;
    int64_t now_ms = proc_ms(world, proc);
    pack_logs(self);
    post_result_turn(self->posts, now_ms);
    from_broker_turn(self->results, &peer->link, now_ms);
    peer->bye = drained(world, proc, now_ms);
}

int64_t uploader_due(const world_t *world, int proc) {
    const peer_t *peer = &world->procs[proc].peer;
    int64_t post = post_result_due(peer->uploader->posts, proc_ms(world, proc));
    int64_t send = peer->session ? from_broker_due(peer->uploader->results) : NEVER;
    return post < send ? post : send;
}
