/* Messages on their way: delayed, in order for each socket, now and then lost, repeated or late. */
#include <stdlib.h>
#include <string.h>

#include "common/message_table.h"
#include "tests/sim/sim.h"

/* Room for the texts and lists of the message. */
static size_t extra_bytes(const msg_t *msg, const layout_t *layout) {
    size_t bytes = 0;
    for (unsigned i = 0; i < layout->field_count; i++) {
        const void *at = (const char *)msg + layout->fields[i].offset;
        if (layout->fields[i].kind == KIND_STR)
            bytes += (((const str_t *)at)->len + 7u) & ~7u;
        else if (layout->fields[i].kind == KIND_HELD)
            bytes += ((const msg_held_list_t *)at)->count * sizeof(msg_held_t);
        else if (layout->fields[i].kind == KIND_NUMS)
            bytes += ((const msg_nums_t *)at)->count * sizeof(uint64_t);
    }
    return bytes;
}

static char *take(char **room, const void *from, size_t bytes) {
    char *at = *room;
    if (bytes) memcpy(at, from, bytes);
    *room += (bytes + 7u) & ~(size_t)7u;
    return at;
}

/* A copy that owns all it points to; freed by free(). */
static letter_t *letter_new(const msg_t *msg) {
    const layout_t *layout = layout_of((unsigned)msg->type);
    letter_t *letter = calloc(1, sizeof *letter + extra_bytes(msg, layout));
    if (!letter) return NULL;
    letter->msg = *msg;
    char *room = (char *)(letter + 1);
    for (unsigned i = 0; i < layout->field_count; i++) {
        void *at = (char *)&letter->msg + layout->fields[i].offset;
        str_t *text = at;
        msg_held_list_t *held = at;
        msg_nums_t *nums = at;
        if (layout->fields[i].kind == KIND_STR)
            text->ptr = take(&room, text->ptr, text->len);
        else if (layout->fields[i].kind == KIND_HELD)
            held->items = (void *)take(&room, held->items, held->count * sizeof *held->items);
        else if (layout->fields[i].kind == KIND_NUMS)
            nums->items = (void *)take(&room, nums->items, nums->count * sizeof *nums->items);
    }
    return letter;
}

/* What became of the sender since: its death takes what is in its pipes. */
static bool died_on_the_way(world_t *world, const letter_t *letter, uint32_t sender_life, int64_t due_us) {
    const proc_t *from = &world->procs[letter->from];
    if (from->alive && from->life == sender_life) return false;
    bool latest = from->life == sender_life;
    return !latest || due_us > from->pipe_us;
}

typedef struct {
    letter_t *letter;
    uint32_t from_life, to_life;
    int64_t due_us;
} carriage_t;

static void arrive(world_t *world, sim_event_t *event);

void net_free(void *data) {
    carriage_t *carriage = data;
    if (carriage) free(carriage->letter);
    free(carriage);
}

static void again_at(world_t *world, sim_event_t *event, int64_t delay_us) {
    sim_event_t *later = world_after(world, delay_us, event->proc, arrive, 0);
    if (later) later->data = event->data;
}

static bool lost_here(world_t *world, int to, const carriage_t *c) {
    const proc_t *proc = &world->procs[to];
    if (died_on_the_way(world, c->letter, c->from_life, c->due_us)) return true;
    if (to != BROKER) return !proc->alive || proc->life != c->to_life;
    return proc->alive && proc->life != c->to_life && chance(world, 500000);
}

static void arrive(world_t *world, sim_event_t *event) {
    carriage_t *c = event->data;
    int to = event->proc;
    proc_t *proc = &world->procs[to];
    proc_t *worker = &world->procs[to == BROKER ? c->letter->from : to];
    bool cut = worker->cut_until_us > world->now_us && (to == BROKER ? worker->cut_out : worker->cut_in);
    if (cut && !(worker->cut_loses && chance(world, 500000))) {
        again_at(world, event, worker->cut_until_us - world->now_us);
        return;
    }
    if (cut || lost_here(world, to, c)) {
        TRACE(world, "lost   %s to %s with a pipe", msg_type_name(c->letter->msg.type), proc->name);
        net_free(c);
        return;
    }
    if (!proc->alive) {      /* the broker: its peers keep what they could not send yet, and reconnect */
        if (proc->life == 0) /* nor is there a connection that could break */
            again_at(world, event, proc->first_us - world->now_us);
        else if (chance(world, 30000))
            net_free(c);
        else
            again_at(world, event, 100000);
        return;
    }
    letter_t *letter = c->letter;
    free(c);
    if (to == BROKER) {
        broker_receive(world, letter);
    } else {
        TRACE(world, "recv   %-6s %s", proc->name, msg_type_name(letter->msg.type));
        peer_receive(world, to, letter);
        free(letter);
    }
}

static void carry(world_t *world, int from, int to, const letter_t *head, int64_t delay_us) {
    carriage_t *c = malloc(sizeof *c);
    letter_t *letter = letter_new(&head->msg);
    sim_event_t *event = c && letter ? world_after(world, delay_us, to, arrive, 0) : NULL;
    if (!event) {
        free(c);
        free(letter);
        world_fail(world, "out of memory");
        return;
    }
    letter->from = from;
    letter->instance = head->instance;
    letter->sock = head->sock;
    letter->doc = head->doc;
    *c = (carriage_t){letter, world->procs[from].life, world->procs[to].life, world->now_us + delay_us};
    event->data = c;
}

void net_send(world_t *world, int from, int to, sock_t sock, const msg_t *msg, doc_t doc) {
    proc_t *sender = &world->procs[from];
    if (!proc_runs(world, from)) return;
    const plan_t *plan = &world->plan;
    letter_t head = {.from = from, .instance = sender->instance, .sock = sock, .doc = doc, .msg = *msg};
    int64_t delay_us = 50 + (int64_t)rnd(world, (uint64_t)plan->delay_us);
    world->books.messages++;
    bool lost = !world->calm && chance(world, plan->loss_ppm);
    if (!world->calm && chance(world, plan->late_ppm)) delay_us += (int64_t)rnd(world, 6 * SECOND);
    TRACE(world, "send   %-6s %s to %s%s", sender->name, msg_type_name(msg->type), world->procs[to].name,
          lost ? " (lost)" : "");
    int64_t *last_us = &world->last_us[from == BROKER ? to : from][sock][from == BROKER];
    if (plan->fifo || world->calm) {
        if (world->now_us + delay_us < *last_us) delay_us = *last_us - world->now_us;
        *last_us = world->now_us + delay_us;
    }
    if (lost)
        world->books.lost_messages++;
    else
        carry(world, from, to, &head, delay_us);
    if (!world->calm && chance(world, plan->repeat_ppm)) {
        world->books.repeated_messages++;
        carry(world, from, to, &head, delay_us + (int64_t)rnd(world, 4 * SECOND));
    }
    if (sender->sends_left > 0 && --sender->sends_left == 0) {
        sender->sends_left = -1;
        sender->doomed = true;
        world->doomed = from;
    }
}
