/* The AC gate: every AC request of the agent is made under a credit that this object has granted. It keeps to
 * the number of requests in flight, to the rate window and to AC's pauses. Pure: takes the time as an
 * argument; the core turns its decisions into records and messages.
 *
 * The credits are those of docs/PROTOCOL.md section 4 and AC contract section 1. Times are boot time in ms.
 */
#ifndef SLUICE_BROKER_AC_GATE_H
#define SLUICE_BROKER_AC_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/rate_window.h"
#include "common/messages.h"

#define GATE_CREDITS_MAX    2
#define GATE_WANTS_MAX      64
#define GATE_WANT_MS        1500 /* a WANT older than this is forgotten */
#define GATE_LONG_UPLOAD_MS 2000
#define GATE_PROBE_MS       30000
#define GATE_LATE_MS        1000    /* how long the tasks of a released fetch credit may take to come */
#define GATE_PAUSE_MAX_MS   3600000 /* no Retry-After of AC counts for more */
#define GATE_FLOW_MS        10      /* for so long after a fetch credit tasks are taken to flow */

typedef struct {
    uint64_t credit; /* 0: unused */
    uint64_t holder; /* instance */
    uint64_t session;
    uint8_t stage; /* CREDIT_FETCH or CREDIT_UPLOAD */
    bool revoked;
    bool recovered; /* from the journal; its holder has not come back */
    bool disowned;  /* its holder has come back and named none */
    bool probe;
    uint16_t budget; /* in all, from the credit's beginning, as are the next four */
    uint16_t used;   /* begun, as reported */
    uint16_t dated;  /* of these, known to have ended: they are in the rate window */
    uint16_t came;   /* tasks and results that have come of it: so many are used, whatever was reported */
    uint16_t ended;  /* get-task calls known to have ended: their task came, or a report */
    int64_t granted_ms, renewed_ms, progress_ms; /* progress: when `used` changed last */
} credit_t;

typedef struct {
    uint64_t holder; /* 0: unused */
    uint64_t session, seq;
    uint8_t stage;
    int64_t at_ms, since_ms; /* the latest of its repetitions, and the first */
} want_t;

typedef enum { GATE_OPEN, GATE_CLOSED } gate_state_t;

typedef struct {
    /* settings */
    int max;       /* 1 or 2 */
    uint32_t rate; /* per 60 s */
    /* state */
    credit_t credits[GATE_CREDITS_MAX];
    want_t wants[GATE_WANTS_MAX];
    rate_window_t window;
    rate_window_t fetched; /* of that, what get-task has used; not journaled */
    uint64_t next_credit;
    uint64_t random;
    uint8_t last_stage; /* of the latest grant, for taking turns */
    gate_state_t state;
    uint32_t probe_failures;
    int64_t probe_ms;                    /* closed: the next probe */
    int64_t pause_ms;                    /* all calls wait until then; 0 for none */
    int64_t fetch_pause_ms;              /* get-task waits until then */
    uint32_t fetch_failures;             /* 5xx of get-task in a row */
    uint64_t failed_call, failed_number; /* the latest failure since the latest success; 0 for none */
    uint64_t news_credit; /* what came of an older credit, which is over, is older than the latest failure */
    uint64_t alone;       /* a result whose failure says nothing of AC; 0 for none */
    uint32_t late_units;  /* get-task calls of released credits whose task has not come yet */
    int64_t late_ms;      /* when they are no longer waited for */
    int64_t fetch_ms;     /* when a fetch credit was granted or released last */
    bool seen_ok, seen_failure;
    int64_t ok_wall_ms, error_wall_ms;
    char error[256]; /* of the latest failure */
} ac_gate_t;

/* What the gate has to know of the rest to decide. */
typedef struct {
    uint32_t fetch_room;  /* tasks the system can still take, credits out not counted off */
    uint32_t fetch_least; /* of that, what is worth a credit while tasks flow */
    uint32_t waiting;     /* results in the upload stage, but for those given up whose next try is far */
    uint32_t coming;      /* tasks that will be results */
    bool (*claimed)(void *ctx, uint64_t holder); /* whether the uploader has claimed a result */
    bool (*present)(void *ctx, uint64_t holder, uint64_t session); /* whether the session lasts */
    void *ctx;
} gate_view_t;

void gate_init(ac_gate_t *gate, int max, uint32_t rate, uint64_t seed, uint64_t next_credit);
/* A credit of the journal, after a restart, with its number, holder, stage, budget and use: occupies its
 * place until 1.25 ttl from now or until its holder is back. */
