/* The AC gate: how many requests a credit may have, of the room there is and of the minute's units. */
#include "broker/ac_budget.h"

#define PLENTY 1000 /* units of the rate window with which nobody need be sparing */

uint32_t gate_rate_free(const ac_gate_t *gate, int64_t now_ms) {
    uint32_t taken = rate_used(&gate->window, now_ms);
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        if (gate->credits[i].credit) taken += (uint32_t)(gate->credits[i].budget - gate->credits[i].used);
    return taken < gate->rate ? gate->rate - taken : 0;
}

uint32_t gate_fetch_outstanding(const ac_gate_t *gate) {
    uint32_t outstanding = gate->late_units;
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        const credit_t *c = &gate->credits[i];
        if (c->credit && c->stage == CREDIT_FETCH && c->budget > c->ended)
            outstanding += (uint32_t)(c->budget - c->ended);
    }
    return outstanding;
}

uint16_t gate_most_used(const credit_t *credit) {
    return credit->used > credit->came ? credit->used : credit->came;
}

uint16_t gate_known_used(const credit_t *credit) {
    uint16_t used = gate_most_used(credit);
    bool under_way = credit->stage == CREDIT_FETCH && credit->ended < used; /* its tasks need room still */
    return under_way ? credit->ended : used;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

bool gate_flows(const ac_gate_t *gate, int64_t now_ms) {
    return gate->fetch_ms != 0 && now_ms < gate->fetch_ms + GATE_FLOW_MS;
}

uint32_t gate_fetch_budget(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    if (now_ms < gate->fetch_pause_ms) return 0;
    if (now_ms >= gate->late_ms) gate->late_units = 0;
    uint32_t outstanding = gate_fetch_outstanding(gate);
    uint32_t room = view->fetch_room > outstanding ? view->fetch_room - outstanding : 0;
    if (room < view->fetch_least && gate_flows(gate, now_ms)) return 0;
    uint32_t rate = gate_rate_free(gate, now_ms);
    uint32_t reserve = least(view->held, gate->rate > 1 ? gate->rate - 1 : 0);
    rate = rate > reserve ? rate - reserve : 0;
    return least(least(room, rate), CREDIT_BUDGET_MAX);
}

uint32_t gate_upload_budget(const ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    uint32_t free = gate_rate_free(gate, now_ms), wanted = view->waiting ? view->waiting : 1;
    if (free >= PLENTY) wanted = CREDIT_BUDGET_MAX; /* more results will come; what is not used comes back */
    return least(least(free, wanted), CREDIT_BUDGET_MAX);
}
