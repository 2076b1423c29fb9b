#include "cli/status_render.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/fetching.h"
#include "cli/json_read.h"
#include "cli/status_page.h"
#include "common/err.h"

/* A difference that cannot overflow, whatever the broker sent. */
static int64_t since(int64_t now_ms, int64_t then_ms) {
    int64_t ms;
    return __builtin_sub_overflow(now_ms, then_ms, &ms) || ms < 0 ? 0 : ms;
}

static const char *number_text(yajl_val node, const char *name, char buf[PAGE_SHORT_MAX]) {
    return json_has_number(node, name) ? page_number(json_number(node, name), buf) : "-";
}

/* "NAME NUMBER" as an item, when there is such a number. */
static void add_count(page_t *page, yajl_val node, const char *name, const char *label) {
    char buf[PAGE_SHORT_MAX];
    if (json_has_number(node, name)) page_add_item(page, label, page_number(json_number(node, name), buf));
}

/* --- the parts of the page --- */

static void put_head(page_t *page, yajl_val root) {
    char buf[PAGE_SHORT_MAX];
    page->used = 0;
    page_add(page, STYLE_STRONG, "sluice ");
    page_add_text(page, STYLE_STRONG, json_text(root, "version"), 16);
    page_add(page, STYLE_PLAIN, "   agent ");
    page_add_text(page, STYLE_PLAIN, json_text(root, "agent_id"), 24);
    page_add(page, STYLE_PLAIN, "   broker pid %" PRId64, json_number(root, "pid"));
    if (json_has_number(root, "started_ms"))
        page_add(page, STYLE_PLAIN, ", up %s",
                 page_duration(since(json_number(root, "now_ms"), json_number(root, "started_ms")), buf));
    page_end(page);
    page_end(page);
}

static style_t style_of_ac(const char *state) {
    if (strcmp(state, "ok") == 0) return STYLE_GOOD;
    if (strcmp(state, "failing") == 0) return STYLE_WARN;
    return strcmp(state, "closed") == 0 ? STYLE_BAD : STYLE_PLAIN;
}

static void put_ac(page_t *page, yajl_val root) {
    char buf[PAGE_SHORT_MAX];
    yajl_val ac = json_member(root, "ac");
    const char *state = json_text(ac, "state"), *error = json_text(ac, "last_error");
    int64_t now_ms = json_number(root, "now_ms");
    if (ac == NULL) return;
    page_label(page, "AC");
    page_add_text(page, style_of_ac(state), strcmp(state, "unknown") == 0 ? "not asked yet" : state, 20);
    if (json_number(ac, "last_ok_ms") > 0)
        page_add(page, STYLE_PLAIN, ", last good answer %s ago",
                 page_duration(since(now_ms, json_number(ac, "last_ok_ms")), buf));
    page_end(page);
    if (error[0] == '\0') return;
    page_label(page, NULL);
    page_add(page, STYLE_PLAIN,
             "last error %s ago: ", page_duration(since(now_ms, json_number(ac, "last_error_ms")), buf));
    page_add_words(page, STYLE_PLAIN, error);
    page_end(page);
}

static void put_credits(page_t *page, yajl_val gate) {
    char buf[PAGE_SHORT_MAX], used[PAGE_SHORT_MAX], held[2 * PAGE_SHORT_MAX];
    yajl_val credits = json_member(gate, "credits");
    if (!YAJL_IS_ARRAY(credits)) return;
    page_label(page, "Credits");
    page_add(page, STYLE_PLAIN, "%zu of %" PRId64 " held", credits->u.array.len, json_number(gate, "max"));
    page_end(page);
    for (size_t i = 0; i < credits->u.array.len; i++) {
        yajl_val credit = credits->u.array.values[i];
        page_label(page, NULL);
        page_add_cell(page, STYLE_PLAIN, json_text(credit, "kind"), 8);
        page_add_cell(page, STYLE_PLAIN, json_text(credit, "holder"), 14);
        (void)snprintf(used, sizeof used, "%" PRId64 " of %" PRId64, json_number(credit, "used"),
                       json_number(credit, "budget"));
        page_add_cell(page, STYLE_PLAIN, used, 16);
        int len = snprintf(held, sizeof held, "held %s", page_duration(json_number(credit, "age_ms"), buf));
        (void)snprintf(held + len, sizeof held - (size_t)len, ", ends in %s",
                       page_duration(json_number(credit, "expires_in_ms"), buf));
        page_add_words(page, STYLE_PLAIN, held);
        page_end(page);
    }
}

