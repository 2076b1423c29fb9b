/* The AC gate: how many requests a credit may have, of the room there is and of the minute's units. */
#include "broker/ac_budget.h"

#define PLENTY 1000 /* units of the rate window with which nobody need be sparing */

uint32_t gate_rate_free(const ac_gate_t *gate, int64_t now_ms) {
    uint32_t taken = rate_used(&gate->window, now_ms);
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        if (gate->credits[i].credit) taken += (uint32_t)(gate->credits[i].budget - gate->credits[i].dated);
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
    bool under_way = credit->stage == CREDIT_FETCH && credit->ended < credit->dated; /* need room still */
    return under_way ? credit->ended : credit->dated;
}

bool gate_flows(const ac_gate_t *gate, int64_t now_ms) {
    return gate->fetch_ms != 0 && now_ms < gate->fetch_ms + GATE_FLOW_MS;
}

/* The room for tasks that are not on their way yet. */
static uint32_t fetch_room(const ac_gate_t *gate, const gate_view_t *view) {
    uint32_t outstanding = gate_fetch_outstanding(gate);
    return view->fetch_room > outstanding ? view->fetch_room - outstanding : 0;
}

/* What upload credits may still use, and what of them is not in the window yet. */
static uint32_t upload_units(const ac_gate_t *gate, uint32_t *undated) {
    uint32_t units = 0;
    *undated = 0;
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        const credit_t *c = &gate->credits[i];
        if (!c->credit || c->stage != CREDIT_UPLOAD) continue;
        units += (uint32_t)(c->budget - c->used);
        *undated += (uint32_t)(c->budget - c->dated);
    }
    return units;
}

/* Units that fetching leaves for results. Those that wait have one each, and tasks, of which many may run for
 * long, a quarter of the minute's together. A quarter is fetching's, whatever waits: what uploads have used
 * in the minute, or been granted, is of the other three. */
static uint32_t reserve(const ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    uint32_t undated, quarter = gate->rate < 4 ? 1 : gate->rate / 4, granted = upload_units(gate, &undated);
    uint32_t had = rate_used(&gate->window, now_ms) - rate_used(&gate->fetched, now_ms) + undated;
    uint32_t part = gate->rate - quarter;
    uint32_t wanted = view->waiting > granted ? view->waiting - granted : 0;
    return least(wanted + least(view->coming, quarter), part > had ? part - had : 0);
}

/* What fetching could use, were it alone. */
static uint32_t fetch_use(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    if (now_ms < gate->fetch_pause_ms) return 0;
    if (now_ms >= gate->late_ms) gate->late_units = 0;
    uint32_t room = fetch_room(gate, view);
    return room < view->fetch_least && gate_flows(gate, now_ms) ? 0 : room;
}

uint32_t gate_fetch_budget(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    uint32_t room = fetch_use(gate, view, now_ms);
    if (room == 0) return 0;
    uint32_t rate = gate_rate_free(gate, now_ms), kept = reserve(gate, view, now_ms);
    rate = rate > kept ? rate - kept : 0;
    return least(least(room, rate), CREDIT_BUDGET_MAX);
}

bool gate_fetch_may_probe(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    return fetch_use(gate, view, now_ms) > 0 && gate_rate_free(gate, now_ms) > 0;
}

const char gate_units_kept[] = "the rate limit's minute: what is left of it is for results";

bool gate_keeps_units(const ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        if (gate->credits[i].credit && gate->credits[i].stage == CREDIT_FETCH) return false;
    return gate_rate_free(gate, now_ms) <= reserve(gate, view, now_ms) && fetch_room(gate, view) > 0 &&
           now_ms >= gate->fetch_pause_ms;
}

uint32_t gate_upload_budget(const ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    uint32_t free = gate_rate_free(gate, now_ms), wanted = view->waiting ? view->waiting : 1;
    if (free >= PLENTY) wanted = CREDIT_BUDGET_MAX; /* more results will come; what is not used comes back */
    return least(least(free, wanted), CREDIT_BUDGET_MAX);
}
