#include "cli/task_timeline.h"

#include <inttypes.h>
#include <string.h>

#include "cli/json_read.h"
#include "cli/sentence.h"

#define CLOCK_TIME   14 /* columns of a time of today with its milliseconds, and the gap behind it */
#define CLOCK_DATE   25 /* and with its day */
#define GAP_COLUMNS  11 /* at least, of the time since the line before */
#define GAP_TEXT_MAX (PAGE_SHORT_MAX + 8)

static void say_result(sentence_t *s, yajl_val entry) {
    char buf[PAGE_SHORT_MAX];
    const char *why = json_text(entry, "why");
    if (json_true(entry, "agent_error"))
        sentence_add(s, "result: the request could not be done%s%.200s", why[0] != '\0' ? ": " : ", and why",
                     why);
    else
        sentence_add(s, "result: HTTP %" PRId64 ", %s", json_number(entry, "status"),
                     page_bytes(json_number(entry, "body_bytes"), buf));
}

static void say_upload_failed(sentence_t *s, yajl_val entry) {
    char buf[PAGE_SHORT_MAX];
    const char *why = json_text(entry, "why");
    sentence_add(s, "upload failed: ");
    if (why[0] != '\0')
        sentence_add(s, "%.200s", why);
    else
        sentence_add(s, "%.20s %" PRId64 " (%.20s)", json_text(entry, "call"), json_number(entry, "status"),
                     json_text(entry, "outcome"));
    if (json_number(entry, "next_try_in_ms") > 0)
        sentence_add(s, "; next try after %s", page_duration(json_number(entry, "next_try_in_ms"), buf));
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
        if (!json_is(entry, "event", plain[i].event)) continue;
        const char *why = json_text(entry, "why");
        sentence_add(s, "%s%s%.200s", plain[i].text, why[0] != '\0' ? ": " : "", why);
        return plain[i].style;
    }
    sentence_add(s, "%.40s", json_text(entry, "event"));
    return STYLE_DIM;
}

static style_t say_event(sentence_t *s, yajl_val entry) {
    if (json_is(entry, "event", "pushed") || json_is(entry, "event", "kept")) {
        sentence_add(s, json_is(entry, "event", "pushed") ? "handed to " : "still with ");
        sentence_add_worker(s, entry, "worker");
    } else if (json_is(entry, "event", "result")) {
        say_result(s, entry);
        return json_true(entry, "agent_error") ? STYLE_WARN : STYLE_PLAIN;
    } else if (json_is(entry, "event", "upload_failed")) {
        say_upload_failed(s, entry);
        return STYLE_WARN;
    } else if (json_is(entry, "event", "delivered")) {
        sentence_add(s, "AC took the result: %.20s %" PRId64, json_text(entry, "call"),
                     json_number(entry, "status"));
        return STYLE_GOOD;
    } else if (json_is(entry, "event", "omitted")) {
        sentence_add(s, "(%" PRId64 " entries are left out)", json_number(entry, "count"));
        return STYLE_DIM;
    } else {
        return say_plain(s, entry);
    }
    return STYLE_PLAIN;
}

/* The time since the line before, "" for the first. */
static const char *gap_text(yajl_val entry, int64_t before_ms, char text[GAP_TEXT_MAX]) {
    char gap[PAGE_SHORT_MAX];
    int64_t passed_ms = page_since(json_number(entry, "at_ms"), before_ms);
    if (before_ms == 0 || passed_ms < 0) /* the clock was set back */
        text[0] = '\0';
    else if (passed_ms >= 10000)
        (void)snprintf(text, GAP_TEXT_MAX, "+%s", page_duration(passed_ms, gap));
    else
        (void)snprintf(text, GAP_TEXT_MAX, "+%" PRId64 " ms", passed_ms);
    return text;
}

static void put_entry(page_t *page, yajl_val entry, int64_t now_ms, int64_t before_ms, unsigned columns,
                      unsigned gap_columns) {
    char at[PAGE_SHORT_MAX], cell[GAP_TEXT_MAX];
    int64_t at_ms = json_number(entry, "at_ms");
    sentence_t s = {.len = 0};
    (void)snprintf(cell, sizeof cell, "%s.%03d", page_time(at_ms, now_ms, at),
                   at_ms > 0 ? (int)(at_ms % 1000) : 0);
    page->used = 0;
    page_add_cell(page, STYLE_DIM, cell, columns);
    page_add_cell(page, STYLE_DIM, gap_text(entry, before_ms, cell), gap_columns);
    style_t style = say_event(&s, entry);
    page_add_words_at(page, style, s.text, columns + gap_columns);
    page_end(page);
}

/* What an executor has measured the broker hears of with the result: it may have happened before the claim
 * was noted, or that the executor came back. */
static bool is_measured(yajl_val entry) {
    return json_is(entry, "event", "started") || json_is(entry, "event", "connected") ||
           json_is(entry, "event", "first_byte") || json_is(entry, "event", "result");
}

static bool may_come_late(yajl_val entry) {
    return json_is(entry, "event", "claimed") || json_is(entry, "event", "kept") ||
           json_is(entry, "event", "handed_out_again");
}

/* As it happened: the broker tells it as it came to know. */
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

void task_timeline(page_t *page, yajl_val task, int64_t now_ms) {
    char at[PAGE_SHORT_MAX], text[GAP_TEXT_MAX];
    size_t count = json_count(task, "timeline");
    if (count > 0) in_order(json_member(task, "timeline")->u.array.values, count);
    unsigned columns = CLOCK_TIME, gap_columns = GAP_COLUMNS;
    int64_t before_ms = 0;
    for (size_t i = 0; i < count; i++) {
        yajl_val entry = json_item(task, "timeline", i);
        size_t gap = strlen(gap_text(entry, before_ms, text)) + 2;
        before_ms = json_number(entry, "at_ms");
        if (strlen(page_time(before_ms, now_ms, at)) > 8) columns = CLOCK_DATE;
        if (gap > gap_columns) gap_columns = (unsigned)gap;
    }
    before_ms = 0;
    for (size_t i = 0; i < count; i++) {
        yajl_val entry = json_item(task, "timeline", i);
        put_entry(page, entry, now_ms, before_ms, columns, gap_columns);
        before_ms = json_number(entry, "at_ms");
    }
}
