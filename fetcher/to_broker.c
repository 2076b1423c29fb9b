#include "fetcher/to_broker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/err.h"
#include "common/log.h"

#define PUSH_EVERY_US 300 /* tasks that follow each other faster go together */
#define FULL_RETRY_MS 20  /* when the broker is behind, or its socket is not connected yet */

/* A fetch the broker has not accepted yet. */
typedef struct fetch_t {
    struct fetch_t *next;
    msg_t msg; /* its texts live in `header` */
    char *header, *task;
    size_t header_bytes, task_bytes;
    int64_t send_ms, save_ms; /* when it is to be pushed, and written */
    int slot;                 /* of the window, -1 for none */
    bool saved;
} fetch_t;

struct to_broker_t {
    inbox_t *inbox;
    window_t *window;
    uint64_t instance, seq;
    int64_t pushed_us;      /* the latest push */
    fetch_t *first, **last; /* oldest first */
    unsigned count;
    bool save_failed; /* told */
    unsigned bad, doubled;
    bool no_memory; /* what was to be read back stays where it is */
    msg_scratch_t scratch;
};

to_broker_t *to_broker_new(inbox_t *inbox, window_t *window, uint64_t instance) {
    to_broker_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->inbox = inbox;
    self->window = window;
    self->instance = instance;
    self->last = &self->first;
    return self;
}

static void free_fetch(fetch_t *fetch) {
    free(fetch->header);
    free(fetch->task);
    free(fetch);
}

void to_broker_destroy(to_broker_t **self_p) {
    to_broker_t *self = *self_p;
    if (!self) return;
    for (fetch_t *next, *at = self->first; at; at = next) {
        next = at->next;
        free_fetch(at);
    }
    free(self);
    *self_p = NULL;
}

static char *copy_octets(const char *bytes, size_t size) {
    char *copy = malloc(size ? size : 1);
    if (copy) memcpy(copy, bytes, size);
    return copy;
}

/* Takes the header; copies the task. */
static int append(to_broker_t *self, char *header, size_t header_bytes, const char *task, size_t task_bytes,
                  fetch_t **added) {
    fetch_t *fetch = calloc(1, sizeof *fetch);
    if (!fetch) {
        free(header);
        return ERR_NOMEM;
    }
    fetch->slot = -1;
    fetch->header = header;
    fetch->header_bytes = header_bytes;
    fetch->task_bytes = task_bytes;
    fetch->task = copy_octets(task, task_bytes);
    int rc = fetch->task ? msg_decode(header, header_bytes, (int64_t)task_bytes, &fetch->msg, &self->scratch)
                         : ERR_NOMEM;
    if (rc == 0 && fetch->msg.type != MSG_FETCHED) rc = ERR_MALFORMED;
    if (rc != 0) {
        free_fetch(fetch);
        return rc;
    }
    *self->last = fetch;
    self->last = &fetch->next;
    self->count++;
    *added = fetch;
    return 0;
}

/* One that there is no memory for now is neither damaged nor to be dropped. */
static bool keeps_its_place(to_broker_t *self, int rc) {
    self->no_memory = self->no_memory || rc == ERR_NOMEM;
    return rc == ERR_NOMEM;
}

static int load_fetch(void *ctx, const char *header, size_t header_bytes, const char *task,
                      size_t task_bytes) {
    to_broker_t *self = ctx;
    fetch_t *fetch;
    char *copy = copy_octets(header, header_bytes);
    int rc = copy ? append(self, copy, header_bytes, task, task_bytes, &fetch) : ERR_NOMEM;
    if (rc == 0) fetch->saved = true;
    return keeps_its_place(self, rc) ? 0 : rc;
}

static bool is_held(const to_broker_t *self, const fetch_t *fetch) {
    const msg_fetched_t *of = &fetch->msg.fetched;
    for (const fetch_t *at = self->first; at != fetch; at = at->next)
        if (at->msg.fetched.instance == of->instance && at->msg.fetched.seq == of->seq) return true;
    return false;
}

/* After the inbox: what has got that far is not taken twice. */
static int load_slot(void *ctx, int slot, const char *header, size_t header_bytes, const char *task,
                     size_t task_bytes) {
    to_broker_t *self = ctx;
    fetch_t **last = self->last, *fetch;
    char *copy = copy_octets(header, header_bytes);
    int rc = copy ? append(self, copy, header_bytes, task, task_bytes, &fetch) : ERR_NOMEM;
    if (rc != 0) return keeps_its_place(self, rc) ? 0 : rc;
    fetch->slot = slot;
    if (!is_held(self, fetch)) return 0;
    *last = NULL;
    self->last = last;
    self->count--;
    free_fetch(fetch);
    self->doubled++;
    return ERR_STATE;
}

static void load_bad(void *ctx, const char *name, const char *why) {
    to_broker_t *self = ctx;
    char quoted[2][LOG_QUOTED_MAX];
    self->bad++;
    log_error("inbox_file_damaged", "file=%s why=%s set_aside=1", log_quote(name, quoted[0]),
              log_quote(why, quoted[1]));
}

int to_broker_load(to_broker_t *self) {
    inbox_reader_t reader = {self, load_fetch, load_bad};
    int rc = inbox_load(self->inbox, &reader);
    unsigned emptied = rc == 0 ? window_load(self->window, load_slot, self) : 0;
    if (emptied > self->doubled)
        log_warn("window_damaged",
                 "slots=%u remark=\"as many tasks may be lost; AC may hand them out again\"",
                 emptied - self->doubled);
    if (rc == 0 && self->no_memory) return ERR_NOMEM;
    if (rc == 0 && self->count + self->bad > 0)
        log_info("inbox_read", "tasks=%u damaged=%u", self->count, self->bad);
    return rc;
}

