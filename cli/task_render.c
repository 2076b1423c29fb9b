#include "cli/task_render.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "cli/json_read.h"

#define SENTENCE_MAX 480
#define CLOCK_TIME   14 /* columns of a time of today with its milliseconds, and the gap behind it */
#define CLOCK_DATE   25 /* and with its day */
#define GAP_COLUMNS  11 /* of the time since the line before */

/* What is said of a state or an event, put together before it is broken into lines. */
typedef struct {
    char text[SENTENCE_MAX];
    size_t len;
} sentence_t;

static void say(sentence_t *self, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(sentence_t *self, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(self->text + self->len, sizeof self->text - self->len, fmt, args);
    va_end(args);
    if (n > 0) self->len += (size_t)n;
    if (self->len >= sizeof self->text) self->len = sizeof self->text - 1;
}

static bool is(yajl_val node, const char *name, const char *value) {
    return strcmp(json_text(node, name), value) == 0;
}

/* A difference that cannot overflow, whatever the broker sent. */
static int64_t since(int64_t now_ms, int64_t then_ms) {
    int64_t ms;
    return __builtin_sub_overflow(now_ms, then_ms, &ms) ? 0 : ms;
}

/* The latest entry of the timeline with that event; NULL when there is none. */
static yajl_val latest(yajl_val task, const char *event) {
    for (size_t i = json_count(task, "timeline"); i-- > 0;)
        if (is(json_item(task, "timeline", i), "event", event)) return json_item(task, "timeline", i);
    return NULL;
}

static void say_worker(sentence_t *s, yajl_val node, const char *name) {
    say(s, "%.64s (pid %" PRId64, json_text(node, name), json_number(node, "pid"));
    if (json_text(node, "host")[0] != '\0') say(s, " on %.64s", json_text(node, "host"));
    say(s, ")");
}

/* --- where it is --- */

/* Whether the latest upload failed at the store of large bodies, and not at AC. */
static bool at_store(yajl_val task) {
    return is(latest(task, "upload_failed"), "call", "store");
}

/* "3 tries, last 503 at 10:12:03", as far as there were any. False when there was none. */
static bool say_tries(sentence_t *s, yajl_val task, const char *whose, int64_t now_ms) {
    char buf[PAGE_SHORT_MAX];
    int64_t tries = json_number(task, "tries");
    yajl_val last = latest(task, "upload_failed");
    if (tries > 0) say(s, "%s %s", page_number(tries, buf), tries == 1 ? "try" : "tries");
    if (last == NULL) return tries > 0;
    say(s, "%slast ", tries > 0 ? ", " : "");
    if (json_number(last, "status") > 0)
        say(s, "%" PRId64, json_number(last, "status"));
    else
        say(s, "%.20s", json_text(last, "outcome"));
    say(s, "%s at %s", whose, page_time(json_number(last, "at_ms"), now_ms, buf));
    return true;
}

static void say_done(sentence_t *s, yajl_val task, int64_t now_ms) {
    char buf[PAGE_SHORT_MAX];
    say(s, ": ");
    bool tried = say_tries(s, task, "", now_ms);
    if (json_has_number(task, "next_try_ms"))
        say(s, "%snext try in %s", tried ? ", " : "",
            page_duration(since(json_number(task, "next_try_ms"), now_ms), buf));
    else
        say(s, "%sthe result waits for %.100s", tried ? "; " : "", json_text(task, "waits_for"));
}

static void say_uploading(sentence_t *s, yajl_val task, int64_t now_ms) {
    say(s, ": the result is with ");
    say_worker(s, json_member(task, "worker"), "name");
    say(s, ", which waits for %.100s",
        is(task, "state", "handed") ? "its turn" : json_text(task, "waits_for"));
    if (json_number(task, "tries") == 0 && latest(task, "upload_failed") == NULL) return;
    say(s, "; ");
    (void)say_tries(s, task, at_store(task) ? " of the store" : "", now_ms);
}

/* What the broker knows of it is in no journal, and nobody has been told. */
static void say_unwritten(sentence_t *s, yajl_val root) {
    say(s, " for the journal to be writable; until then nothing is sent that is not in it: %.200s",
        json_text(json_member(root, "journal"), "error"));
}

/* The tool has answered, and its answer is on its way to the broker. */
static void say_answered(sentence_t *s, yajl_val task) {
    char buf[PAGE_SHORT_MAX], come[PAGE_SHORT_MAX];
    yajl_val body = json_member(task, "body");
    const char *all = page_bytes(json_number(body, "bytes"), buf);
    say(s, "; ");
    if (body == NULL)
        say(s, "it waits for %.100s", json_text(task, "waits_for"));
    else if (json_has_number(body, "place"))
        say(s, "its body of %s waits for %.100s (place %" PRId64 ")", all, json_text(task, "waits_for"),
            json_number(body, "place"));
    else
        say(s, "%s of its body's %s have come", page_bytes(json_number(body, "come"), come), all);
    if (json_member(task, "worker") == NULL) return;
    say(s, "; it is with ");
    say_worker(s, json_member(task, "worker"), "name");
}

static void say_running(sentence_t *s, yajl_val task, int64_t now_ms) {
    char buf[PAGE_SHORT_MAX];
    yajl_val claimed = latest(task, "claimed");
    if (claimed == NULL) claimed = latest(task, "kept");
    say(s, " at %.100s by ", json_text(task, "host"));
    if (json_member(task, "worker") != NULL)
        say_worker(s, json_member(task, "worker"), "name");
    else
        say(s, "an executor that has not come back since the broker's start");
    if (claimed != NULL) say(s, " for %s", page_duration(since(now_ms, json_number(claimed, "at_ms")), buf));
    say(s, "; it expires in %s", page_duration(since(json_number(task, "expires_ms"), now_ms), buf));
}

static void say_buried(sentence_t *s, yajl_val task, int64_t now_ms, int64_t days) {
    char at[PAGE_SHORT_MAX];
    int64_t buried_ms = json_number(task, "buried_ms"), until_ms;
    say(s,
        " at %s, for the result was refused: %.200s; `sluice dead retry --number %" PRId64
        "` has it tried again",
        page_time(buried_ms, now_ms, at), json_text(task, "reason"), json_number(task, "number"));
    if (days > 0 && days < 40000 && !__builtin_add_overflow(buried_ms, days * 86400000, &until_ms))
        say(s, ", until %s", page_time(until_ms, now_ms, at));
}

/* Why the task was not done, in the words of whoever gave up; NULL when the tool answered. */
static const char *why_not_done(yajl_val task) {
    static const char head[] = "Agent Side Error: Error: ";
    yajl_val result = latest(task, "result"), failed = latest(task, "failed");
    const char *why = json_text(failed != NULL ? failed : result, "why");
    if (failed == NULL && !json_true(result, "agent_error")) return NULL;
    return strncmp(why, head, sizeof head - 1) == 0 ? why + sizeof head - 1 : why;
}

/* How long it took: of a quick one to the millisecond. */
static void say_took(sentence_t *s, int64_t ms) {
    char buf[PAGE_SHORT_MAX];
    if (ms >= 0 && ms < 1000)
        say(s, ", %" PRId64 " ms after the task came", ms);
    else
        say(s, ", %s after the task came", page_duration(ms, buf));
}

static void say_gone(sentence_t *s, yajl_val task, int64_t now_ms) {
    char at[PAGE_SHORT_MAX];
    yajl_val delivered = latest(task, "delivered"), dropped = latest(task, "dropped");
    int64_t ended_ms = json_number(task, "ended_ms");
    say(s, " at %s: ", page_time(ended_ms, now_ms, at));
    if (delivered == NULL) {
        say(s, "%.200s", json_text(dropped, "why"));
        return;
    }
    say(s, "AC took the result (%.20s %" PRId64 ")", json_text(delivered, "call"),
        json_number(delivered, "status"));
    say_took(s, since(ended_ms, json_number(task, "accepted_ms")));
    const char *why = why_not_done(task);
    if (why != NULL) say(s, "; it says that the request could not be done%s%.200s", why[0] ? ": " : "", why);
}

static void say_ready(sentence_t *s, yajl_val task) {
    char buf[PAGE_SHORT_MAX];
    say(s, " for %.100s", json_text(task, "waits_for"));
    if (json_has_number(task, "place"))
        say(s, "; number %s in the queue", page_number(json_number(task, "place"), buf));
}

static void put_where(page_t *page, yajl_val task, yajl_val root) {
    static const struct {
        const char *state, *text;
        style_t style;
    } heads[] = {{"ready", "waiting", STYLE_STRONG},
                 {"pushed", "handed", STYLE_STRONG},
                 {"running", "running", STYLE_STRONG},
                 {"done", "waiting for AC", STYLE_WARN},
                 {"handed", "on its way to AC", STYLE_STRONG},
                 {"uploading", "on its way to AC", STYLE_STRONG},
                 {"buried", "buried", STYLE_BAD},
                 {"gone", "delivered", STYLE_GOOD},
                 {"dropped", "dropped", STYLE_BAD}};
    int64_t now_ms = json_number(root, "now_ms");
    sentence_t s = {.len = 0};
    bool unwritten = json_true(task, "unwritten"), answered = json_true(task, "answered") && !unwritten;
    page_label(page, "Now");
    if (unwritten) page_add(page, STYLE_BAD, "waiting");
    if (answered) page_add(page, STYLE_STRONG, "the tool has answered");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        if (!answered && !unwritten && is(task, "state", heads[i].state))
            page_add(page, heads[i].style, "%s",
                     is(task, "state", "done") && at_store(task) ? "waiting for the store" : heads[i].text);
    if (unwritten) {
        say_unwritten(&s, root);
    } else if (answered) {
        say_answered(&s, task);
    } else if (is(task, "state", "ready")) {
        say_ready(&s, task);
    } else if (is(task, "state", "pushed")) {
        say(&s, " to ");
        say_worker(&s, json_member(task, "worker"), "name");
        say(&s, ", which has not claimed it yet");
    } else if (is(task, "state", "running")) {
        say_running(&s, task, now_ms);
    } else if (is(task, "state", "done")) {
        say_done(&s, task, now_ms);
    } else if (is(task, "state", "buried")) {
        say_buried(&s, task, now_ms, json_number(root, "dead_letter_days"));
    } else if (is(task, "state", "gone") || is(task, "state", "dropped")) {
        say_gone(&s, task, now_ms);
    } else {
        say_uploading(&s, task, now_ms);
    }
    page_add_words(page, STYLE_PLAIN, s.text);
    page_end(page);
}

/* --- the timeline --- */

static void say_result(sentence_t *s, yajl_val entry) {
    char buf[PAGE_SHORT_MAX];
    const char *why = json_text(entry, "why");
    if (json_true(entry, "agent_error"))
        say(s, "result: the request could not be done%s%.200s", why[0] != '\0' ? ": " : ", and why", why);
    else
        say(s, "result: HTTP %" PRId64 ", %s", json_number(entry, "status"),
            page_bytes(json_number(entry, "body_bytes"), buf));
}

static void say_upload_failed(sentence_t *s, yajl_val entry) {
    char buf[PAGE_SHORT_MAX];
    const char *why = json_text(entry, "why");
    say(s, "upload failed: ");
    if (why[0] != '\0')
        say(s, "%.200s", why);
    else
        say(s, "%.20s %" PRId64 " (%.20s)", json_text(entry, "call"), json_number(entry, "status"),
            json_text(entry, "outcome"));
    if (json_number(entry, "next_try_in_ms") > 0)
        say(s, "; next try after %s", page_duration(json_number(entry, "next_try_in_ms"), buf));
}

static style_t say_plain(sentence_t *s, yajl_val entry) {
    static const struct {
        const char *event, *text;
        style_t style;
    } plain[] = {{"fetched", "handed out by AC", STYLE_PLAIN},
                 {"accepted", "accepted: in the journal, and queued", STYLE_PLAIN},
                 {"claimed", "claimed", STYLE_PLAIN},
                 {"given_back", "given back before it was begun", STYLE_WARN},
                 {"taken_back", "taken back by the broker", STYLE_WARN},
                 {"lost", "its worker lost it", STYLE_WARN},
                 {"started", "request to the tool begun", STYLE_PLAIN},
                 {"connected", "connected to the tool", STYLE_PLAIN},
                 {"first_byte", "first byte of the tool's answer", STYLE_PLAIN},
                 {"failed", "not done; the result is", STYLE_WARN},
                 {"buried", "buried", STYLE_BAD},
                 {"revived", "to be tried again, by hand", STYLE_PLAIN},
                 {"dropped", "dropped", STYLE_BAD},
                 {"handed_out_again", "handed out by AC once more, and ignored", STYLE_WARN}};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (!is(entry, "event", plain[i].event)) continue;
        const char *why = json_text(entry, "why");
        say(s, "%s%s%.200s", plain[i].text, why[0] != '\0' ? ": " : "", why);
        return plain[i].style;
    }
    say(s, "%.40s", json_text(entry, "event"));
    return STYLE_DIM;
}

