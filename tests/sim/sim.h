/* The simulated world: a broker with the real core, models of the workers, AC and the tools, and a seeded
 * scheduler with virtual time that delays, loses and repeats messages and crashes and stops processes. One
 * seed is one schedule; the same seed gives the same trace. Times are in microseconds of virtual time ("us")
 * or in milliseconds of a process's own clock ("ms"). */
#ifndef SLUICE_TESTS_SIM_SIM_H
#define SLUICE_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "broker/core.h"
#include "broker/heap.h"
#include "common/ac_door.h"
#include "common/link.h"
#include "executor/executor.h"
#include "fetcher/window.h"

#define PROCS_MAX       8
#define EXECUTORS_MAX   3
#define UPLOADERS_MAX   2
#define TICKETS_MAX     512
#define REQUESTS_MAX    32
#define ITEMS_MAX       256
#define INBOX_MAX       256
#define PAST_MAX        64
#define BROKER          0
#define FETCHER         1
#define WALL_START_MS   1700000000000
#define PERSON          ((uint64_t)1 << 60) /* instance of no process: who says orders by hand */
#define NEVER           INT64_MAX
#define SECOND          ((int64_t)1000000)
#define SWITCHES_MAX    2
#define TICKET_MEMBER   "{\"ticket\":" /* what a task's JSON begins with */
#define DRAIN_LIMIT_MS  25000
#define RATE_STARTS_MAX 4096

typedef struct world_t world_t;

typedef enum { PROC_BROKER, PROC_FETCHER, PROC_EXECUTOR, PROC_UPLOADER } proc_kind_t;
typedef enum { SOCK_CONTROL, SOCK_TASKS_IN, SOCK_RESULTS_IN, SOCK_WORKER, SOCKETS } sock_t;

/* What stands for a task's JSON or a result's. */
typedef enum { DOC_NONE, DOC_TASK, DOC_RESULT, DOC_ERROR, DOC_OCTETS } doc_kind_t;
typedef struct {
    doc_kind_t kind;
    uint32_t ticket; /* of DOC_OCTETS their count */
    uint32_t run;    /* of an executor's result: which start at the tool it is from */
} doc_t;

/* A task as AC handed it out once. */
typedef struct {
    uint32_t id; /* AC's taskId; two tickets may share one */
    uint8_t method;
    bool refused;        /* AC will never take its result */
    bool failing;        /* AC answers its result 5xx as long as others are not settled */
    int32_t lifetime_ms; /* from its handing out to its expiry */
    int64_t release_us;  /* AC has it from then on */
    bool handed, read, dead_connection, held_already;
    bool at_risk;                       /* was with a fetcher that died, not yet in the inbox */
    uint64_t fetch_instance, fetch_seq; /* as the fetcher named it last */
    int64_t read_us;                    /* when its answer was read */
    uint64_t number;
    uint32_t taken; /* times the journal took it in */
    uint32_t starts, delivered;
    bool answered; /* an uploader has read that AC has its result, and the machine has not gone down since */
    bool buried, gone;
    uint8_t ordered; /* order_t: what a person has said of its buried result, and is not committed yet */
    doc_t stored;    /* the result that the journal has, or has had */
} ticket_t;

/* A request to AC, open from its start until our side closes the connection. */
typedef struct {
    bool open, served, stale;
    int proc;
    ac_line_t *line; /* whose request it is; lives as long as the process */
    uint32_t life;
    uint64_t tag; /* distinguishes the uses of this place */
    uint8_t call, outcome;
    uint16_t status;
    int64_t retry_after_ms, started_us, poll_end_us;
    doc_t doc; /* sent, or handed out */
    bool found;
} flight_t;

/* A thing a worker holds. */
typedef struct {
    uint64_t number, session, tag;
    uint32_t attempt;
    uint16_t flags;
    uint8_t phase; /* phase_t */
    bool claimed, returned;
    doc_t doc;
    int64_t repeat_ms, deadline_ms;
    run_t *run; /* of a large result, whose body goes first; owned */
} item_t;

