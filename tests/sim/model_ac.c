/* AC as a model: hands out tasks, takes results, fails as it likes, and counts. A request is in flight from
 * its start until our side closes the connection. */
#include <string.h>

#include "tests/sim/sim.h"

static const char *const methods[] = {"GET", "PUT", "DELETE", "POST", "PATCH"};

bool ticket_is_logs(const ticket_t *ticket) {
    return ticket->lifetime_ms % 50 == LOGS_LIFETIME;
}

uint64_t ticket_length(const world_t *world, const ticket_t *ticket) {
    return 1 + ((uint64_t)ticket->id * 2654435761u + world->seed * 40503u) %
                   ((uint64_t)LARGE_CHUNKS * MSG_CHUNK_MAX);
}

bool ticket_is_invalid(const ticket_t *ticket) {
    return ticket->lifetime_ms % 50 == NO_URL_LIFETIME;
}

bool ticket_is_large(const ticket_t *ticket) {
    return ticket->lifetime_ms % 50 == LARGE_LIFETIME;
}

bool method_idempotent(uint8_t method) {
    return method < 3;
}

const char *method_name(uint8_t method) {
    return methods[method];
}

static flight_t *request_of(world_t *world, uint64_t tag) {
    for (int i = 0; i < REQUESTS_MAX; i++)
        if (world->requests[i].open && world->requests[i].tag == tag) return &world->requests[i];
    return NULL;
}

/* --- what was handed out, on its way through the fetcher --- */

void ac_told(world_t *world, uint32_t ticket, uint64_t instance, uint64_t seq) {
    if (ticket >= world->ticket_count) {
        world_fail(world, "FETCHED without its task");
        return;
    }
    world->tickets[ticket].fetch_instance = instance;
    world->tickets[ticket].fetch_seq = seq;
}

/* What was accepted has been taken in, or is held already: one of the same taskId was taken in. */
void ac_accepted(world_t *world, const msg_accepted_t *accepted) {
    for (uint32_t i = 0; i < world->ticket_count; i++) {
        ticket_t *ticket = &world->tickets[i];
        if (ticket->fetch_instance != accepted->instance || ticket->fetch_seq != accepted->seq) continue;
        if (ticket->taken > 0) return;
        ticket->held_already = true;
        for (uint32_t other = 0; other < world->ticket_count; other++)
            if (world->tickets[other].id == ticket->id && world->tickets[other].taken > 0) return;
        world_fail(world, "lost: ticket %u was ACCEPTED, and is no task", i);
        return;
    }
}

