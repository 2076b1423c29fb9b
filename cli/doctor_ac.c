/* One harmless AC request under a credit, as every AC request. */
#include <curl/curl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/status_page.h"
#include "common/ac_seat.h"
#include "common/clock.h"
#include "common/dirs.h"
#include "common/err.h"

#define SESSION_MS 5000  /* for the broker's WELCOME */
#define CREDIT_MS  10000 /* for its GRANT: uploads may be at it */
#define ALONE_MS   60000 /* of the lease when no broker runs */
#define SKEW_WARN  30    /* seconds */
#define SKEW_FAIL  300
#define UPLOADERS  64 /* lock files looked at */

#define CHECK "AC accepts the key"

typedef struct {
    const config_t *config;
    http_t *http;
    ac_door_t *door;
    link_t *link;
    ac_seat_t *seat;
    uint64_t seq;
    char file_name[64];
    bool answered;
    ac_answer_t answer; /* its texts copied into `reason` */
    char reason[256];
    int64_t answered_wall_ms, date_unix_s; /* AC's own time then; -1: none given */
    char fault[320];
} visit_t;

/* --- what the answer means --- */

static void judge_clock(report_t *report, const visit_t *visit) {
    char by[PAGE_SHORT_MAX];
    if (visit->date_unix_s < 0) return;
    int64_t skew_s = visit->answered_wall_ms / 1000 - visit->date_unix_s;
    int64_t off_s = skew_s < 0 ? -skew_s : skew_s;
    severity_t severity = off_s > SKEW_FAIL ? FOUND_FAILURE : off_s > SKEW_WARN ? FOUND_WARNING : FOUND_OK;
    report_add(report, severity, "clock",
               severity == FOUND_OK
                   ? ""
                   : "set this machine's clock (timedatectl set-ntp true): tasks end at a time that "
                     "AC's clock gave, too early or too late here",
               "%s%s%s", off_s <= 1 ? "as AC's" : page_duration(off_s * 1000, by), off_s <= 1 ? "" : " ",
               off_s <= 1   ? ""
               : skew_s > 0 ? "ahead of AC's"
                            : "behind AC's");
}

static void judge_answer(report_t *report, const visit_t *visit) {
    const ac_answer_t *answer = &visit->answer;
    char took[PAGE_SHORT_MAX];
    switch (answer->outcome) {
    case OUTCOME_DONE:
        report_add(report, FOUND_OK, CHECK, "", "upload-url: status %u after %s", answer->http_status,
                   page_span(answer->elapsed_ms, took));
        break;
    case OUTCOME_DENIED:
        report_add(report, FOUND_FAILURE, CHECK,
                   answer->http_status == 407
                       ? "a proxy wants a user and password: give them in its URL"
                       : "make a new key at AC, and check that the server URL is the one the key is for",
                   "no: status %u", answer->http_status);
        break;
    case OUTCOME_BUSY:
    case OUTCOME_LIMITED:
        report_add(report, FOUND_WARNING, CHECK,
                   "another agent with the same key may be running; see `sluice status` for this one's rate",
                   "AC limits us now: %s", visit->reason);
        break;
    case OUTCOME_REDIRECT:
        report_add(report, FOUND_FAILURE, CHECK,
                   "give the URL that AC redirects to, or a proxy that does not ask", "%s", visit->reason);
        break;
    case OUTCOME_REFUSED:
        report_add(report, FOUND_WARNING, CHECK, "check that the server URL is that of AC, without a path",
                   "the key may be good, but AC refuses the question: %s", visit->reason);
        break;
    case OUTCOME_SERVER:
        report_add(report, FOUND_FAILURE, CHECK, "AC itself has a fault now: try again later", "%s",
                   visit->reason);
        break;
    default:
        report_add(report, FOUND_FAILURE, CHECK,
                   "try again; if it stays, see what stands between this machine and AC", "%s",
                   visit->reason[0] ? visit->reason : "the answer could not be read");
    }
    judge_clock(report, visit);
}

/* --- the request --- */

static void on_answer(void *ctx, const ac_answer_t *answer) {
    visit_t *visit = ctx;
    visit->answered = true;
    visit->answer = *answer;
    visit->answered_wall_ms = clock_wall_ms();
    (void)snprintf(visit->reason, sizeof visit->reason, "%s", answer->reason);
    visit->date_unix_s = answer->date[0] ? (int64_t)curl_getdate(answer->date, NULL) : -1;
    visit->answer.body = visit->answer.reason = visit->answer.date = "";
}

