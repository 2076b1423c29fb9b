#include "cli/task_render.h"

#include <inttypes.h>
#include <string.h>

#include "cli/json_read.h"
#include "cli/sentence.h"
#include "cli/task_timeline.h"
#include "common/messages.h"

/* The latest entry of the timeline with that event; NULL when there is none. */
static yajl_val latest(yajl_val task, const char *event) {
    for (size_t i = json_count(task, "timeline"); i-- > 0;)
        if (json_is(json_item(task, "timeline", i), "event", event)) return json_item(task, "timeline", i);
    return NULL;
}

/* --- where it is --- */

/* Whether the latest upload failed at the store of large bodies, and not at AC. */
static bool at_store(yajl_val task) {
    return json_is(latest(task, "upload_failed"), "call", "store");
}

/* "3 tries, last 503 at 10:12:03", as far as there were any. False when there was none. */
static bool say_tries(sentence_t *s, yajl_val task, const char *whose, int64_t now_ms) {
    char buf[PAGE_SHORT_MAX];
    int64_t tries = json_number(task, "tries");
    yajl_val last = latest(task, "upload_failed");
    if (tries > 0) sentence_add(s, "%s %s", page_number(tries, buf), tries == 1 ? "try" : "tries");
    if (last == NULL) return tries > 0;
    sentence_add(s, "%slast ", tries > 0 ? ", " : "");
    if (json_number(last, "status") > 0)
        sentence_add(s, "%" PRId64, json_number(last, "status"));
    else
        sentence_add(s, "%.20s", json_text(last, "outcome"));
    sentence_add(s, "%s at %s", whose, page_time(json_number(last, "at_ms"), now_ms, buf));
    return true;
}

static void say_done(sentence_t *s, yajl_val task, int64_t now_ms) {
    char buf[PAGE_SHORT_MAX];
    sentence_add(s, ": ");
    bool tried = say_tries(s, task, "", now_ms);
    if (json_has_number(task, "next_try_ms"))
        sentence_add(s, "%snext try in %s", tried ? ", " : "",
                     page_duration(page_since(json_number(task, "next_try_ms"), now_ms), buf));
    else
        sentence_add(s, "%sthe result waits for %.100s", tried ? "; " : "", json_text(task, "waits_for"));
}

/* It has claimed up to 16 results, and posts as many of them at a time as it holds credits. */
static void say_what_uploader_does(sentence_t *s, yajl_val task) {
    char buf[PAGE_SHORT_MAX];
    yajl_val worker = json_member(task, "worker");
    int64_t results = json_number(worker, "results"), credits = json_number(worker, "credits");
    if (json_is(task, "state", "handed"))
        sentence_add(s, ", which has not claimed it yet");
    else if (credits > 0 && credits < results)
        sentence_add(s, ", which posts the %s results it holds %s, this one now or in its turn",
                     page_number(results, buf), credits == 1 ? "one after another" : "two at a time");
    else
        sentence_add(s, ", which waits for %.100s", json_text(task, "waits_for"));
}

static void say_uploading(sentence_t *s, yajl_val task, int64_t now_ms) {
    sentence_add(s, ": the result is with ");
    sentence_add_worker(s, json_member(task, "worker"), "name");
    say_what_uploader_does(s, task);
    if (json_number(task, "tries") == 0 && latest(task, "upload_failed") == NULL) return;
    sentence_add(s, "; ");
    (void)say_tries(s, task, at_store(task) ? " of the store" : "", now_ms);
}

/* What the broker knows of it is in no journal, and nobody has been told. */
static void say_unwritten(sentence_t *s, yajl_val root) {
    sentence_add(s, " for the journal to be writable; until then nothing is sent that is not in it: %.200s",
                 json_text(json_member(root, "journal"), "error"));
}

/* The tool has answered, and its answer is on its way to the broker. */
static void say_answered(sentence_t *s, yajl_val task) {
    char buf[PAGE_SHORT_MAX], come[PAGE_SHORT_MAX];
    yajl_val body = json_member(task, "body");
    const char *all = page_bytes(json_number(body, "bytes"), buf);
    sentence_add(s, "; ");
    if (body == NULL)
        sentence_add(s, "it waits for %.100s", json_text(task, "waits_for"));
    else if (json_has_number(body, "place"))
        sentence_add(s, "its body of %s waits for %.100s (place %" PRId64 ")", all,
                     json_text(task, "waits_for"), json_number(body, "place"));
    else
        sentence_add(s, "%s of its body's %s have come", page_bytes(json_number(body, "come"), come), all);
    if (json_member(task, "worker") == NULL) return;
    sentence_add(s, "; it is with ");
    sentence_add_worker(s, json_member(task, "worker"), "name");
}