/* A file of the fetcher's inbox. */
typedef struct {
    uint64_t instance, seq;
    void *header, *task; /* owned */
    size_t header_bytes, task_bytes;
} fetch_file_t;

/* What the programs' own code is given as its link to the broker and its door to AC. */
struct link_t {
    world_t *world;
    int proc;
};
struct ac_door_t {
    world_t *world;
    int proc;
};

/* A dead man's switch. */
typedef struct {
    bool armed, waits; /* waits: an event will look at it */
    int64_t deadline_ms;
} switch_t;

typedef struct fetcher_parts_t fetcher_parts_t;
typedef struct uploader_parts_t uploader_parts_t;
typedef struct executor_parts_t executor_parts_t;

/* A worker's memory: lost with its process. */
typedef struct {
    uint64_t session, hello_seq, beat_seq;
    int64_t hello_ms, beat_ms, heard_ms, drain_ms;
    item_t items[ITEMS_MAX];
    uint32_t item_count;
    struct {
        uint64_t session, number;
        uint32_t attempt;
    } past[PAST_MAX]; /* what it has had: a TASK that comes twice is no second task */
    uint32_t past_count;
    link_t link;
    ac_door_t door;
    switch_t switches[SWITCHES_MAX];
    int switch_count;
    fetcher_parts_t *fetcher;   /* of a fetcher */
    uploader_parts_t *uploader; /* of an uploader */
    executor_parts_t *executor; /* of an executor */
    bool bye;
} peer_t;

typedef struct sim_event_t sim_event_t;
typedef void (*action_t)(world_t *world, sim_event_t *event);
struct sim_event_t {
    heap_node_t node;
    action_t action;
    int proc;      /* whose event: it waits while the process stands still */
    uint32_t life; /* of that process; 0: whatever its life */
    uint64_t value;
    void *data; /* owned by the action */
    sim_event_t *next;
};

typedef struct {
    proc_kind_t kind;
    int index;
    char name[12];
    uint64_t instance, place;
    uint32_t life; /* counts its starts */
    bool alive, stopped, draining;
    bool doomed; /* crashed amid a step: nothing more that it does counts */
    int drift_ppm;
    int64_t clock_us;   /* added to its clock */
    sim_event_t *timer; /* its only one */
    bool timer_late;    /* it ran out while the process stood still */
    int64_t cut_until_us;
    bool cut_loses, cut_out, cut_in; /* which way */
    int64_t cont_us;                 /* when it went on after it had stood still */
    int64_t first_us;                /* when it starts for the first time */
    int64_t started_us;              /* when it started last */
    int64_t died_us, pipe_us;        /* what was to arrive after pipe_us died with it */
    int sends_left;                  /* it crashes after so many sends; -1: not set */
    uint16_t slots;
    sim_event_t *waiting, **waiting_end; /* while it stands still */
    peer_t peer;
} proc_t;

/* What a seed chooses. */
typedef struct {
    int ac_max, executors, uploaders;
    uint32_t rate, lookahead, task_queue, response_queue, threshold;
    redeliver_t redeliver;
    uint16_t slots;
    uint32_t tasks, loss_ppm, repeat_ppm, late_ppm, ac_fail_percent;
    int64_t delay_us, chaos_us, fault_gap_us, poll_us, tool_us, upload_us, commit_us;
    uint64_t spool_bytes;
    bool fifo, drift, eager, reboots, disk_full, heavy, flood;
    uint32_t failing; /* so many tickets, the first */
} plan_t;

typedef struct broker_t broker_t;
typedef struct journal_t journal_t;
typedef struct spool_t spool_t;

