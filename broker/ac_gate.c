#include "broker/ac_budget.h"

#include <string.h>

#define LEASE_OVER_MS (CREDIT_TTL_MS + CREDIT_TTL_MS / 4)

void gate_init(ac_gate_t *gate, int max, uint32_t rate, uint64_t seed, uint64_t next_credit) {
    memset(gate, 0, sizeof *gate);
    gate->max = max;
    gate->rate = rate;
    gate->random = seed;
    gate->next_credit = gate->news_credit = next_credit;
}

static credit_t *unused(ac_gate_t *gate) {
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        if (gate->credits[i].credit == 0) return &gate->credits[i];
    return NULL;
}

void gate_restore(ac_gate_t *gate, const credit_t *credit, int64_t now_ms) {
    credit_t *c = unused(gate);
    if (c)
        *c = (credit_t){.credit = credit->credit,
                        .holder = credit->holder,
                        .stage = credit->stage,
                        .budget = credit->budget,
                        .used = credit->used,
                        .dated = credit->used,
                        .ended = credit->used,
                        .recovered = true,
                        .granted_ms = now_ms,
                        .renewed_ms = now_ms,
                        .progress_ms = now_ms};
    if (gate->next_credit <= credit->credit) gate->next_credit = credit->credit + 1;
}

/* --- wants --- */

void gate_want(ac_gate_t *gate, uint64_t holder, uint64_t session, uint64_t seq, uint8_t stage,
               int64_t now_ms) {
    want_t *place = NULL;
    for (int i = 0; i < GATE_WANTS_MAX; i++) {
        want_t *want = &gate->wants[i];
        if (want->holder == holder && want->stage == stage) {
            place = want;
            break;
        }
        if (!place && (want->holder == 0 || now_ms - want->at_ms > GATE_WANT_MS)) place = want;
    }
    if (!place) return;
    bool repeated = place->holder == holder && place->stage == stage && now_ms - place->at_ms <= GATE_WANT_MS;
    *place = (want_t){holder, session, seq, stage, now_ms, repeated ? place->since_ms : now_ms};
}

void gate_forget_wants(ac_gate_t *gate, uint64_t holder) {
    for (int i = 0; i < GATE_WANTS_MAX; i++)
        if (gate->wants[i].holder == holder) gate->wants[i].holder = 0;
}

/* The WANT of the stage that may be served and has waited longest, its repetitions included. */
static want_t *want_of(ac_gate_t *gate, const gate_view_t *view, uint8_t stage, int64_t now_ms) {
    want_t *oldest = NULL;
    for (int i = 0; i < GATE_WANTS_MAX; i++) {
        want_t *want = &gate->wants[i];
        if (want->holder == 0 || want->stage != stage || now_ms - want->at_ms > GATE_WANT_MS) continue;
        if (stage == CREDIT_UPLOAD && !view->claimed(view->ctx, want->holder)) continue;
        if (!oldest || want->since_ms < oldest->since_ms) oldest = want;
    }
    return oldest;
}

/* --- what may be granted --- */

int gate_count(const ac_gate_t *gate, uint8_t stage) {
    int n = 0;
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        n += gate->credits[i].credit != 0 && (stage == 0 || gate->credits[i].stage == stage);
    return n;
}

static bool is_long(const credit_t *c, int64_t now_ms) {
    return now_ms - c->progress_ms > GATE_LONG_UPLOAD_MS;
}

/* Whether an upload credit has been busy with one request for long. */
static bool long_upload(const ac_gate_t *gate, int64_t now_ms) {
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        const credit_t *c = &gate->credits[i];
        if (c->credit && c->stage == CREDIT_UPLOAD && !c->recovered && is_long(c, now_ms)) return true;
    }
    return false;
}

typedef struct {
    want_t *fetch, *upload;
    uint32_t fetch_units, upload_units;
} offer_t;

