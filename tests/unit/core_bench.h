/* A core with nobody around it: what a test says comes in, and it looks at what goes out. */
#ifndef SLUICE_TESTS_UNIT_CORE_BENCH_H
#define SLUICE_TESTS_UNIT_CORE_BENCH_H

#include "broker/core.h"

#define EXECUTOR  0xe1u
#define EXECUTOR2 0xe2u
#define UPLOADER  0x71u
#define FETCHER   0xf1u

typedef struct {
    core_t *core;
    effects_t *fx;
    moment_t now;
    uint64_t hello_seq, fetch_seq;
    uint64_t key;       /* of the connection by which messages come; 0: local */
    uint64_t doc_bytes; /* of the documents that come; 0 for 1 */
    uint64_t beat_seq;  /* of the latest HEARTBEAT, whoever sent it */
    uint64_t credit;    /* that HELLO names */
} bench_t;

void bench_open(bench_t *b, redeliver_t redeliver);
/* With settings of the test's own; those that every core needs are filled in. */
void bench_open_with(bench_t *b, core_settings_t *settings);
void bench_start(bench_t *b);                        /* after what is restored */
void bench_begin(bench_t *b, redeliver_t redeliver); /* both, with nothing to restore */
void bench_close(bench_t *b);
void bench_later(bench_t *b, int64_t ms); /* time passes and the core ticks, second by second; effects stay */

/* One message, in effects of its own unless `keep`. */
void bench_say(bench_t *b, uint64_t peer, const msg_t *msg);
void bench_tick(bench_t *b);
void bench_not_pushed(bench_t *b, const out_t *push); /* what was pushed could not be read */
void bench_clear(bench_t *b);

/* The first message of the type to the peer, the first record of the type; NULL when there is none. */
const msg_t *bench_heard(bench_t *b, uint64_t peer, msg_type_t type);
const out_t *bench_out(bench_t *b, out_type_t type, uint64_t peer);
const record_t *bench_record(bench_t *b, record_type_t type);

/* HELLO with what is held, then a heartbeat; returns the session. */
uint64_t bench_join(bench_t *b, role_t role, uint64_t instance, uint64_t place, const msg_held_t *held,
                    uint32_t count);
void bench_beat(bench_t *b, uint64_t peer, uint64_t session, const uint64_t *held, uint32_t count);
/* FETCHED of a new task; returns its number, 0 when it is none. */
uint64_t bench_fetch(bench_t *b, const char *id, const char *method, uint16_t flags);
void bench_ref(bench_t *b, uint64_t peer, msg_type_t type, uint64_t session, uint64_t number,
               uint32_t attempt);
void bench_result(bench_t *b, uint64_t session, uint64_t number, uint32_t attempt);
void bench_result_flags(bench_t *b, uint64_t session, uint64_t number, uint32_t attempt, uint16_t flags);
void bench_uploaded(bench_t *b, uint64_t session, uint64_t number, uint32_t attempt, outcome_t outcome);
/* An executor that has claimed a new task; returns the number. */
uint64_t bench_claimed(bench_t *b, uint64_t *session, const char *method, uint16_t flags);
/* An uploader that has claimed the result of a new task; returns the number. */
uint64_t bench_uploading(bench_t *b, uint64_t *session);
/* The state, or TASK_STATES when the core does not have the task. */
task_state_t bench_state(bench_t *b, uint64_t number);

#endif