static void put_gate(page_t *page, yajl_val root) {
    char buf[PAGE_SHORT_MAX], limit[PAGE_SHORT_MAX];
    yajl_val gate = json_member(root, "gate");
    const char *waits = json_text(gate, "waiting_for");
    int64_t paused_ms = json_number(gate, "paused_until_ms");
    if (gate == NULL) return;
    page_label(page, "Gate");
    if (json_true(gate, "closed")) page_add(page, STYLE_BAD, "closed%s", waits[0] ? ", " : "");
    if (waits[0] != '\0') {
        page_add(page, STYLE_PLAIN, "waits for ");
        page_add_words(page, STYLE_PLAIN, waits);
    } else if (!json_true(gate, "closed")) {
        page_add(page, STYLE_GOOD, "open");
    }
    page_end(page);
    if (paused_ms > 0) {
        page_label(page, NULL);
        page_add(page, STYLE_WARN, "paused for another %s",
                 page_duration(since(paused_ms, json_number(root, "now_ms")), buf));
        page_end(page);
    }
    page_label(page, NULL);
    page_add(page, STYLE_PLAIN, "%s of %s requests of the last minute used",
             number_text(gate, "rate_used", buf), number_text(gate, "rate_limit", limit));
    if (json_has_number(gate, "fetch_room"))
        page_add(page, STYLE_PLAIN, ", room to fetch %s", number_text(gate, "fetch_room", buf));
    page_end(page);
    put_credits(page, gate);
}

static void put_fetch(page_t *page, yajl_val root) {
    yajl_val fetch = json_member(root, "fetch");
    const char *but = fetching_but(root);
    if (fetch == NULL) return;
    page_label(page, "Fetching");
    if (json_true(fetch, "paused")) {
        page_add(page, STYLE_WARN, "paused");
        int64_t since_ms = json_number(fetch, "by_hand_since_ms"), now_ms = json_number(root, "now_ms");
        const char *reason = json_text(fetch, "reason");
        char at[PAGE_SHORT_MAX], ago[PAGE_SHORT_MAX];
        if (since_ms > 0)
            page_add(page, STYLE_PLAIN, " by hand since %s, %s ago", page_time(since_ms, now_ms, at),
                     page_duration(since(now_ms, since_ms), ago));
        if (reason[0] != '\0' && (since_ms <= 0 || strcmp(reason, "paused by hand") != 0)) {
            page_add(page, STYLE_PLAIN, since_ms > 0 ? "; " : ": ");
            page_add_words(page, STYLE_PLAIN, reason);
        }
    } else {
        page_add(page, but ? STYLE_WARN : STYLE_GOOD, "on");
        if (but) page_add(page, STYLE_PLAIN, ", but %s", but);
    }
    page_end(page);
}

static void put_oldest(page_t *page, yajl_val root) {
    char buf[PAGE_SHORT_MAX], taken[2 * PAGE_SHORT_MAX];
    yajl_val oldest = json_member(root, "oldest");
    if (!YAJL_IS_OBJECT(oldest)) return;
    page_label(page, "Oldest");
    page_add_cell(page, STYLE_PLAIN, json_text(oldest, "task"), 38);
    page_add_cell(page, STYLE_PLAIN, json_text(oldest, "state"), 11);
    (void)snprintf(taken, sizeof taken, "taken %s ago", page_duration(json_number(oldest, "age_ms"), buf));
    page_add_words(page, STYLE_PLAIN, taken);
    page_end(page);
    if (json_number(oldest, "tries") > 0 || json_text(oldest, "reason")[0] != '\0') {
        page_label(page, NULL);
        int64_t tries = json_number(oldest, "tries");
        page_add(page, STYLE_PLAIN, "%s %s: ", page_number(tries, buf), tries == 1 ? "try" : "tries");
        page_add_words(page, STYLE_PLAIN, json_text(oldest, "reason"));
        page_end(page);
    }
}