static ac_request_t question(visit_t *visit) {
    (void)snprintf(visit->file_name, sizeof visit->file_name, "sluice-doctor%016" PRIx64 "%016" PRIx64,
                   random_u64(), random_u64());
    return (ac_request_t){.call = CALL_UPLOAD_URL, .file_name = visit->file_name};
}

/* --- under a credit of the broker's --- */

static uint32_t on_held(void *ctx, msg_held_t *items, uint32_t max) {
    (void)ctx, (void)items, (void)max;
    return 0;
}

static uint64_t on_credit(void *ctx) {
    visit_t *visit = ctx;
    return ac_seat_credit(visit->seat);
}

static void on_welcome(void *ctx, const msg_welcome_t *welcome) {
    visit_t *visit = ctx;
    ac_seat_welcome(visit->seat, welcome->credit, clock_boot_ms());
}

static void on_message(void *ctx, const msg_t *msg) {
    visit_t *visit = ctx;
    if (msg->type == MSG_GRANT && !ac_seat_granted(visit->seat, &msg->grant))
        ac_seat_decline(visit->link, &msg->grant, ac_seat_used(visit->seat, msg->grant.credit));
    else if (msg->type == MSG_REVOKE)
        (void)ac_seat_revoked(visit->seat, &msg->revoke);
}

static void on_lost(void *ctx, const char *why) {
    visit_t *visit = ctx;
    (void)snprintf(visit->fault, sizeof visit->fault, "%s", why);
}

static void turn(visit_t *visit) {
    const int fds[] = {http_fd(visit->http)};
    long http = http_due_ms(visit->http);
    link_wait(visit->link, fds, 1, http >= 0 && http < 50 ? http : 50);
    (void)link_turn(visit->link, clock_boot_ms());
    http_turn(visit->http);
    ac_seat_turn(visit->seat, clock_boot_ms());
}

static bool join(visit_t *visit) {
    char endpoint[512];
    const char *why = "";
    const link_handler_t handler = {.ctx = visit,
                                    .held = on_held,
                                    .credit = on_credit,
                                    .welcome = on_welcome,
                                    .message = on_message,
                                    .lost = on_lost,
                                    .fault = on_lost};
    config_broker_endpoint(visit->config, endpoint, sizeof endpoint);
    const link_options_t options = {
        .role = ROLE_TOOL, .broker = endpoint, .name = "doctor", .instance = random_u64()};
    visit->link = link_new(&options, &handler, &why);
    if (visit->link) visit->seat = ac_seat_new(visit->door, visit->link, CREDIT_UPLOAD, &visit->seq);
    if (!visit->seat) (void)snprintf(visit->fault, sizeof visit->fault, "%s", why[0] ? why : "out of memory");
    return visit->seat != NULL;
}

/* A pause is the agent's too; what else it says may be of other options than the agent's. */
static void tell_broker(visit_t *visit) {
    const ac_answer_t *answer = &visit->answer;
    if (answer->outcome != OUTCOME_BUSY && answer->outcome != OUTCOME_LIMITED) return;
    msg_t msg = {.type = MSG_REPORT};
    msg.report = (msg_report_t){.session = link_session(visit->link),
                                .credit = ac_seat_credit(visit->seat),
                                .call = CALL_UPLOAD_URL,
                                .outcome = (uint8_t)answer->outcome,
                                .http_status = answer->http_status,
                                .retry_after_ms = answer->retry_after_ms,
                                .elapsed_ms = answer->elapsed_ms,
                                .reason = str_of(visit->reason)};
    if (link_session(visit->link) != 0) (void)link_send(visit->link, &msg);
}