static offer_t offers(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    offer_t o = {want_of(gate, view, CREDIT_FETCH, now_ms), want_of(gate, view, CREDIT_UPLOAD, now_ms), 0, 0};
    if (o.fetch) o.fetch_units = gate_fetch_budget(gate, view, now_ms);
    if (o.upload) o.upload_units = gate_upload_budget(gate, view, now_ms);
    return o;
}

static credit_t *grant(ac_gate_t *gate, want_t *want, uint32_t budget, int64_t now_ms, uint64_t *seq) {
    credit_t *c = unused(gate);
    *c = (credit_t){.credit = gate->next_credit++,
                    .holder = want->holder,
                    .session = want->session,
                    .stage = want->stage,
                    .budget = (uint16_t)budget,
                    .granted_ms = now_ms,
                    .renewed_ms = now_ms,
                    .progress_ms = now_ms};
    *seq = want->seq;
    gate->last_stage = want->stage;
    if (want->stage == CREDIT_FETCH) gate->fetch_ms = now_ms;
    want->holder = 0;
    return c;
}

static credit_t *grant_probe(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms, uint64_t *seq) {
    if (now_ms < gate->probe_ms || gate_count(gate, 0) > 0 || gate_rate_free(gate, now_ms) == 0) return NULL;
    want_t *want =
        gate_fetch_may_probe(gate, view, now_ms) ? want_of(gate, view, CREDIT_FETCH, now_ms) : NULL;
    if (!want) want = want_of(gate, view, CREDIT_UPLOAD, now_ms);
    if (!want) return NULL;
    gate->probe_ms = now_ms + GATE_PROBE_MS;
    credit_t *c = grant(gate, want, 1, now_ms, seq);
    c->probe = true;
    return c;
}

/* The other credit while an upload lasts: a poll and the small results that wait take turns. A poll may be
 * long, so that one result a turn would be a queue that grows. */
static credit_t *grant_beside_long(ac_gate_t *gate, const offer_t *o, int64_t now_ms, uint64_t *seq) {
    bool fetch_turn = gate->last_stage == CREDIT_UPLOAD || !o->upload_units;
    if (fetch_turn && o->fetch_units) return grant(gate, o->fetch, 1, now_ms, seq);
    return o->upload_units ? grant(gate, o->upload, o->upload_units, now_ms, seq) : NULL;
}

static credit_t *grant_single(ac_gate_t *gate, const offer_t *o, int64_t now_ms, uint64_t *seq) {
    bool upload_turn = gate->last_stage != CREDIT_UPLOAD || !o->fetch_units;
    if (upload_turn && o->upload_units) return grant(gate, o->upload, o->upload_units, now_ms, seq);
    return o->fetch_units ? grant(gate, o->fetch, 1, now_ms, seq) : NULL;
}

credit_t *gate_decide(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms, uint64_t *seq) {
    if (gate_count(gate, 0) >= gate->max || now_ms < gate->pause_ms) return NULL;
    if (gate->state == GATE_CLOSED) return grant_probe(gate, view, now_ms, seq);
    offer_t o = offers(gate, view, now_ms);
    if (gate->max == 1) return grant_single(gate, &o, now_ms, seq);
    int uploads = gate_count(gate, CREDIT_UPLOAD), fetches = gate_count(gate, CREDIT_FETCH);
    if (uploads > 0 && fetches == 0 && long_upload(gate, now_ms))
        return grant_beside_long(gate, &o, now_ms, seq);
    if (uploads == 0 && o.upload_units) return grant(gate, o.upload, o.upload_units, now_ms, seq);
    if (fetches == 0 && o.fetch_units) return grant(gate, o.fetch, o.fetch_units, now_ms, seq);
    if (uploads == 1 && fetches == 0 && o.upload_units && !o.fetch_units && !gate_flows(gate, now_ms))
        return grant(gate, o.upload, o.upload_units, now_ms, seq); /* borrowed while fetch is paused */
    return NULL;
}