/* An answer of get-task with the ticket. */
static size_t task_answer(const world_t *world, uint32_t index, char *text, size_t size) {
    const ticket_t *t = &world->tickets[index];
    const char *config = t->lifetime_ms % 20 != 3 ? ""
                         : t->id % 2              ? ",\"globalConfig\":{\"debugMode\":true}"
                                                  : ",\"globalConfig\":{\"debugMode\":false,\"poolSize\":0}";
    bool invalid = ticket_is_invalid(t), logs = ticket_is_logs(t);
    int n = snprintf(text, size,
                     "{\"data\":" TICKET_MEMBER
                     "%u,\"taskId\":\"%s-%u\",\"method\":\"%s\",%s\"expiryTsMs\":%lld%s}}",
                     index, logs ? "fetchLogs" : "id", t->id, method_name(t->method),
                     invalid ? ""
                     : logs  ? "\"url\":\"http://tool.invalid/agent/fetch-logs\","
                             : "\"url\":\"http://tool.invalid/\",",
                     (long long)(WALL_START_MS + world->now_us / 1000 + t->lifetime_ms), config);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* --- answers --- */

static void answer(world_t *world, sim_event_t *event) {
    flight_t *request = request_of(world, event->value);
    if (!request || !proc_runs(world, request->proc)) return;
    flight_t copy = *request;
    request->open = false;
    char text[512] = "{\"data\":null}";
    ac_answer_t got = {.call = (call_t)copy.call,
                       .outcome = (outcome_t)copy.outcome,
                       .http_status = copy.status,
                       .retry_after_ms = copy.retry_after_ms,
                       .elapsed_ms = (uint32_t)((world->now_us - copy.started_us) / 1000),
                       .stale = copy.stale,
                       .body = text,
                       .body_bytes = strlen(text),
                       .reason = "simulated"};
    if (copy.call == CALL_GET_TASK && copy.outcome == OUTCOME_MALFORMED) {
        got.outcome = OUTCOME_DONE;
        got.body_bytes = 5;
    }
    if (copy.found) {
        world->tickets[copy.doc.ticket].read = true;
        world->tickets[copy.doc.ticket].read_us = world->now_us;
        got.body_bytes = task_answer(world, copy.doc.ticket, text, sizeof text);
        TRACE(world, "ac     ticket %u is read", copy.doc.ticket);
    }
    if (copy.outcome == OUTCOME_DONE && copy.call != CALL_GET_TASK && copy.call != CALL_UPLOAD_URL)
        world->tickets[copy.doc.ticket].answered = true;
    stand_in_enter(world, copy.proc);
    ac_line_ended(copy.line, &got);
    peer_tick(world, copy.proc);
}

static void answer_after(world_t *world, const flight_t *request, int64_t delay_us) {
    sim_event_t *event = world_after(world, delay_us, request->proc, answer, request->tag);
    if (event) event->life = request->life;
}

/* A failure instead of an answer. */
static bool fails(world_t *world, flight_t *request) {
    if (world->calm || !chance(world, world->plan.ac_fail_percent * 10000)) return false;
    request->retry_after_ms = chance(world, 200000) ? (int64_t)rnd(world, 8000) : -1;
    static const struct {
        uint8_t outcome;
        uint16_t status;
    } kinds[] = {{OUTCOME_SERVER, 503},  {OUTCOME_SERVER, 500},   {OUTCOME_BUSY, 429},
                 {OUTCOME_LIMITED, 429}, {OUTCOME_NETWORK, 0},    {OUTCOME_MALFORMED, 200},
                 {OUTCOME_DENIED, 401},  {OUTCOME_REDIRECT, 302}, {OUTCOME_NETWORK, 0}};
    uint64_t kind = rnd(world, sizeof kinds / sizeof kinds[0]);
    request->outcome = kinds[kind].outcome;
    request->status = kinds[kind].status;
    request->stale = request->outcome == OUTCOME_NETWORK && chance(world, 300000);
    return true;
}

static ticket_t *next_ticket(world_t *world) {
    for (uint32_t i = 0; i < world->ticket_count; i++)
        if (!world->tickets[i].handed && world->tickets[i].release_us <= world->now_us)
            return &world->tickets[i];
    return NULL;
}

static int64_t next_release_us(const world_t *world) {
    int64_t next = NEVER;
    for (uint32_t i = 0; i < world->ticket_count; i++)
        if (!world->tickets[i].handed && world->tickets[i].release_us < next)
            next = world->tickets[i].release_us;
    return next;
}

/* AC does not get to say what it had to say: a task in that answer is lost to this hand-out. Sometimes AC
 * hands it out anew. */
static void answer_lost(world_t *world, const flight_t *request) {
    if (!request->found) return;
    ticket_t *ticket = &world->tickets[request->doc.ticket];
    ticket->dead_connection = true;
    TRACE(world, "ac     ticket %u went down with its connection", request->doc.ticket);
    world->books.lost_answers++;
    if (world->calm || world->ticket_count == TICKETS_MAX || chance(world, 500000)) return;
    world->tickets[world->ticket_count++] = (ticket_t){.id = ticket->id,
                                                       .method = ticket->method,
                                                       .refused = ticket->refused,
                                                       .lifetime_ms = ticket->lifetime_ms,
                                                       .release_us = world->now_us + SECOND};
}

static void serve(world_t *world, sim_event_t *event);

static void serve_get_task(world_t *world, flight_t *request) {
    ticket_t *ticket = next_ticket(world);
    if (!ticket && world->now_us < request->poll_end_us) {
        int64_t look_us = next_release_us(world);
        if (look_us > request->poll_end_us) look_us = request->poll_end_us;
        world_after(world, look_us - world->now_us + 1, -1, serve, request->tag);
        return;
    }
    request->served = true;
    if (!ticket) {
        request->outcome = OUTCOME_EMPTY;
        request->status = 204;
    } else {
        ticket->handed = true;
        request->found = true;
        request->outcome = OUTCOME_DONE;
        request->status = 200;
        request->doc = (doc_t){DOC_TASK, (uint32_t)(ticket - world->tickets), 0};
        TRACE(world, "ac     hands out ticket %u, id %u, %s", request->doc.ticket, ticket->id,
              method_name(ticket->method));
        if (!world->calm && chance(world, world->plan.ac_fail_percent * 2000)) { /* half of the answer */
            answer_lost(world, request);
            request->found = false;
            request->outcome = OUTCOME_NETWORK;
            request->status = 0;
        }
    }
    answer_after(world, request, 1000 + (int64_t)rnd(world, 20000));
}

bool ac_fails_on(const world_t *world, const ticket_t *ticket) {
    if (!ticket->failing) return false;
    for (uint32_t i = 0; i < world->ticket_count; i++)
        if (!world->tickets[i].failing && !ticket_over(&world->tickets[i])) return true;
    return false;
}

static void take_result(world_t *world, flight_t *request) {
    ticket_t *ticket = &world->tickets[request->doc.ticket];
    bool logs = ticket_is_logs(ticket), task = request->doc.kind == DOC_TASK;
    if (task != logs || (request->call == CALL_UPLOAD_LOGS) != logs || request->doc.kind == DOC_NONE)
        world_fail(world, "ticket %u: what was uploaded by call %u is no result", request->doc.ticket,
                   request->call);
    check_delivered(world, request->doc);
    request->outcome = ticket->refused ? OUTCOME_REFUSED : OUTCOME_DONE;
    request->status = ticket->refused ? 400 : 200;
    if (ticket->refused) return;
    world->books.delivered_again += ticket->delivered > 0;
    world->books.delivered += ticket->delivered == 0;
    ticket->delivered++;
    TRACE(world, "ac     takes the result of ticket %u", request->doc.ticket);
}

static void serve(world_t *world, sim_event_t *event) {
    flight_t *request = request_of(world, event->value);
    if (!request) return;
    bool failed = !request->served && fails(world, request);
    bool alone = request->doc.kind != DOC_NONE && request->call != CALL_GET_TASK &&
                 ac_fails_on(world, &world->tickets[request->doc.ticket]);
    if (alone && !failed) {
        failed = true;
        request->outcome = OUTCOME_SERVER;
        request->status = 500;
    }
    if (failed && request->outcome == OUTCOME_NETWORK && !request->stale && chance(world, 300000)) {
        request->served = true; /* it stands still; what will be said then is said now */
        answer_after(world, request, (int64_t)rnd(world, 100 * SECOND));
        return;
    }
    if (request->call == CALL_GET_TASK && !failed) {
        serve_get_task(world, request);
        return;
    }
    request->served = true;
    if (request->call != CALL_GET_TASK) {
        uint8_t outcome = request->outcome;
        uint16_t status = request->status;
        bool taken =
            !failed || (outcome == OUTCOME_NETWORK && !request->stale && !alone && chance(world, 500000));
        if (taken && request->call == CALL_UPLOAD_URL)
            request->outcome = OUTCOME_DONE;
        else if (taken)
            take_result(world, request);
        world->books.taken_unanswered += taken && failed;
        if (failed) {
            request->outcome = outcome;
            request->status = status;
        }
    }
    answer_after(world, request, (int64_t)rnd(world, 20000));
}

/* --- requests --- */

/* It has come to AC: a name that was looked up in vain, a connection or a proxy may have kept it for long. */
static void came(world_t *world, flight_t *request) {
    check_ac_came(world);
    request->poll_end_us = world->now_us + world->plan.poll_us;
    int64_t upload_us = 500 + (int64_t)rnd(world, (uint64_t)world->plan.upload_us);
    int64_t poll_us = 1000 + (int64_t)rnd(world, 5000);
    world_after(world, request->call == CALL_GET_TASK ? poll_us : upload_us, -1, serve, request->tag);
}

static void come(world_t *world, sim_event_t *event) {
    flight_t *request = request_of(world, event->value);
    if (request) came(world, request);
}

int ac_start(world_t *world, int proc, ac_line_t *line, call_t call, doc_t doc) {
    int free_place = -1;
    for (int i = 0; i < REQUESTS_MAX && free_place < 0; i++)
        if (!world->requests[i].open) free_place = i;
    if (free_place < 0) {
        world_fail(world, "more than %d requests to AC in flight", REQUESTS_MAX);
        return 0;
    }
    flight_t *request = &world->requests[free_place];
    *request = (flight_t){.open = true,
                          .proc = proc,
                          .line = line,
                          .life = world->procs[proc].life,
                          .tag = ++world->tags,
                          .call = (uint8_t)call,
                          .doc = doc,
                          .retry_after_ms = -1,
                          .started_us = world->now_us};
    if (!proc_runs(world, proc)) return free_place; /* closed when the event under way is over */
    TRACE(world, "AC     %s starts call %u, request %d", world->procs[proc].name, (unsigned)call, free_place);
    check_ac_start(world, call, doc);
    if (!world->calm && chance(world, world->plan.ac_late_ppm))
        world_after(world, (int64_t)rnd(world, AC_LATE_US), -1, come, request->tag);
    else
        came(world, request);
    return free_place;
}

void ac_close(world_t *world, int index) {
    flight_t *request = &world->requests[index];
    if (!request->open) return;
    request->open = false;
    TRACE(world, "AC     %s closes request %d", world->procs[request->proc].name, index);
    world->books.taken_unanswered += request->served && request->call != CALL_GET_TASK;
    answer_lost(world, request);
}

void ac_close_all(world_t *world, int proc) {
    for (int i = 0; i < REQUESTS_MAX; i++)
        if (world->requests[i].open && world->requests[i].proc == proc) ac_close(world, i);
}
