/* What the programs' own code finds in the simulator in place of sockets, curl, kernel timers, clocks and
 * files: the functions of common/link.h, common/ac_door.h (the line), common/dead_man.h, common/clock.h,
 * fetcher/inbox.h, fetcher/window.h, uploader/taken.h, uploader/store_result.h and uploader/body_file.h, as
 * far as that code calls them. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/dead_man.h"
#include "common/err.h"
#include "common/log.h"
#include "fetcher/inbox.h"
#include "tests/sim/sim.h"
#include "uploader/body_file.h"
#include "uploader/store_result.h"
#include "uploader/taken.h"

/* The process whose code runs now. */
static struct {
    world_t *world;
    int proc;
} here;

void stand_in_enter(world_t *world, int proc) {
    here.world = world;
    here.proc = proc;
}

/* --- clock and log --- */

int64_t clock_boot_ms(void) {
    return here.world ? proc_ms(here.world, here.proc) : 0;
}

int64_t clock_monotonic_us(void) {
    return here.world ? here.world->now_us : 0;
}

int64_t clock_wall_ms(void) {
    return here.world ? WALL_START_MS + here.world->now_us / 1000 : 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is that of common/clock.h */
void clock_boot_id(char id[BOOT_ID_SIZE]) {
    id[0] = '\0';
}

uint64_t random_u64(void) {
    return 4; /* only names files here */
}

/* The linker puts this in the place of log_line(). */
void __wrap_log_line(log_level_t level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void __wrap_log_line(log_level_t level, const char *event, const char *fmt, ...) {
    (void)level;
    if (!here.world || !here.world->trace) return;
    char text[512] = "";
    va_list args;
    va_start(args, fmt);
    if (fmt) (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    world_trace(here.world, "log    %s %s %s", here.world->procs[here.proc].name, event, text);
}

/* --- the link --- */

uint64_t link_session(const link_t *self) {
    return self->world->procs[self->proc].peer.session;
}

const char *link_agent_id(const link_t *self) {
    (void)self;
    return "sim";
}

int link_send(link_t *self, const msg_t *msg) {
    if (link_session(self) == 0) return ERR_STATE;
    peer_send(self->world, self->proc, SOCK_CONTROL, msg, (doc_t){0});
    return 0;
}

static uint32_t ticket_of(const void *task, size_t bytes) {
    char text[64];
    (void)snprintf(text, sizeof text, "%.*s", (int)(bytes < 60 ? bytes : 60), (const char *)task);
    return (uint32_t)strtoul(text + sizeof TICKET_MEMBER - 1, NULL, 10);
}

int link_push(link_t *self, const msg_t *msg, const void *payload, size_t payload_bytes) {
    if (msg->type == MSG_CHUNK) {
        if (!self->world->calm && chance(self->world, 20000)) return ERR_FULL;
        sim_bodies_check_sent(self->world, &msg->chunk, payload_bytes);
        peer_send(self->world, self->proc, SOCK_RESULTS_IN, msg,
                  (doc_t){DOC_OCTETS, (uint32_t)payload_bytes, 0});
        return 0;
    }
    uint32_t ticket = ticket_of(payload, payload_bytes);
    ac_told(self->world, ticket, msg->fetched.instance, msg->fetched.seq);
    peer_send(self->world, self->proc, SOCK_TASKS_IN, msg, (doc_t){DOC_TASK, ticket, 0});
    return 0;
}

/* --- the dead man's switch --- */

struct dead_man_t {
    world_t *world;
    int proc, place;
};

dead_man_t *dead_man_new(void) {
    dead_man_t *self = calloc(1, sizeof *self);
    peer_t *peer = &here.world->procs[here.proc].peer;
    if (self) *self = (dead_man_t){here.world, here.proc, peer->switch_count++ % SWITCHES_MAX};
    return self;
}

void dead_man_destroy(dead_man_t **self) {
    free(*self);
    *self = NULL;
}

static void look_at(world_t *world, int proc, int place);

/* Kernel time: it fires in a process that stands still, too. The value says which switch of which life. */
static void switch_due(world_t *world, sim_event_t *event) {
    int proc = (int)(event->value >> 48), place = (int)(event->value >> 40 & 0xff);
    proc_t *p = &world->procs[proc];
    if (!p->alive || p->life != (uint32_t)(event->value & 0xffffffffu)) return;
    switch_t *s = &p->peer.switches[place];
    s->waits = false;
    if (!s->armed) return;
    if (proc_ms(world, proc) < s->deadline_ms) {
        look_at(world, proc, place);
        return;
    }
    world->books.switches++;
    if (!p->stopped) world_fail(world, "switch: %s was ended by it, and did not stand still", p->name);
    proc_kill(world, proc, "by its dead man's switch");
    proc_restart(world, proc, (int64_t)(100000 + rnd(world, 5 * SECOND)));
}

static void look_at(world_t *world, int proc, int place) {
    proc_t *p = &world->procs[proc];
    switch_t *s = &p->peer.switches[place];
    if (s->waits) return;
    int64_t left_us = (s->deadline_ms - proc_ms(world, proc)) * 1000;
    s->waits = true;
    world_after(world, left_us - left_us * p->drift_ppm / 1000000, -1, switch_due,
                (uint64_t)proc << 48 | (uint64_t)place << 40 | p->life);
}

int dead_man_arm(dead_man_t *self, int64_t deadline_ms) {
    switch_t *s = &self->world->procs[self->proc].peer.switches[self->place];
    s->armed = true;
    s->deadline_ms = deadline_ms;
    look_at(self->world, self->proc, self->place);
    return 0;
}

void dead_man_disarm(dead_man_t *self) {
    self->world->procs[self->proc].peer.switches[self->place].armed = false;
}

/* --- a line to AC --- */

struct ac_line_t {
    world_t *world;
    int proc, request; /* index; -1: idle */
    lease_t *lease;
    ac_done_fn done;
    void *ctx;
};

ac_line_t *ac_line_new(ac_door_t *door) {
    ac_line_t *self = calloc(1, sizeof *self);
    if (self) *self = (ac_line_t){.world = door->world, .proc = door->proc, .request = -1};
    return self;
}

void ac_line_destroy(ac_line_t **self) {
    if (*self && (*self)->request >= 0) ac_close((*self)->world, (*self)->request);
    free(*self);
    *self = NULL;
}

bool ac_line_busy(const ac_line_t *self) {
    return self->request >= 0;
}

int ac_line_start(ac_line_t *self, lease_t *lease, const ac_request_t *request, int64_t now_ms,
                  ac_done_fn done, void *ctx) {
    if (self->request >= 0 || !lease_may_start(lease, now_ms)) return ERR_STATE;
    doc_t doc = {0};
    if (request->call != CALL_GET_TASK && request->json_bytes == sizeof doc)
        memcpy(&doc, request->json, sizeof doc);
    lease_start(lease);
    self->lease = lease;
    self->done = done;
    self->ctx = ctx;
    self->request = ac_start(self->world, self->proc, self, request->call, doc);
    return 0;
}

void ac_line_ended(ac_line_t *self, const ac_answer_t *answer) {
    self->request = -1;
    self->lease = NULL;
    self->done(self->ctx, answer);
}

void ac_line_abort(ac_line_t *self, const char *why) {
    if (self->request < 0) return;
    const flight_t *request = &self->world->requests[self->request];
    ac_answer_t answer = {.call = (call_t)request->call,
                          .outcome = OUTCOME_ABORTED,
                          .retry_after_ms = -1,
                          .elapsed_ms = (uint32_t)((self->world->now_us - request->started_us) / 1000),
                          .body = "",
                          .reason = why};
    ac_close(self->world, self->request);
    ac_line_ended(self, &answer);
}

void ac_line_turn(ac_line_t *self, int64_t now_ms) {
    if (self->request >= 0 && lease_must_abort(self->lease, now_ms))
        ac_line_abort(self, "the credit is over");
}

/* --- the fetcher's inbox: a file each, synced --- */

struct inbox_t {
    world_t *world;
    int proc;
};

static void *copy_of(const void *bytes, size_t size) {
    void *copy = malloc(size ? size : 1);
    if (copy) memcpy(copy, bytes, size);
    return copy;
}

int inbox_open(const char *state_dir, inbox_t **self) {
    (void)state_dir;
    *self = calloc(1, sizeof **self);
    if (!*self) return ERR_NOMEM;
    **self = (inbox_t){here.world, here.proc};
    return 0;
}

void inbox_close(inbox_t **self) {
    free(*self);
    *self = NULL;
}

int inbox_write(inbox_t *self, uint64_t instance, uint64_t seq, const void *header, size_t header_bytes,
                const void *task, size_t task_bytes) {
    world_t *world = self->world;
    if (!proc_runs(world, self->proc)) return 0;
    if (world->disk_full_us > world->now_us) return ERR_IO;
    if (world->inbox_count == INBOX_MAX) {
        world_fail(world, "the inbox is full");
        return ERR_IO;
    }
    world->inbox[world->inbox_count++] = (fetch_file_t){
        instance, seq, copy_of(header, header_bytes), copy_of(task, task_bytes), header_bytes, task_bytes};
    ac_told(world, ticket_of(task, task_bytes), instance, seq);
    TRACE(world, "inbox  keeps %.20s", (const char *)task);
    return 0;
}

void inbox_remove(inbox_t *self, uint64_t instance, uint64_t seq) {
    world_t *world = self->world;
    for (uint32_t i = 0; i < world->inbox_count && proc_runs(world, self->proc); i++) {
        fetch_file_t *file = &world->inbox[i];
        if (file->instance != instance || file->seq != seq) continue;
        free(file->header);
        free(file->task);
        *file = world->inbox[--world->inbox_count];
        return;
    }
}

int inbox_load(inbox_t *self, const inbox_reader_t *reader) {
    const world_t *world = self->world;
    for (uint32_t i = 0; i < world->inbox_count; i++)
        if (reader->fetch(reader->ctx, world->inbox[i].header, world->inbox[i].header_bytes,
                          world->inbox[i].task, world->inbox[i].task_bytes) != 0)
            reader->bad(reader->ctx, "file", "unreadable");
    return 0;
}

/* --- the fetcher's window: in memory that outlives the process --- */

struct window_t {
    world_t *world;
    int proc;
};

int window_open(const char *state_dir, window_t **self) {
    (void)state_dir;
    if (!here.world->has_window) return ERR_IO;
    *self = calloc(1, sizeof **self);
    if (!*self) return ERR_NOMEM;
    **self = (window_t){here.world, here.proc};
    return 0;
}

void window_close(window_t **self) {
    free(*self);
    *self = NULL;
}

int window_put(window_t *self, const void *header, size_t header_bytes, const void *task, size_t task_bytes) {
    if (!self || !proc_runs(self->world, self->proc)) return -1;
    for (int i = 0; i < WINDOW_SLOTS; i++) {
        if (self->world->window[i].header) continue;
        self->world->window[i] = (fetch_file_t){
            0, 0, copy_of(header, header_bytes), copy_of(task, task_bytes), header_bytes, task_bytes};
        return i;
    }
    return -1;
}

void stand_in_window_empty(world_t *world, int slot) {
    free(world->window[slot].header);
    free(world->window[slot].task);
    world->window[slot] = (fetch_file_t){0};
}

bool stand_in_window_has(const world_t *world, uint32_t ticket) {
    for (int i = 0; i < WINDOW_SLOTS; i++)
        if (world->window[i].header &&
            ticket_of(world->window[i].task, world->window[i].task_bytes) == ticket)
            return true;
    return false;
}

void window_drop(window_t *self, int slot) {
    if (self && slot >= 0 && proc_runs(self->world, self->proc)) stand_in_window_empty(self->world, slot);
}

unsigned window_load(window_t *self,
                     int (*fetch)(void *ctx, int slot, const char *header, size_t header_bytes,
                                  const char *task, size_t task_bytes),
                     void *ctx) {
    unsigned emptied = 0;
    for (int i = 0; self && i < WINDOW_SLOTS; i++) {
        const fetch_file_t *file = &self->world->window[i];
        if (!file->header ||
            fetch(ctx, i, file->header, file->header_bytes, file->task, file->task_bytes) == 0)
            continue;
        stand_in_window_empty(self->world, i);
        emptied++;
    }
    return emptied;
}

/* --- the uploaders' notes: in memory that outlives the process --- */

struct taken_t {
    world_t *world;
    int proc;
};

int taken_open(const char *state_dir, unsigned part, taken_t **self) {
    (void)state_dir, (void)part;
    *self = calloc(1, sizeof **self);
    if (!*self) return ERR_NOMEM;
    **self = (taken_t){here.world, here.proc};
    return 0;
}

void taken_close(taken_t **self) {
    free(*self);
    *self = NULL;
}

static void set_note(taken_t *self, uint64_t from, uint64_t to) {
    if (!proc_runs(self->world, self->proc)) return;
    for (int i = 0; i < TICKETS_MAX; i++) {
        if (self->world->taken[i] != from) continue;
        self->world->taken[i] = to;
        return;
    }
}

void taken_note(taken_t *self, uint64_t number, const char *task_id) {
    if (!taken_has(self, number, task_id)) set_note(self, 0, number);
}

void taken_drop(taken_t *self, uint64_t number, const char *task_id) {
    (void)task_id;
    set_note(self, number, 0);
}

bool taken_has(const taken_t *self, uint64_t number, const char *task_id) {
    (void)task_id;
    for (int i = 0; i < TICKETS_MAX; i++)
        if (self->world->taken[i] == number) return true;
    return false;
}

/* --- bodies: the uploader opens them itself; a PUT to the store comes back as done at once --- */

int body_file_open(const char *runtime_dir, uint64_t number, int64_t *bytes) {
    (void)runtime_dir;
    *bytes = sim_body_bytes(here.world, number);
    if (*bytes < 0) return ERR_NOT_FOUND;
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void body_file_unreadable(from_broker_t *results, result_t *result, int err, int64_t now_ms) {
    (void)err;
    const ac_answer_t answer = {.call = CALL_STORE,
                                .outcome = OUTCOME_REFUSED,
                                .retry_after_ms = -1,
                                .reason = "its body is not there"};
    from_broker_outcome(results, result, 0, &answer, now_ms);
}

void body_file_name(const char *task_id, const char *between, const char *end, char name[BODY_NAME_SIZE]) {
    (void)snprintf(name, BODY_NAME_SIZE, "%.100s%s%s", task_id, between, end);
}

bool store_result_busy(const store_result_t *self) {
    (void)self;
    return false;
}

void store_result_begin(store_result_t *self, result_t *result, const ac_answer_t *answer, int64_t now_ms) {
    (void)self, (void)answer, (void)now_ms;
    text_add(&result->finished, (const char *)zframe_data(result->payload), zframe_size(result->payload));
    result->state = RESULT_CLAIMED; /* for put-result */
}
