#include "executor/policy_gate.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "common/program.h"
#include "executor/seen.h"

#define LOOK_MS 1000

struct policy_gate_t {
    char *path; /* where the rules are, or may come to be */
    policy_t *policy;
    seen_t *seen; /* NULL: the rules are enforced */
    struct stat read;
    int64_t look_ms;
};

/* --- the rules --- */

static void look_at(policy_gate_t *self, struct stat *st) {
    if (stat(self->path, st) != 0) memset(st, 0, sizeof *st);
}

static bool same(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int policy_gate_new(const config_t *config, policy_gate_t **out, char why[POLICY_WHY_MAX]) {
    policy_gate_t *self = calloc(1, sizeof *self);
    bool learns = strcmp(config->policy_mode, "learn") == 0;
    int err = self && (self->path = strdup(config_policy_place(config))) ? 0 : ERR_NOMEM;
    const char *file = "";
    if (!err) {
        look_at(self, &self->read); /* before it is read: no change is missed */
        file = config_policy_file(config);
        err = policy_read(file, &self->policy, why);
    }
    if (!err && learns && !(self->seen = seen_new(config->state_dir))) err = ERR_NOMEM;
    if (err == ERR_NOMEM) (void)snprintf(why, POLICY_WHY_MAX, "out of memory");
    if (!err && policy_has_headers(self->policy)) program_hide();
    if (err) {
        policy_gate_destroy(&self);
        return err;
    }
    if (file[0] || learns)
        log_info("policy", "file=%s rules=%zu mode=%s", file[0] ? file : "-", policy_count(self->policy),
                 config->policy_mode);
    *out = self;
    return 0;
}

void policy_gate_destroy(policy_gate_t **self) {
    if (!*self) return;
    policy_release(&(*self)->policy);
    seen_destroy(&(*self)->seen);
    free((*self)->path);
    free(*self);
    *self = NULL;
}

void policy_gate_turn(policy_gate_t *self, int64_t now_ms) {
    struct stat now;
    policy_t *fresh = NULL;
    char why[POLICY_WHY_MAX], quoted[LOG_QUOTED_MAX];
    if (now_ms < self->look_ms) return;
    self->look_ms = now_ms + LOOK_MS;
    look_at(self, &now);
    if (same(&now, &self->read)) return;
    self->read = now;
    if (policy_read(self->path, &fresh, why) != 0) {
        log_error("policy_unchanged", "why=%s remark=\"the former rules hold\"", log_quote(why, quoted));
        return;
    }
    policy_release(&self->policy);
    self->policy = fresh;
    if (policy_has_headers(fresh)) program_hide();
    log_info("policy_read", "file=%s rules=%zu", self->path, policy_count(fresh));
}

/* --- requests --- */

static void judge(const passage_t *self, const policy_address_t *address, policy_verdict_t *verdict) {
    const request_t *request = self->request;
    const policy_question_t question = {.https = request->url.https,
                                        .host = request->url.host,
                                        .host_header = self->host_header,
                                        .port = url_port(&request->url),
                                        .method = request->method,
                                        .target = request->url.target,
                                        .path = self->path,
                                        .address = self->by_proxy ? NULL : address};
    policy_judge(self->policy, &question, verdict);
}

/* What the verdict comes to: in learn mode only what is built in refuses. */
static bool refuses(const passage_t *self, const policy_verdict_t *verdict) {
    return !verdict->allowed && (verdict->built_in || !self->gate->seen);
}

static void say(passage_t *self, const policy_verdict_t *verdict, const char *address) {
    (void)snprintf(self->why, sizeof self->why, "refused by %s%s%.60s", verdict->text,
                   address ? ", for the address " : "", address ? address : "");
}

/* Methods whose answer is the request. */
static bool tells_headers(const char *method) {
    return strcmp(method, "TRACE") == 0 || strcmp(method, "TRACK") == 0;
}

/* The headers of the rule, for this hop alone: after a redirect to another origin there are none. */
static int take_headers(passage_t *self, request_t *request) {
    char why[POLICY_WHY_MAX];
    header_list_wipe(&request->local);
    if (policy_header_count(self->rule) > 0 && tells_headers(request->method)) {
        (void)snprintf(self->why, sizeof self->why,
                       "not sent: the answer to %.20s would tell the rule's headers", request->method);
        return ERR_STATE;
    }
    for (size_t i = 0; !request->left && i < policy_header_count(self->rule); i++) {
        char *value = NULL;
        int err = policy_header_value(self->rule, i, &value, why);
        if (!err) err = header_list_set(&request->local, policy_header_name(self->rule, i), value);
        policy_header_free(&value);
        if (err == ERR_NOMEM) return err;
        if (err) {
            (void)snprintf(self->why, sizeof self->why, "not sent, for the rule's header %.40s: %.200s",
                           policy_header_name(self->rule, i), why);
            return ERR_STATE;
        }
    }
    return 0;
}

/* The name in the task's own Host header, without port: by it a server of many chooses. */
static int take_host_header(passage_t *self) {
    const char *value = header_list_get(&self->request->headers, "Host"), *host = self->request->url.host;
    if (!value) return 0;
    size_t len = value[0] == '[' ? strcspn(value, "]") : strcspn(value, ": \t");
    if (value[len] == ']') len++;
    if (len == strlen(host) && strncasecmp(value, host, len) == 0) return 0;
    self->host_header = strndup(value, len);
    return self->host_header ? 0 : ERR_NOMEM;
}

int passage_begin(passage_t *self, policy_gate_t *gate, request_t *request, bool by_proxy, bool again) {
    policy_verdict_t verdict;
    self->why[0] = '\0';
    self->settled = again;
    if (!again) {
        passage_clear(self);
        *self = (passage_t){.gate = gate,
                            .policy = policy_share(gate->policy),
                            .path = policy_path(request->url.target),
                            .request = request,
                            .by_proxy = by_proxy};
        if (!self->path || take_host_header(self) != 0) return ERR_NOMEM;
        judge(self, NULL, &verdict);
        if (refuses(self, &verdict) && (by_proxy || !verdict.open)) {
            say(self, &verdict, NULL);
            return ERR_STATE;
        }
        if (gate->seen) seen_note(gate->seen, request);
        self->rule = verdict.allowed ? verdict.rule : NULL;
    }
    return take_headers(self, request);
}

bool passage_address(passage_t *self, const struct sockaddr *from) {
    policy_address_t address;
    policy_verdict_t verdict;
    char text[NI_MAXHOST] = "?";
    if (self->by_proxy) return true;
    if (!policy_address(from, &address)) return false;
    judge(self, &address, &verdict);
    if (!refuses(self, &verdict)) {
        self->let_out = true;
        self->why[0] = '\0';
        return true;
    }
    if (self->let_out) return false; /* what comes of the other address is the answer */
    socklen_t size = from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    (void)getnameinfo(from, size, text, sizeof text, NULL, 0, NI_NUMERICHOST);
    say(self, &verdict, text);
    return false;
}

passage_state_t passage_connected(passage_t *self, const char *where) {
    policy_address_t address;
    policy_verdict_t verdict;
    bool known = policy_literal(where, &address);
    if (!known && !self->by_proxy) {
        (void)snprintf(self->why, sizeof self->why, "not sent: the address connected to is not known");
        return PASSAGE_CLOSED;
    }
    judge(self, known ? &address : NULL, &verdict);
    self->why[0] = '\0';
    if (refuses(self, &verdict)) {
        say(self, &verdict, self->by_proxy ? NULL : where);
        return PASSAGE_CLOSED;
    }
    const policy_rule_t *rule = verdict.allowed ? verdict.rule : NULL;
    if (rule == self->rule || (policy_header_count(rule) == 0 && policy_header_count(self->rule) == 0))
        return PASSAGE_OPEN;
    if (self->settled) {
        (void)snprintf(self->why, sizeof self->why, "its name leads to addresses of several rules in turn");
        return PASSAGE_CLOSED;
    }
    self->rule = rule;
    return PASSAGE_AGAIN;
}

void passage_clear(passage_t *self) {
    policy_release(&self->policy);
    free(self->path);
    free(self->host_header);
    *self = (passage_t){0};
}