static bool wanted_by_another(ac_gate_t *gate, const gate_view_t *view, const credit_t *c, int64_t now_ms) {
    for (int i = 0; i < GATE_WANTS_MAX; i++) {
        const want_t *want = &gate->wants[i];
        if (want->holder != 0 && want->stage == c->stage && want->holder != c->holder &&
            now_ms - want->at_ms <= GATE_WANT_MS && view->claimed(view->ctx, want->holder))
            return true;
    }
    return false;
}

/* Units for a credit of which `left` are left: enough to be worth a message, or none. */
static uint32_t more_of(ac_gate_t *gate, const gate_view_t *view, const credit_t *c, uint32_t left,
                        int64_t now_ms) {
    uint32_t units;
    if (c->stage == CREDIT_FETCH) {
        units = gate_fetch_budget(gate, view, now_ms);
        if (units < view->fetch_least) return 0;
    } else {
        if (left > CREDIT_BUDGET_MAX / 2 || gate_count(gate, CREDIT_UPLOAD) > 1 || view->waiting == 0 ||
            wanted_by_another(gate, view, c, now_ms))
            return 0;
        units = gate_upload_budget(gate, view, now_ms);
        units = units > left ? units - left : 0;
    }
    return left < CREDIT_BUDGET_MAX ? least(units, CREDIT_BUDGET_MAX - left) : 0;
}

credit_t *gate_raise(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms, int *bucket) {
    if (gate->max < 2 || gate->state == GATE_CLOSED || now_ms < gate->pause_ms || long_upload(gate, now_ms))
        return NULL; /* turns are taken, or nobody is to have more */
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        credit_t *c = &gate->credits[i];
        if (c->credit == 0 || c->revoked || c->recovered || c->probe ||
            c->budget > UINT16_MAX - CREDIT_BUDGET_MAX || !view->present(view->ctx, c->holder, c->session))
            continue;
        uint16_t used = gate_most_used(c);
        uint32_t units = more_of(gate, view, c, (uint32_t)(c->budget - used), now_ms);
        if (units == 0) continue;
        *bucket = gate_used(gate, c, used, now_ms);
        c->budget = (uint16_t)(c->budget + units);
        return c;
    }
    return NULL;
}

/* Upload credits that will not come back soon by themselves. */
static int lasting_uploads(const ac_gate_t *gate, int64_t now_ms) {
    int n = 0;
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        const credit_t *c = &gate->credits[i];
        n += c->credit && c->stage == CREDIT_UPLOAD && (!c->revoked || is_long(c, now_ms));
    }
    return n;
}

/* The small results beside an upload that lasts: their turn is over after as long. */
static bool has_its_turn(const ac_gate_t *gate, const credit_t *c, int64_t now_ms) {
    return c->stage == CREDIT_UPLOAD && now_ms - c->granted_ms < GATE_LONG_UPLOAD_MS &&
           long_upload(gate, now_ms);
}

/* Whether an upload is to have the place of more than one poll: the only one, of which a poll has its turn,
 * or that beside an upload which lasts. */
static bool upload_waits(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    bool place = gate->max == 1 || (gate_count(gate, CREDIT_UPLOAD) == 1 && long_upload(gate, now_ms));
    return place && want_of(gate, view, CREDIT_UPLOAD, now_ms);
}

/* Whether an upload could go if polls that are not begun yet gave their units back. */
static bool upload_lacks_units(ac_gate_t *gate, const gate_view_t *view, const credit_t *c, int64_t now_ms) {
    return c->stage == CREDIT_FETCH && c->budget > gate_most_used(c) &&
           gate_count(gate, CREDIT_UPLOAD) == 0 && gate_rate_free(gate, now_ms) == 0 &&
           want_of(gate, view, CREDIT_UPLOAD, now_ms);
}

/* Granted when there might be more of them. Of two it is fetch's: a poll can be begun anew. */
static bool one_too_many(const ac_gate_t *gate, const credit_t *credit) {
    int kept = 0, fetches = 0;
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        const credit_t *c = &gate->credits[i];
        if (c->credit == 0 || c->revoked) continue;
        kept++;
        fetches += c->stage == CREDIT_FETCH;
    }
    return kept > gate->max && (credit->stage == CREDIT_FETCH || fetches == 0);
}