struct world_t {
    uint64_t seed, random;
    plan_t plan;
    int64_t now_us, wall_us;
    uint64_t order, tags;
    heap_t events;
    sim_event_t *free_events;
    proc_t procs[PROCS_MAX];
    int proc_count;
    int64_t last_us[PROCS_MAX][SOCKETS][2];
    broker_t *broker;
    journal_t *journal;
    spool_t *spool;  /* outlives the broker and the machine */
    int64_t boot_us; /* virtual time of the machine's last boot */
    /* AC */
    ticket_t tickets[TICKETS_MAX];
    uint32_t ticket_count, next_id;
    flight_t requests[REQUESTS_MAX];
    int64_t starts_us[RATE_STARTS_MAX]; /* of the latest AC requests */
    uint32_t start_count, minute_count; /* in all; those at least a minute old */
    /* the fetcher's inbox file */
    fetch_file_t inbox[INBOX_MAX];
    uint32_t inbox_count;
    /* the fetcher's window: survives its process, and the machine by chance only */
    bool has_window;
    fetch_file_t window[WINDOW_SLOTS];
    /* the uploaders' notes of what AC has: survive their processes, and the machine by chance only; 0: none
     */
    uint64_t taken[TICKETS_MAX];
    int64_t disk_full_us; /* until then nothing can be written */
    int doomed;           /* the process that crashes when the event under way is over; 0: none */
    bool paused;          /* a person was told that fetching is paused, and has not had it resumed */
    unsigned unanswered;  /* orders to pause or resume that the broker has taken in and not answered yet */
    bool calm;            /* faults have ceased */
    int64_t calm_us;
    struct {
        uint32_t steps;   /* that the tasks have made in all */
        int64_t since_us; /* of the latest, or of the end of a wait that is long */
    } progress;
    /* the books */
    struct {
        uint64_t events, messages, lost_messages, repeated_messages, crashes, stops, switches, reboots, cuts;
        uint64_t delivered, delivered_again, buried, dead_connections, lost_with_fetcher, held_already;
        uint64_t disk_full, drains, requests, uploader_losses, lost_answers, taken_unanswered;
        uint64_t chunks, most_ahead;
        uint32_t most_in_flight, late_fetches, fullest_minute; /* AC requests in 60 s */
        int64_t most_still; /* without a step of any task in the calm; percent of what is allowed */
    } books;
    bool failed, done;
    char failure[512];
    FILE *trace; /* NULL: none */
};