void gate_restore(ac_gate_t *gate, const credit_t *credit, int64_t now_ms);

void gate_want(ac_gate_t *gate, uint64_t holder, uint64_t session, uint64_t seq, uint8_t stage,
               int64_t now_ms);
void gate_forget_wants(ac_gate_t *gate, uint64_t holder);
/* The next credit to grant now, NULL for none; call again until NULL. *seq is that of the WANT it answers. */
credit_t *gate_decide(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms, uint64_t *seq);
/* A credit out that has got a larger budget, so that its holder need not stop, as a new one would be granted
 * now; NULL for none. Call again until NULL. *bucket is the changed bucket of the rate window, or -1. */
credit_t *gate_raise(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms, int *bucket);
/* What of its budget is certainly used, and in the rate window: for the journal. */
uint16_t gate_known_used(const credit_t *credit);
/* A credit that ought to come back, not told so yet: marks it revoked and returns it with the reason; NULL
 * for none. */
credit_t *gate_recall(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms, uint8_t *reason);

credit_t *gate_find(ac_gate_t *gate, uint64_t credit);
/* Credits that are out: of a stage, or all for 0. */
int gate_count(const ac_gate_t *gate, uint8_t stage);
/* The holder is back under a new session: true when the credit is still its own. */
bool gate_rejoin(ac_gate_t *gate, uint64_t credit, uint64_t holder, uint64_t session, int64_t now_ms);
/* The holder is back, and with `all` it holds none: what it was granted it never read, or gave back to
 * nobody. */
void gate_disown(ac_gate_t *gate, uint64_t holder, bool all);
/* A credit that its holder has disowned, as gate_expired(). */
credit_t *gate_disowned(ac_gate_t *gate, uint64_t holder, int64_t now_ms, int *bucket);
/* Takes the use that was reported. What has ended of it goes into the rate window: all but the latest, for of
 * a credit one request is under way at a time. That one stays a granted unit: it may come to AC long after it
 * was begun, but not after its end. Returns the changed bucket, or -1. */
int gate_used(ac_gate_t *gate, credit_t *credit, uint16_t used, int64_t now_ms);
/* The same once nothing is under way any more. */
int gate_all_ended(ac_gate_t *gate, credit_t *credit, uint16_t used, int64_t now_ms);
/* Ends a credit: the rest of its budget is free again. */
void gate_release(ac_gate_t *gate, credit_t *credit, int64_t now_ms);
/* A get-task call under the credit has ended: its task has come, or a report of its failure or emptiness. */
void gate_fetch_ended(ac_gate_t *gate, uint64_t credit);
/* A task or a result has come that was got or posted under the credit. */
void gate_came(ac_gate_t *gate, uint64_t credit);
/* Whether what came of the credit tells how AC is now. */
bool gate_is_news(ac_gate_t *gate, uint64_t credit);
/* A credit whose time is over (1.25 ttl after its last renewal), its whole budget put into the window; NULL
 * for none. The caller journals it and calls gate_release(). *bucket is the changed bucket. */
credit_t *gate_expired(ac_gate_t *gate, int64_t now_ms, int *bucket);

/* The outcome of a call: sets the pauses, opens or closes the gate. `number` is the task's, 0 for get-task.
 * `elapsed_ms` matters for an empty get-task. Returns true when the state open/closed changed. */
bool gate_report(ac_gate_t *gate, call_t call, outcome_t outcome, uint64_t number, int64_t retry_after_ms,
                 uint32_t elapsed_ms, int64_t now_ms);

/* Units that may still be granted now. */
uint32_t gate_rate_free(const ac_gate_t *gate, int64_t now_ms);
/* Budget of fetch credits that may still bring tasks. */
uint32_t gate_fetch_outstanding(const ac_gate_t *gate);
/* When the gate needs a look by time alone; INT64_MAX for never. */
int64_t gate_next_ms(const ac_gate_t *gate, int64_t now_ms);
/* What the gate waits for, for status: a constant text. */
const char *gate_waits_for(const ac_gate_t *gate, const gate_view_t *view, int64_t now_ms);
/* Fetching has room and waits, for what is left of the minute, if anything, is kept for results; and what is
 * said then. */
bool gate_keeps_units(const ac_gate_t *gate, const gate_view_t *view, int64_t now_ms);
extern const char gate_units_kept[];
/* No result waits, and nothing may be fetched: what gate_waits_for() says then. */
extern const char gate_no_room[];

#endif