credit_t *gate_recall(ac_gate_t *gate, const gate_view_t *view, int64_t now_ms, uint8_t *reason) {
    bool paused = now_ms < gate->pause_ms || gate->state == GATE_CLOSED;
    bool fetch_waits = gate->max == 2 && lasting_uploads(gate, now_ms) == 2 &&
                       want_of(gate, view, CREDIT_FETCH, now_ms) && gate_fetch_budget(gate, view, now_ms) > 0;
    bool to_upload = upload_waits(gate, view, now_ms);
    /* an uploader keeps the only credit for a moment when nothing waits */
    bool idle = gate->max == 1 && view->waiting == 0 && want_of(gate, view, CREDIT_FETCH, now_ms);
    bool fetch_ends = view->fetch_room < gate_fetch_outstanding(gate) || now_ms < gate->fetch_pause_ms;
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        credit_t *c = &gate->credits[i];
        if (c->credit == 0 || c->revoked || c->recovered || c->probe) continue;
        bool fetch_over = c->stage == CREDIT_FETCH && fetch_ends;
        bool turn_over = c->budget > 1 && !has_its_turn(gate, c, now_ms) &&
                         (c->stage == CREDIT_FETCH ? to_upload : fetch_waits);
        turn_over = turn_over || (c->stage == CREDIT_UPLOAD && idle) || one_too_many(gate, c) ||
                    upload_lacks_units(gate, view, c, now_ms);
        if (!paused && !fetch_over && !turn_over) continue;
        c->revoked = true;
        *reason = paused || fetch_over ? REVOKE_PAUSED : REVOKE_WANTED;
        return c;
    }
    return NULL;
}

/* --- the holder's messages --- */

credit_t *gate_find(ac_gate_t *gate, uint64_t credit) {
    for (int i = 0; i < GATE_CREDITS_MAX && credit != 0; i++)
        if (gate->credits[i].credit == credit) return &gate->credits[i];
    return NULL;
}

bool gate_rejoin(ac_gate_t *gate, uint64_t credit, uint64_t holder, uint64_t session, int64_t now_ms) {
    credit_t *c = gate_find(gate, credit);
    if (!c || c->holder != holder) return false;
    c->session = session;
    c->recovered = false;
    c->revoked = false; /* it may not have heard so; told again if it still holds */
    c->renewed_ms = now_ms;
    return true;
}

void gate_disown(ac_gate_t *gate, uint64_t holder, bool all) {
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        if (gate->credits[i].credit && gate->credits[i].holder == holder) gate->credits[i].disowned = all;
}

static void take_use(credit_t *credit, uint16_t used, int64_t now_ms) {
    if (used > credit->budget) used = credit->budget;
    if (used <= credit->used) return;
    credit->used = used;
    credit->progress_ms = now_ms;
}

/* So many of the credit's requests have ended by now. */
static int date(ac_gate_t *gate, credit_t *credit, uint16_t ended, int64_t now_ms) {
    if (ended <= credit->dated) return -1;
    uint32_t units = (uint32_t)(ended - credit->dated);
    credit->dated = ended;
    if (credit->stage == CREDIT_FETCH) (void)rate_add(&gate->fetched, now_ms, units);
    return rate_add(&gate->window, now_ms, units);
}

int gate_used(ac_gate_t *gate, credit_t *credit, uint16_t used, int64_t now_ms) {
    take_use(credit, used, now_ms);
    uint16_t ended = credit->used > 0 ? (uint16_t)(credit->used - 1) : 0;
    return date(gate, credit, credit->came > ended ? credit->came : ended, now_ms);
}

int gate_all_ended(ac_gate_t *gate, credit_t *credit, uint16_t used, int64_t now_ms) {
    take_use(credit, used, now_ms);
    return date(gate, credit, gate_most_used(credit), now_ms);
}