static void put_queues(page_t *page, yajl_val root) {
    char buf[PAGE_SHORT_MAX];
    yajl_val tasks = json_member(root, "tasks"), results = json_member(root, "results"),
             dead = json_member(root, "dead_letters");
    if (tasks != NULL) {
        page_label(page, "Tasks");
        add_count(page, tasks, "ready", "ready");
        add_count(page, tasks, "running", "running");
        add_count(page, tasks, "limit", "room for");
        add_count(page, tasks, "lookahead", "lookahead");
        page_end(page);
    }
    if (results != NULL) {
        page_label(page, "Results");
        add_count(page, results, "waiting", "waiting");
        add_count(page, results, "uploading", "uploading");
        add_count(page, results, "given_up", "given up for now");
        add_count(page, results, "limit", "room for");
        if (json_has_number(results, "threshold")) {
            (void)snprintf(buf, sizeof buf, "%" PRId64 " %%", json_number(results, "threshold"));
            page_add_item(page, "fetching pauses at", buf);
        }
        page_end(page);
    }
    if (json_has_number(root, "buried")) {
        int64_t buried = json_number(root, "buried");
        page_label(page, "Buried");
        page_add(page, buried > 0 ? STYLE_BAD : STYLE_PLAIN, "%s", page_number(buried, buf));
        if (buried > 0 && json_has_number(dead, "bytes"))
            page_add(page, STYLE_PLAIN, ", %s; `sluice dead` lists them",
                     page_bytes(json_number(dead, "bytes"), buf));
        page_end(page);
    }
}

/* Large bodies on disk. */
static void put_spool(page_t *page, yajl_val root) {
    char buf[PAGE_SHORT_MAX], limit[PAGE_SHORT_MAX];
    yajl_val spool = json_member(root, "spool");
    if (!YAJL_IS_OBJECT(spool)) return;
    page_label(page, "Spool");
    page_add(page, STYLE_PLAIN, "%s of %s", page_bytes(json_number(spool, "bytes"), buf),
             page_bytes(json_number(spool, "limit"), limit));
    if (json_number(spool, "streams") > 0)
        page_add(page, STYLE_PLAIN, ", coming in %s", page_number(json_number(spool, "streams"), buf));
    page_end(page);
    if (json_number(spool, "waiting") == 0) return;
    page_label(page, NULL);
    page_add(page, STYLE_WARN, "%s waiting for room", page_number(json_number(spool, "waiting"), buf));
    page_add(page, STYLE_PLAIN, ", first number %" PRId64 ", %s", json_number(spool, "first_waiting"),
             page_bytes(json_number(spool, "first_waiting_bytes"), buf));
    page_end(page);
}

static void put_worker(page_t *page, yajl_val worker) {
    char buf[PAGE_SHORT_MAX];
    int64_t heard_ms = json_number(worker, "heard_ms");
    bool fetcher = strcmp(json_text(worker, "role"), "fetcher") == 0; /* has no slots */
    page_label(page, NULL);
    page_add_cell(page, STYLE_PLAIN, json_text(worker, "name"), 23);
    page_add_cell(page, STYLE_PLAIN, json_text(worker, "role"), 11);
    (void)snprintf(buf, sizeof buf, "%" PRId64, json_number(worker, "pid"));
    page_add_cell(page, STYLE_PLAIN, buf, 10);
    page_add_cell(page, STYLE_PLAIN, fetcher ? "-" : number_text(worker, "slots", buf), 7);
    page_add_cell(page, STYLE_PLAIN, fetcher ? "-" : number_text(worker, "tasks", buf), 7);
    page_add(page, heard_ms > 3000 ? STYLE_WARN : STYLE_PLAIN, "%s ago", page_duration(heard_ms, buf));
    page_end(page);
    if (!json_true(worker, "leaving")) return;
    page_label(page, NULL);
    page_add(page, STYLE_WARN, "  it is draining");
    page_end(page);
}