static style_t say_event(sentence_t *s, yajl_val entry) {
    if (is(entry, "event", "pushed") || is(entry, "event", "kept")) {
        say(s, is(entry, "event", "pushed") ? "handed to " : "still with ");
        say_worker(s, entry, "worker");
    } else if (is(entry, "event", "result")) {
        say_result(s, entry);
        return json_true(entry, "agent_error") ? STYLE_WARN : STYLE_PLAIN;
    } else if (is(entry, "event", "upload_failed")) {
        say_upload_failed(s, entry);
        return STYLE_WARN;
    } else if (is(entry, "event", "delivered")) {
        say(s, "AC took the result: %.20s %" PRId64, json_text(entry, "call"), json_number(entry, "status"));
        return STYLE_GOOD;
    } else if (is(entry, "event", "omitted")) {
        say(s, "(%" PRId64 " entries are left out)", json_number(entry, "count"));
        return STYLE_DIM;
    } else {
        return say_plain(s, entry);
    }
    return STYLE_PLAIN;
}

static void put_entry(page_t *page, yajl_val entry, int64_t now_ms, int64_t before_ms, unsigned columns) {
    char at[PAGE_SHORT_MAX], gap[PAGE_SHORT_MAX] = "", cell[2 * PAGE_SHORT_MAX];
    int64_t at_ms = json_number(entry, "at_ms"), passed_ms = since(at_ms, before_ms);
    sentence_t s = {.len = 0};
    (void)snprintf(cell, sizeof cell, "%s.%03d", page_time(at_ms, now_ms, at),
                   at_ms > 0 ? (int)(at_ms % 1000) : 0);
    page->used = 0;
    page_add_cell(page, STYLE_DIM, cell, columns);
    if (before_ms == 0 || passed_ms < 0) /* the clock was set back */
        cell[0] = '\0';
    else if (passed_ms >= 10000)
        (void)snprintf(cell, sizeof cell, "+%s", page_duration(passed_ms, gap));
    else
        (void)snprintf(cell, sizeof cell, "+%" PRId64 " ms", passed_ms);
    page_add_cell(page, STYLE_DIM, cell, GAP_COLUMNS);
    style_t style = say_event(&s, entry);
    page_add_words_at(page, style, s.text, columns + GAP_COLUMNS);
    page_end(page);
}