void gate_fetch_ended(ac_gate_t *gate, uint64_t credit) {
    credit_t *c = gate_find(gate, credit);
    if (c)
        c->ended++;
    else if (gate->late_units > 0)
        gate->late_units--;
}

void gate_came(ac_gate_t *gate, uint64_t credit) {
    credit_t *c = gate_find(gate, credit);
    if (c && c->came < c->budget) c->came++;
}

bool gate_is_news(ac_gate_t *gate, uint64_t credit) {
    return credit >= gate->news_credit || gate_find(gate, credit);
}

void gate_release(ac_gate_t *gate, credit_t *credit, int64_t now_ms) {
    if (credit->stage == CREDIT_FETCH && credit->used > credit->ended) {
        gate->late_units += (uint32_t)(credit->used - credit->ended);
        gate->late_ms = now_ms + GATE_LATE_MS;
    }
    if (credit->stage == CREDIT_FETCH) gate->fetch_ms = now_ms;
    *credit = (credit_t){0};
}

/* Nothing is under way, and what was fetched has come or never will. How much was used nobody tells: all. */
static credit_t *over(ac_gate_t *gate, credit_t *c, int64_t now_ms, int *bucket) {
    *bucket = gate_all_ended(gate, c, c->budget, now_ms);
    c->ended = c->used;
    return c;
}

credit_t *gate_expired(ac_gate_t *gate, int64_t now_ms, int *bucket) {
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        credit_t *c = &gate->credits[i];
        if (c->credit && now_ms >= c->renewed_ms + LEASE_OVER_MS) return over(gate, c, now_ms, bucket);
    }
    return NULL;
}

credit_t *gate_disowned(ac_gate_t *gate, uint64_t holder, int64_t now_ms, int *bucket) {
    for (int i = 0; i < GATE_CREDITS_MAX; i++) {
        credit_t *c = &gate->credits[i];
        if (c->credit && c->disowned && c->holder == holder) return over(gate, c, now_ms, bucket);
    }
    return NULL;
}

/* --- when and why --- */

static void sooner(int64_t *next, int64_t at, int64_t now_ms) {
    if (at > now_ms && at < *next) *next = at;
}

int64_t gate_next_ms(const ac_gate_t *gate, int64_t now_ms) {
    int64_t next = INT64_MAX;
    bool wanted = false;
    for (int i = 0; i < GATE_CREDITS_MAX; i++)
        if (gate->credits[i].credit)
            next = next < gate->credits[i].renewed_ms + LEASE_OVER_MS
                       ? next
                       : gate->credits[i].renewed_ms + LEASE_OVER_MS;
    for (int i = 0; i < GATE_WANTS_MAX; i++)
        wanted = wanted || (gate->wants[i].holder && now_ms - gate->wants[i].at_ms <= GATE_WANT_MS);
    if (!wanted) return next;
    sooner(&next, gate->pause_ms, now_ms);
    sooner(&next, gate->fetch_pause_ms, now_ms);
    if (gate->fetch_ms) sooner(&next, gate->fetch_ms + GATE_FLOW_MS, now_ms);
    if (gate->state == GATE_CLOSED) sooner(&next, gate->probe_ms, now_ms);
    sooner(&next, rate_next_ms(&gate->window, now_ms), now_ms);
    return next;
}

const char gate_no_room[] = "room to fetch";

const char *gate_waits_for(const ac_gate_t *gate, const gate_view_t *view, int64_t now_ms) {
    if (now_ms < gate->pause_ms) return "the end of the pause that AC asked for (429 or Retry-After)";
    if (gate->state == GATE_CLOSED) return "AC to answer again; one probe goes every 30 s at most";
    if (gate_rate_free(gate, now_ms) == 0) return "the rate limit's minute";
    if (view->waiting == 0 && view->fetch_room == 0) return gate_no_room;
    if (now_ms < gate->fetch_pause_ms) return "the next poll's time";
    if (gate_keeps_units(gate, view, now_ms)) return gate_units_kept;
    return "nothing";
}