static void ask_with_credit(report_t *report, visit_t *visit) {
    int64_t now_ms = clock_boot_ms(), session_ms = now_ms + SESSION_MS, credit_ms = now_ms + CREDIT_MS;
    bool started = false;
    if (!join(visit)) {
        report_add(report, FOUND_FAILURE, CHECK, "put right what it names; the agent's programs need it too",
                   "not asked: %s", visit->fault);
        return;
    }
    while (!visit->answered) {
        if (!started) ac_seat_want(visit->seat, now_ms); /* again when it was taken back before its use */
        turn(visit);
        now_ms = clock_boot_ms();
        if (!started && ac_seat_may_start(visit->seat, now_ms)) {
            const ac_request_t request = question(visit);
            if (ac_seat_start(visit->seat, &request, now_ms, on_answer, visit) != 0) break;
            started = true;
        }
        if (!started && (now_ms > credit_ms || (now_ms > session_ms && link_session(visit->link) == 0)))
            break;
    }
    if (visit->answered) {
        tell_broker(visit);
        judge_answer(report, visit);
    } else {
        report_add(report, FOUND_WARNING, CHECK,
                   "see `sluice status`: the broker gives no credit while AC "
                   "wants a pause, "
                   "the rate limit is used up, or large uploads last",
                   "not asked: no AC credit within %d s%s%s", CREDIT_MS / 1000, visit->fault[0] ? "; " : "",
                   visit->fault);
    }
    ac_seat_release(visit->seat);
    link_bye(visit->link);
}

/* --- while nothing runs --- */

/* Takes the lock of a program, if it has ever run here, so that it cannot start meanwhile. False: it runs. */
static bool keep_out(const char *dir, const char *name, lock_t *lock, pid_t *pid) {
    char path[PATH_MAX], why[512];
    *lock = (lock_t){.fd = -1};
    (void)snprintf(path, sizeof path, "%s/%s.lock", dir, name);
    if (access(path, F_OK) != 0) return true;
    return lock_take(path, lock, pid, why) != ERR_BUSY;
}

/* The name of a program of the agent that runs, or NULL; `broker` keeps the broker from starting. */
static const char *who_runs(const config_t *config, lock_t *broker, pid_t *pid) {
    char path[PATH_MAX];
    if (!keep_out(config->state_dir, "broker", broker, pid)) return "broker";
    (void)snprintf(path, sizeof path, "%s/fetcher.lock", config->state_dir);
    if (lock_probe(path, pid) == ERR_BUSY) return "fetcher";
    for (int i = 1; i <= UPLOADERS; i++) {
        (void)snprintf(path, sizeof path, "%s/uploader-%d.lock", config->runtime_dir, i);
        if (lock_probe(path, pid) == ERR_BUSY) return "uploader";
    }
    return NULL;
}

static void ask_alone(report_t *report, visit_t *visit) {
    lock_t broker = {.fd = -1};
    pid_t pid = 0;
    const char *runs = who_runs(visit->config, &broker, &pid);
    int64_t now_ms = clock_boot_ms();
    lease_t lease;
    lease_init(&lease, CREDIT_UPLOAD, &visit->seq);
    lease.state = LEASE_HELD; /* nobody who could have another is there */
    lease.budget = 1;
    lease.expires_ms = now_ms + ALONE_MS;
    ac_line_t *line = runs ? NULL : ac_line_new(visit->door);
    const ac_request_t request = question(visit);
    if (runs) {
        report_add(report, FOUND_SKIPPED, CHECK,
                   strcmp(runs, "broker") == 0
                       ? "see the finding on the broker: only it knows who may ask AC now"
                       : "start the broker: only it knows who may ask AC now",
                   "not asked: the %s (pid %ld) runs, but no broker answers", runs, (long)pid);
    } else if (!line || ac_line_start(line, &lease, &request, now_ms, on_answer, visit) != 0) {
        report_add(report, FOUND_FAILURE, CHECK, "try again", "out of memory");
    } else {
        while (!visit->answered) {
            zmq_pollitem_t item = {.fd = http_fd(visit->http), .events = ZMQ_POLLIN};
            long due = http_due_ms(visit->http);
            (void)zmq_poll(&item, 1, due >= 0 && due < 200 ? due : 200);
            http_turn(visit->http);
            ac_line_turn(line, clock_boot_ms());
        }
        judge_answer(report, visit);
    }
    ac_line_destroy(&line);
    lock_release(&broker);
}

void doctor_ac(report_t *report, const config_t *config, bool broker) {
    visit_t visit = {.config = config, .http = http_new(2)};
    const char *why = "out of memory";
    if (visit.http) visit.door = ac_door_new(config, visit.http, &why);
    if (!visit.door)
        report_add(report, FOUND_FAILURE, CHECK, "put right what it names; the agent's programs need it too",
                   "not asked: %s", why);
    else if (broker)
        ask_with_credit(report, &visit);
    else
        ask_alone(report, &visit);
    ac_seat_destroy(&visit.seat);
    ac_door_destroy(&visit.door);
    http_destroy(&visit.http);
    link_destroy(&visit.link);
}
