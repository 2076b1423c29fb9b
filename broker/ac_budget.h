/* How many requests a credit may have: the gate's own part, for ac_gate.c only. */
#ifndef SLUICE_BROKER_AC_BUDGET_H
#define SLUICE_BROKER_AC_BUDGET_H

#include "broker/ac_gate.h"

static inline uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* What of a credit is used, as its holder has said, or as what came of it tells. */
uint16_t gate_most_used(const credit_t *credit);
/* Tasks are on their way in: the room that the next ones find will soon be larger. */
bool gate_flows(const ac_gate_t *gate, int64_t now_ms);
uint32_t gate_fetch_budget(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms);
/* A probe is one request, for which no result has to wait: it tells soonest of AC that it is well. */
bool gate_fetch_may_probe(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms);
uint32_t gate_upload_budget(const ac_gate_t *gate, const gate_view_t *view, int64_t now_ms);

#endif