static void say_running(sentence_t *s, yajl_val task, int64_t now_ms) {
    char buf[PAGE_SHORT_MAX];
    yajl_val claimed = latest(task, "claimed");
    if (claimed == NULL) claimed = latest(task, "kept");
    sentence_add(s, " at %.100s by ", json_text(task, "host"));
    if (json_member(task, "worker") != NULL)
        sentence_add_worker(s, json_member(task, "worker"), "name");
    else
        sentence_add(s, "an executor that has not come back since the broker's start");
    if (claimed != NULL)
        sentence_add(s, " for %s", page_duration(page_since(now_ms, json_number(claimed, "at_ms")), buf));
    sentence_add(s, "; it expires in %s",
                 page_duration(page_since(json_number(task, "expires_ms"), now_ms), buf));
}

static void say_buried(sentence_t *s, yajl_val task, int64_t now_ms, int64_t days) {
    char at[PAGE_SHORT_MAX];
    int64_t buried_ms = json_number(task, "buried_ms"), until_ms;
    sentence_add(s,
                 " at %s, for the result was refused: %.200s; `sluice dead retry --number %" PRId64
                 "` has it tried again",
                 page_time(buried_ms, now_ms, at), json_text(task, "reason"), json_number(task, "number"));
    if (days > 0 && days < 40000 && !__builtin_add_overflow(buried_ms, days * 86400000, &until_ms))
        sentence_add(s, ", until %s", page_time(until_ms, now_ms, at));
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
        sentence_add(s, ", %" PRId64 " ms after the task came", ms);
    else
        sentence_add(s, ", %s after the task came", page_duration(ms, buf));
}

static void say_gone(sentence_t *s, yajl_val task, int64_t now_ms) {
    char at[PAGE_SHORT_MAX];
    yajl_val delivered = latest(task, "delivered"), dropped = latest(task, "dropped");
    int64_t ended_ms = json_number(task, "ended_ms");
    sentence_add(s, " at %s: ", page_time(ended_ms, now_ms, at));
    if (delivered == NULL) {
        sentence_add(s, "%.200s", json_text(dropped, "why"));
        return;
    }
    sentence_add(s, "AC took the result (%.20s %" PRId64 ")", json_text(delivered, "call"),
                 json_number(delivered, "status"));
    say_took(s, page_since(ended_ms, json_number(task, "accepted_ms")));
    const char *why = why_not_done(task);
    if (why != NULL)
        sentence_add(s, "; it says that the request could not be done%s%.200s", why[0] ? ": " : "", why);
}

static void say_ready(sentence_t *s, yajl_val task) {
    char buf[PAGE_SHORT_MAX];
    sentence_add(s, " for %.100s", json_text(task, "waits_for"));
    if (json_has_number(task, "place"))
        sentence_add(s, "; number %s in the queue", page_number(json_number(task, "place"), buf));
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
        if (!answered && !unwritten && json_is(task, "state", heads[i].state))
            page_add(page, heads[i].style, "%s",
                     json_is(task, "state", "done") && at_store(task) ? "waiting for the store"
                                                                      : heads[i].text);
    if (unwritten) {
        say_unwritten(&s, root);
    } else if (answered) {
        say_answered(&s, task);
    } else if (json_is(task, "state", "ready")) {
        say_ready(&s, task);
    } else if (json_is(task, "state", "pushed")) {
        sentence_add(&s, " to ");
        sentence_add_worker(&s, json_member(task, "worker"), "name");
        sentence_add(&s, ", which has not claimed it yet");
    } else if (json_is(task, "state", "running")) {
        say_running(&s, task, now_ms);
    } else if (json_is(task, "state", "done")) {
        say_done(&s, task, now_ms);
    } else if (json_is(task, "state", "buried")) {
        say_buried(&s, task, now_ms, json_number(root, "dead_letter_days"));
    } else if (json_is(task, "state", "gone") || json_is(task, "state", "dropped")) {
        say_gone(&s, task, now_ms);
    } else {
        say_uploading(&s, task, now_ms);
    }
    page_add_words(page, STYLE_PLAIN, s.text);
    page_end(page);
}

/* As many as are told of: there may be more. */
static void put_limit(page_t *page, yajl_val root) {
    size_t gone = 0;
    for (size_t i = 0; i < json_count(root, "tasks"); i++)
        gone += json_is(json_item(root, "tasks", i), "state", "gone") ||
                json_is(json_item(root, "tasks", i), "state", "dropped");
    if (gone < MSG_LIVES_MAX) return;
    page->used = 0;
    page_add(page, STYLE_DIM, "the latest %d that are gone; there may be earlier ones", MSG_LIVES_MAX);
    page_end(page);
    page_end(page);
}

void task_render(page_t *page, yajl_val root) {
    put_limit(page, root);
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
        task_timeline(page, task, json_number(root, "now_ms"));
    }
}