static void put_workers(page_t *page, yajl_val root) {
    static const struct {
        const char *name;
        unsigned columns;
    } heads[] = {{"NAME", 23}, {"ROLE", 11}, {"PID", 10}, {"SLOTS", 7}, {"TASKS", 7}, {"HEARD", 7}};
    yajl_val workers = json_member(root, "workers");
    if (!YAJL_IS_ARRAY(workers)) return;
    page_end(page);
    page_label(page, "Workers");
    if (workers->u.array.len == 0) page_add(page, STYLE_WARN, "none is connected");
    for (size_t i = 0; workers->u.array.len > 0 && i < sizeof heads / sizeof heads[0]; i++)
        page_add_cell(page, STYLE_DIM, heads[i].name, heads[i].columns);
    page_end(page);
    for (size_t i = 0; i < workers->u.array.len; i++)
        put_worker(page, workers->u.array.values[i]);
    if (json_number(root, "awaited_workers") > 0) {
        page_label(page, NULL);
        page_add(page, STYLE_WARN, "waiting for %" PRId64 " known from before the broker's start",
                 json_number(root, "awaited_workers"));
        page_end(page);
    }
}

/* All members of an object that are a number, a text or a yes or no; zeros only when `zeros`. */
static void put_items(page_t *page, yajl_val node, bool zeros) {
    char buf[PAGE_SHORT_MAX];
    for (size_t i = 0; i < node->u.object.len; i++) {
        yajl_val value = node->u.object.values[i];
        const char *text = YAJL_IS_INTEGER(value)  ? page_number(YAJL_GET_INTEGER(value), buf)
                           : YAJL_IS_STRING(value) ? YAJL_GET_STRING(value)
                           : YAJL_IS_TRUE(value)   ? "yes"
                           : YAJL_IS_FALSE(value)  ? "no"
                                                   : NULL;
        if (text == NULL || (!zeros && strcmp(text, "0") == 0)) continue;
        char name[64];
        (void)snprintf(name, sizeof name, "%s", node->u.object.keys[i]);
        for (char *c = name; (c = strchr(c, '_')) != NULL;)
            *c = ' ';
        page_add_item(page, name, text);
    }
}

static void put_rest(page_t *page, yajl_val root) {
    char buf[PAGE_SHORT_MAX];
    yajl_val counters = json_member(root, "counters"), journal = json_member(root, "journal"),
             config = json_member(root, "config");
    page_end(page);
    if (YAJL_IS_OBJECT(counters)) {
        page_label(page, "Counters");
        put_items(page, counters, false);
        page_end(page);
    }
    if (YAJL_IS_OBJECT(journal)) {
        bool ok = !YAJL_IS_FALSE(json_member(journal, "ok"));
        page_label(page, "Journal");
        page_add(page, ok ? STYLE_GOOD : STYLE_BAD, ok ? "ok" : "failing");
        page_add(page, STYLE_PLAIN, ", %s, ", page_bytes(json_number(journal, "bytes"), buf));
        page_add_text(page, STYLE_PLAIN, json_text(journal, "path"), 0);
        page_end(page);
        if (json_text(journal, "error")[0] != '\0') {
            page_label(page, NULL);
            page_add_words(page, STYLE_BAD, json_text(journal, "error"));
            page_end(page);
        }
    }
    if (YAJL_IS_OBJECT(config)) {
        page_label(page, "Config");
        put_items(page, config, true);
        page_end(page);
    }
}

int status_render(const char *json, size_t size, unsigned width, bool colour, FILE *out) {
    page_t page = {.out = out, .colour = colour, .width = width < 40 ? 40 : width};
    yajl_val root = json_read(json, size);
    if (root == NULL) return ERR_MALFORMED;
    put_head(&page, root);
    put_ac(&page, root);
    put_gate(&page, root);
    put_fetch(&page, root);
    put_queues(&page, root);
    put_spool(&page, root);
    put_oldest(&page, root);
    put_workers(&page, root);
    put_rest(&page, root);
    yajl_tree_free(root);
    return 0;
}