/* sim_world.c */
int world_run(uint64_t seed, FILE *trace, world_t **world); /* 0 when every invariant held */
void world_destroy(world_t **self);
/* Runs `action` after `delay_us`; an event of a process that has died meanwhile is only freed. */
sim_event_t *world_after(world_t *world, int64_t delay_us, int proc, action_t action, uint64_t value);
uint64_t rnd(world_t *world, uint64_t below);
bool chance(world_t *world, uint32_t ppm);
int64_t proc_ms(const world_t *world, int proc); /* its clock */
bool proc_runs(const world_t *world, int proc);  /* it has not crashed */
void proc_timer(world_t *world, int proc, int64_t at_ms);
void proc_timer_late(world_t *world, int proc); /* after it stood still */
void proc_timer_stop(world_t *world, int proc);
void world_fail(world_t *world, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void world_trace(world_t *world, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define TRACE(world, ...)                                                                                    \
    do {                                                                                                     \
        if ((world)->trace) world_trace(world, __VA_ARGS__);                                                 \
    } while (0)

/* sim_plan.c */
void plan_choose(world_t *world);
void plan_tasks(world_t *world);

/* sim_proc.c */
void proc_start(world_t *world, int proc);
void proc_kill(world_t *world, int proc, const char *why);
void proc_restart(world_t *world, int proc, int64_t delay_us);
void proc_exit(world_t *world, int proc); /* by itself, after a drain */
void proc_tick(world_t *world, int proc);
void faults_begin(world_t *world);

/* sim_net.c */
void net_send(world_t *world, int from, int to, sock_t sock, const msg_t *msg, doc_t doc);
void net_free(void *data); /* of an event that did not come to pass; accepts NULL */

/* sim_broker.c */
typedef struct {
    int from;
    uint64_t instance; /* of the sender */
    sock_t sock;
    doc_t doc;
    msg_t msg;
} letter_t;
int broker_start(world_t *world);
void broker_crash(world_t *world);
void broker_receive(world_t *world, letter_t *letter); /* takes it */
void broker_tick(world_t *world);
void broker_arm(world_t *world, int point); /* 1 before a commit, 2 after one, 3 amid sending */
core_t *broker_core(world_t *world);
bool broker_rests(const world_t *world);         /* no turn is under way, nor what it has to say */
void broker_by_hand(world_t *world, bool drain); /* as `sluice drain` and `sluice resume` */
void broker_stop(world_t *world);                /* SIGTERM */
void broker_destroy(world_t *world);

/* sim_journal.c */
typedef struct {
    task_image_t image;
    char id[16], method[8];
    doc_t doc;
    bool body;           /* its result's is in the spool */
    uint64_t claimed_by; /* before or in the latest commit, even if given back in it */
    bool used;
} row_t;
int journal_open(world_t *world);
void journal_destroy(world_t *world);
void journal_begin(world_t *world); /* of a commit */
void journal_apply(world_t *world, record_t *record);
int journal_restore(world_t *world, core_t **core, moment_t now);
const row_t *journal_find(const world_t *world, uint64_t number);
const row_t *journal_find_ticket(const world_t *world, uint32_t ticket);
const row_t *journal_find_id(const world_t *world, uint32_t id);
uint64_t journal_epoch(const world_t *world);
bool journal_knows(const world_t *world, uint64_t instance); /* an executor or uploader that has a session */
/* Now, or before the latest commit. */
bool journal_has_credit(const world_t *world, uint64_t credit, uint16_t budget);
bool journal_has_fetch(const world_t *world, uint64_t instance, uint64_t seq);
bool journal_has_pause(const world_t *world); /* by hand */

/* sim_bodies.c */
bool sim_bodies_start(world_t *world); /* with the broker */
void sim_bodies_end(world_t *world);
void sim_bodies_destroy(world_t *world);
void sim_bodies_announced(world_t *world, uint64_t peer, const msg_body_t *body);
void sim_bodies_chunk(world_t *world, const msg_chunk_t *chunk, uint64_t size);
bool sim_bodies_result(world_t *world, const msg_result_t *result);
void sim_bodies_turn(world_t *world);
int64_t sim_bodies_due_ms(const world_t *world);
void sim_bodies_committed(world_t *world, const record_t *record);
void sim_bodies_check_stored(world_t *world, const row_t *row);
void sim_bodies_check_sent(world_t *world, const msg_chunk_t *chunk, uint64_t size);
void sim_bodies_check_end(world_t *world);
int64_t sim_body_bytes(const world_t *world, uint64_t number); /* of one in the spool; -1: none */

#define FAILING_TRIES 7 /* of a result that AC fails on: from then on it waits for over 5 minutes */
#define OTHERS_US     (1000 * SECOND) /* when the tasks come that are to go past such results */
#define GIVEN_UP_US   (200 * SECOND)  /* which takes five tries, or as many probes of a closed gate */
bool ac_fails_on(const world_t *world, const ticket_t *ticket);

/* sim_check.c */
void check_turn(world_t *world, effects_t *fx);
void check_out(world_t *world, const out_t *out);
void check_ac_start(world_t *world, call_t call, doc_t doc);
void check_tool_start(world_t *world, int proc, const item_t *item);
void check_end(world_t *world);
bool all_settled(world_t *world);
bool ticket_settled(const ticket_t *ticket);
bool ticket_over(const ticket_t *ticket); /* settled, or nobody's */

/* sim_check_journal.c */
void check_committed(world_t *world, const record_t *record); /* before it is applied */
void check_obeyed(world_t *world);                            /* when a turn is committed */
void check_delivered(world_t *world, doc_t doc);

/* sim_progress.c */
void progress_begin(world_t *world);

/* model_ac.c */
#define LOGS_LIFETIME   8  /* rest by 50 of the lifetime of a ticket that asks for the agent's logs */
#define NO_URL_LIFETIME 7  /* likewise of one without a URL */
#define LARGE_CHUNKS    24 /* at most */
#define LARGE_LIFETIME  9  /* likewise of one with a large answer */
bool ticket_is_large(const ticket_t *ticket);
bool ticket_is_invalid(const ticket_t *ticket);                       /* it has no URL */
uint64_t ticket_length(const world_t *world, const ticket_t *ticket); /* of its large body */
bool ticket_is_logs(const ticket_t *ticket);                          /* it asks for the agent's logs */
int ac_start(world_t *world, int proc, ac_line_t *line, call_t call, doc_t doc); /* index of the request */
void ac_told(world_t *world, uint32_t ticket, uint64_t instance, uint64_t seq);  /* FETCHED goes out */
void ac_accepted(world_t *world, const msg_accepted_t *accepted);                /* and was answered */
void ac_close(world_t *world, int request);                                      /* our side closes it */
void ac_close_all(world_t *world, int proc);
bool method_idempotent(uint8_t method);
const char *method_name(uint8_t method);

/* model_peer.c: what all workers do */
void peer_start(world_t *world, int proc);
void peer_receive(world_t *world, int proc, const letter_t *letter);
void peer_tick(world_t *world, int proc);
void peer_end(world_t *world, int proc); /* frees what its code had */
void peer_reconnected(world_t *world, int proc);
void peer_drain(world_t *world, int proc);
void peer_send(world_t *world, int proc, sock_t sock, const msg_t *msg, doc_t doc);
void peer_ref(world_t *world, int proc, msg_type_t type, const item_t *item);
item_t *peer_item(peer_t *peer, uint64_t number);
void peer_forget(peer_t *peer, item_t *item);
bool peer_had(const peer_t *peer, const msg_task_t *task);

/* stand_ins.c */
/* Whether the fetcher's window has the ticket's task; and what happens to one of its slots. */
bool stand_in_window_has(const world_t *world, uint32_t ticket);
void stand_in_window_empty(world_t *world, int slot);
void stand_in_enter(world_t *world, int proc); /* whose code runs now */
void ac_line_ended(ac_line_t *line, const ac_answer_t *answer);

/* model_fetcher.c */
void fetcher_start(world_t *world, int proc);
void fetcher_end(fetcher_parts_t **self);
void fetcher_tick(world_t *world, int proc);
int64_t fetcher_due(const world_t *world, int proc);
uint64_t fetcher_credit(const fetcher_parts_t *self);
bool fetcher_idle(const fetcher_parts_t *self);
void fetcher_welcome(world_t *world, int proc, const msg_welcome_t *welcome);
void fetcher_message(world_t *world, int proc, const msg_t *msg);

/* model_executor.c */
void executor_start(world_t *world, int proc);
void executor_end(peer_t *peer);
void executor_drop_run(peer_t *peer, item_t *item);
int64_t executor_due(const world_t *world, int proc);
void executor_task(world_t *world, int proc, const letter_t *letter);
void executor_message(world_t *world, int proc, const msg_t *msg);
void executor_tick(world_t *world, int proc);
void executor_welcome(peer_t *peer, const msg_welcome_t *welcome);

/* model_person.c */
void person_begin(world_t *world);
void person_heard(world_t *world, const msg_t *msg); /* the broker takes it in now */
void person_answered(world_t *world, const msg_t *msg);
void person_forgotten(world_t *world); /* with the broker */

/* model_uploader.c */
void uploader_start(world_t *world, int proc);
void uploader_end(uploader_parts_t **self);
void uploader_tick(world_t *world, int proc);
int64_t uploader_due(const world_t *world, int proc);
uint64_t uploader_credit(const uploader_parts_t *self);
bool uploader_idle(const uploader_parts_t *self);
uint32_t uploader_held(const uploader_parts_t *self, msg_held_t *held, uint32_t max);
void uploader_welcome(world_t *world, int proc, const msg_welcome_t *welcome);
void uploader_task(world_t *world, int proc, const letter_t *letter);
void uploader_message(world_t *world, int proc, const msg_t *msg);

#endif
