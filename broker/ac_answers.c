/* The AC gate: what AC's answers mean for the calls that follow. */
#include "broker/ac_gate.h"
#include "broker/backoff.h"

static bool gate_close(ac_gate_t *gate, int64_t now_ms) {
    bool changed = gate->state != GATE_CLOSED;
    gate->state = GATE_CLOSED;
    gate->probe_ms = now_ms + backoff_probe_ms(++gate->probe_failures);
    return changed;
}

static bool gate_success(ac_gate_t *gate, call_t call) {
    bool changed = gate->state == GATE_CLOSED;
    gate->state = GATE_OPEN;
    gate->probe_failures = 0;
    gate->failed_call = 0;
    gate->seen_ok = true;
    if (call == CALL_GET_TASK) gate->fetch_failures = 0;
    return changed;
}

/* The probe has told nothing of AC: another goes when that one's wait is up. */
static void probe_again(ac_gate_t *gate, int64_t now_ms) {
    if (gate->state == GATE_CLOSED) gate->probe_ms = now_ms + backoff_probe_ms(gate->probe_failures);
}

/* A failure that says nothing of one result alone closes the gate when two different calls meet it in a row.
 * One of a result that has been given up is no such failure. */
static bool gate_failure(ac_gate_t *gate, call_t call, uint64_t number, int64_t now_ms) {
    bool other =
        gate->failed_call != 0 && (gate->failed_call != (uint64_t)call || gate->failed_number != number);
    gate->seen_failure = true;
    if (number != 0 && number == gate->alone) {
        probe_again(gate, now_ms);
        return false;
    }
    gate->failed_call = (uint64_t)call;
    gate->failed_number = number;
    gate->news_credit = gate->next_credit;
    if (gate->state == GATE_CLOSED || other) return gate_close(gate, now_ms);
    return false;
}

static void pause_until(int64_t *until, int64_t ms) {
    if (*until < ms) *until = ms;
}

static void fetch_waits(ac_gate_t *gate, outcome_t outcome, uint32_t elapsed_ms, int64_t now_ms) {
    int64_t wait = 5000;
    if (outcome == OUTCOME_SERVER)
        wait = backoff_fetch_ms(++gate->fetch_failures);
    else if (outcome == OUTCOME_EMPTY)
        wait = elapsed_ms < 1000 ? 1000 : 0;
    pause_until(&gate->fetch_pause_ms, now_ms + wait);
}

bool gate_report(ac_gate_t *gate, call_t call, outcome_t outcome, uint64_t number, int64_t retry_after_ms,
                 uint32_t elapsed_ms, int64_t now_ms) {
    bool fetch = call == CALL_GET_TASK;
    switch (outcome) {
    case OUTCOME_DONE:
        return gate_success(gate, call);
    case OUTCOME_EMPTY:
        fetch_waits(gate, outcome, elapsed_ms, now_ms);
        return gate_success(gate, call);
    case OUTCOME_REFUSED:
        if (fetch) fetch_waits(gate, outcome, elapsed_ms, now_ms);
        return fetch ? gate_failure(gate, call, number, now_ms) : gate_success(gate, call);
    case OUTCOME_BUSY:
        pause_until(&gate->pause_ms, now_ms + (int64_t)random_below(&gate->random, 10001));
        return false;
    case OUTCOME_LIMITED:
        pause_until(&gate->pause_ms, now_ms + (retry_after_ms >= 0 ? retry_after_ms : 2000));
        return false;
    case OUTCOME_DENIED:
        if (gate_failure(gate, call, number, now_ms)) return true;
        return fetch && gate->state == GATE_OPEN ? gate_close(gate, now_ms) : false;
    case OUTCOME_NOT_SENT:
    case OUTCOME_ABORTED: /* the agent's own doing: it says nothing of AC, and a probe is sent again */
        probe_again(gate, now_ms);
        return false;
    default: /* SERVER, NETWORK, MALFORMED, REDIRECT */
        if (fetch) fetch_waits(gate, outcome, elapsed_ms, now_ms);
        if (retry_after_ms >= 0) pause_until(&gate->pause_ms, now_ms + retry_after_ms);
        return gate_failure(gate, call, number, now_ms);
    }
}
