/* A gate with nobody around it: what a test says is wanted, and it looks at what is granted. */
#ifndef SLUICE_TESTS_UNIT_GATE_BENCH_H
#define SLUICE_TESTS_UNIT_GATE_BENCH_H

#include "broker/ac_gate.h"

#define FETCHER   1
#define UPLOADER  2
#define UPLOADER2 3
#define UNCLAIMED 99 /* an uploader that has claimed nothing */

typedef struct {
    ac_gate_t gate;
    gate_view_t view;
    int64_t now;
    uint64_t seq;
} bench_t;

/* There is room for ten tasks, and five results wait. */
void bench_open(bench_t *b, int max, uint32_t rate);
void want(bench_t *b, uint64_t holder, uint8_t stage);
credit_t *decide(bench_t *b);
credit_t *expect(bench_t *b, uint8_t stage, uint64_t holder, unsigned budget);
void release(bench_t *b, credit_t *c, uint16_t used);
bool outcome(bench_t *b, call_t call, outcome_t what, uint64_t number);

#endif