int to_broker_add(to_broker_t *self, const msg_fetched_t *fetched, const char *task, size_t task_bytes,
                  int64_t now_ms) {
    msg_t msg = {.type = MSG_FETCHED, .fetched = *fetched};
    char *header = NULL;
    size_t header_bytes = 0;
    fetch_t *fetch;
    msg.fetched.instance = self->instance;
    msg.fetched.seq = ++self->seq;
    int rc = msg_encode(&msg, &header, &header_bytes);
    if (rc == 0) rc = append(self, header, header_bytes, task, task_bytes, &fetch);
    if (rc != 0) return rc;
    fetch->slot = window_put(self->window, header, header_bytes, task, task_bytes);
    fetch->send_ms = now_ms;
    fetch->save_ms = now_ms + INBOX_AFTER_MS;
    return 0;
}

void to_broker_accepted(to_broker_t *self, const msg_accepted_t *accepted) {
    char quoted[LOG_QUOTED_MAX], id[MSG_TASK_ID_MAX + 1];
    for (fetch_t **at = &self->first; *at; at = &(*at)->next) {
        fetch_t *fetch = *at;
        if (fetch->msg.fetched.instance != accepted->instance || fetch->msg.fetched.seq != accepted->seq)
            continue;
        log_debug("task_accepted", "task=%s number=%" PRIu64 " verdict=%u",
                  log_quote(str_copy(fetch->msg.fetched.task_id, id, sizeof id), quoted), accepted->number,
                  accepted->verdict);
        *at = fetch->next;
        if (self->last == &fetch->next) self->last = at;
        self->count--;
        if (fetch->saved) inbox_remove(self->inbox, accepted->instance, accepted->seq);
        window_drop(self->window, fetch->slot);
        free_fetch(fetch);
        return;
    }
}

void to_broker_welcome(to_broker_t *self, int64_t now_ms) {
    for (fetch_t *at = self->first; at; at = at->next)
        at->send_ms = now_ms;
}

unsigned to_broker_count(const to_broker_t *self) {
    return self->count;
}

at_risk_t to_broker_at_risk(const to_broker_t *self, int64_t now_ms) {
    at_risk_t risk = {0};
    for (const fetch_t *at = self->first; at; at = at->next) {
        if (at->saved) continue;
        int64_t age_ms = now_ms - (at->save_ms - INBOX_AFTER_MS);
        if (age_ms > risk.age_ms) risk.age_ms = age_ms;
        risk.in_memory += at->slot < 0;
        risk.unsynced++;
    }
    return risk;
}

bool to_broker_has_room(const to_broker_t *self) {
    const fetch_t *oldest = self->first;
    while (oldest && oldest->msg.fetched.instance != self->instance)
        oldest = oldest->next;
    uint64_t span = oldest ? self->seq - oldest->msg.fetched.seq + 1 : 0;
    return self->count < PROTOCOL_FETCH_WINDOW && span < PROTOCOL_FETCH_WINDOW;
}

bool to_broker_saved(const to_broker_t *self) {
    for (const fetch_t *at = self->first; at; at = at->next)
        if (!at->saved) return false;
    return true;
}

static void save(to_broker_t *self, fetch_t *fetch, int64_t now_ms) {
    char quoted[LOG_QUOTED_MAX];
    const msg_fetched_t *fetched = &fetch->msg.fetched;
    if (inbox_write(self->inbox, fetched->instance, fetched->seq, fetch->header, fetch->header_bytes,
                    fetch->task, fetch->task_bytes) == 0) {
        fetch->saved = true;
        window_drop(self->window, fetch->slot);
        fetch->slot = -1;
        CRASH_POINT("inbox.saved");
        if (self->save_failed) log_info("inbox_writable", NULL);
        self->save_failed = false;
        return;
    }
    fetch->save_ms = now_ms + PROTOCOL_REPEAT_MS;
    if (!self->save_failed)
        log_error("inbox_write_failed", "why=%s tasks_in_memory_only=1", log_quote(strerror(errno), quoted));
    self->save_failed = true;
}

void to_broker_turn(to_broker_t *self, link_t *link, bool all, int64_t now_ms) {
    int64_t now_us = self->first ? clock_monotonic_us() : 0;
    bool pushes = all || now_us - self->pushed_us >= PUSH_EVERY_US;
    bool behind = link_session(link) == 0; /* after one that did not go, the next would not either */
    for (fetch_t *at = self->first; at; at = at->next) {
        if (now_ms >= at->send_ms && (pushes || at->slot < 0)) {
            behind = behind || link_push(link, &at->msg, at->task, at->task_bytes) != 0;
            at->send_ms = now_ms + (behind ? FULL_RETRY_MS : PROTOCOL_REPEAT_MS);
            self->pushed_us = now_us;
        }
        if (!at->saved && now_ms >= at->save_ms) save(self, at, now_ms);
    }
}

int64_t to_broker_due(const to_broker_t *self, bool session) {
    int64_t due = INT64_MAX;
    for (const fetch_t *at = self->first; at; at = at->next) {
        int64_t send_ms =
            at->send_ms + (at->slot >= 0); /* one that was passed over waits for a millisecond */
        if (session && send_ms < due) due = send_ms;
        if (!at->saved && at->save_ms < due) due = at->save_ms;
    }
    return due;
}