/* What an executor has measured the broker hears of with the result: it may have happened before the claim
 * was noted, or that the executor came back. */
static bool is_measured(yajl_val entry) {
    return is(entry, "event", "started") || is(entry, "event", "connected") ||
           is(entry, "event", "first_byte") || is(entry, "event", "result");
}

static bool may_come_late(yajl_val entry) {
    return is(entry, "event", "claimed") || is(entry, "event", "kept") ||
           is(entry, "event", "handed_out_again");
}

/* The timeline as it happened: the broker tells it as it came to know. */
static void in_order(yajl_val *entries, size_t count) {
    for (size_t i = 1; i < count; i++) {
        yajl_val entry = entries[i];
        size_t to = i;
        if (!is_measured(entry)) continue;
        for (; to > 0 && may_come_late(entries[to - 1]) &&
               json_number(entries[to - 1], "at_ms") > json_number(entry, "at_ms");
             to--)
            entries[to] = entries[to - 1];
        entries[to] = entry;
    }
}

static void put_timeline(page_t *page, yajl_val task, int64_t now_ms) {
    char at[PAGE_SHORT_MAX];
    size_t count = json_count(task, "timeline");
    if (count > 0) in_order(json_member(task, "timeline")->u.array.values, count);
    unsigned columns = CLOCK_TIME;
    for (size_t i = 0; i < count; i++)
        if (strlen(page_time(json_number(json_item(task, "timeline", i), "at_ms"), now_ms, at)) > 8)
            columns = CLOCK_DATE;
    int64_t before_ms = 0;
    for (size_t i = 0; i < count; i++) {
        yajl_val entry = json_item(task, "timeline", i);
        put_entry(page, entry, now_ms, before_ms, columns);
        before_ms = json_number(entry, "at_ms");
    }
}

void task_render(page_t *page, yajl_val root) {
    for (size_t i = 0; i < json_count(root, "tasks"); i++) {
        yajl_val task = json_item(root, "tasks", i);
        if (i > 0) page_end(page);
        page_label(page, "Task");
        page_add_text(page, STYLE_STRONG, json_text(task, "task"), 0);
        page_end(page);
        page_label(page, NULL);
        page_add_text(page, STYLE_PLAIN, json_text(task, "method"), 32);
        page_add(page, STYLE_PLAIN, " ");
        page_add_text(page, STYLE_PLAIN, json_text(task, "host"), 0);
        page_end(page);
        page_label(page, NULL);
        page_add(page, STYLE_PLAIN, "number %" PRId64, json_number(task, "number"));
        page_end(page);
        put_where(page, task, root);
        page_end(page);
        put_timeline(page, task, json_number(root, "now_ms"));
    }
}
