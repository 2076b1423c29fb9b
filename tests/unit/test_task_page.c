/* The page of `sluice task`: one sentence for each state, and that nothing a broker sends can harm it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/json_read.h"
#include "cli/task_render.h"
#include "common/messages.h"

#define NOW                                                                                                  \
    "\"now_ms\":1700000100000,\"dead_letter_days\":7,\"journal\":{\"ok\":false,\"error\":\"no room\"},"
#define TASK                                                                                                 \
    "\"task\":\"t-1\",\"number\":4294967299,\"method\":\"POST\",\"host\":\"jira.example\","                  \
    "\"accepted_ms\":1700000000000,"
#define WORKER "\"worker\":{\"name\":\"executor-1\",\"pid\":7,\"host\":\"h\"},"
#define HOLDS(results, credits)                                                                              \
    "\"worker\":{\"name\":\"uploader\",\"pid\":8,\"results\":" #results ",\"credits\":" #credits "},"
#define TRIED                                                                                                \
    "\"timeline\":[{\"at_ms\":1700000000000,\"event\":\"fetched\"},"                                         \
    "{\"at_ms\":1700000000002,\"event\":\"pushed\",\"worker\":\"executor-1\",\"pid\":7,\"host\":\"h\"},"     \
    "{\"at_ms\":1700000000003,\"event\":\"result\",\"status\":200,\"body_bytes\":5},"                        \
    "{\"at_ms\":1700000090000,\"event\":\"upload_failed\",\"call\":\"put-result\",\"outcome\":\"server\","   \
    "\"status\":503,\"next_try_in_ms\":22000,\"why\":\"answered 503\"},"                                     \
    "{\"at_ms\":1700000091000,\"event\":\"omitted\",\"count\":12},{\"event\":\"lost\",\"why\":\"w\"}]"

#define STORE                                                                                                \
    "\"timeline\":[{\"at_ms\":1700000090000,\"event\":\"upload_failed\",\"call\":\"store\",\"outcome\":"     \
    "\"server\",\"status\":503,\"why\":\"the store at s:443: answered 503\"}]"

#define NOT_DONE(why)                                                                                        \
    "{\"at_ms\":1700000000003,\"event\":\"result\",\"status\":500,\"agent_error\":true,\"why\":\"" why       \
    "\"},"                                                                                                   \
    "{\"event\":\"delivered\",\"call\":\"put-result\",\"status\":200}"

static char *render(const char *json) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    page_t page = {.out = out, .width = 80};
    yajl_val root = json_read(json, strlen(json));
    assert_non_null(out);
    if (root != NULL) task_render(&page, root);
    yajl_tree_free(root);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* White space does not count: lines are broken where they have to be. */
static void flatten(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++)
        if ((*from != ' ' && *from != '\n') || (to > text && to[-1] != ' '))
            *to++ = *from == '\n' ? ' ' : *from;
    *to = '\0';
}

static void test_states(void **state) {
    (void)state;
    static const struct {
        const char *members, *part;
    } table[] = {
        {"\"state\":\"ready\",\"place\":3,\"waits_for\":\"an executor: none is connected\",\"timeline\":[]",
         "Now waiting for an executor: none is connected; number 3 in the queue"},
        {"\"state\":\"pushed\"," WORKER "\"timeline\":[]",
         "Now handed to executor-1 (pid 7 on h), which has not claimed it yet"},
        {"\"state\":\"running\"," WORKER
         "\"expires_ms\":1700000160000,\"timeline\":[{\"at_ms\":1700000088000,"
         "\"event\":\"claimed\"}]",
         "Now running at jira.example by executor-1 (pid 7 on h) for 12 s; it expires in 60 s"},
        {"\"state\":\"pushed\",\"unwritten\":true," WORKER "\"timeline\":[]",
         "Now waiting for the journal to be writable; until then nothing is sent that is not in it: no room"},
        {"\"state\":\"running\",\"answered\":true,\"waits_for\":\"room in the spool\"," WORKER
         "\"body\":{\"bytes\":900000,\"come\":0,\"place\":2},\"timeline\":[]",
         "Now the tool has answered; its body of 900.0 kB waits for room in the spool (place 2); it is with "
         "executor-1 (pid 7 on h)"},
        {"\"state\":\"running\",\"answered\":true," WORKER
         "\"body\":{\"bytes\":900000,\"come\":262144},\"timeline\":[]",
         "Now the tool has answered; 262.1 kB of its body's 900.0 kB have come; it is with"},
        {"\"state\":\"running\",\"answered\":true,\"waits_for\":\"its executor to bring the "
         "answer\",\"timeline\":[]",
         "Now the tool has answered; it waits for its executor to bring the answer"},
        {"\"state\":\"done\",\"tries\":3,\"next_try_ms\":1700000112000,\"waits_for\":\"its next try\"," TRIED,
         ", next try in 12 s"},
        {"\"state\":\"done\",\"tries\":3,\"next_try_ms\":1700000112000," TRIED,
         "Now waiting for AC: 3 tries, last 503 at "},
        {"\"state\":\"done\",\"tries\":2," STORE, "Now waiting for the store: 2 tries, last 503 at "},
        {"\"state\":\"uploading\",\"tries\":2," WORKER STORE, "; 2 tries, last 503 of the store at "},
        {"\"state\":\"done\",\"tries\":0,\"waits_for\":\"the rate limit's minute\",\"timeline\":[]",
         "Now waiting for AC: the result waits for the rate limit's minute"},
        {"\"state\":\"uploading\",\"tries\":1," WORKER "\"waits_for\":\"AC's answer\"," TRIED,
         "Now on its way to AC: the result is with executor-1 (pid 7 on h), which waits for AC's answer; 1 "
         "try,"},
        {"\"state\":\"handed\",\"waits_for\":\"the uploader to claim it\"," WORKER "\"timeline\":[]",
         "Now on its way to AC: the result is with executor-1 (pid 7 on h), which has not claimed it yet"},
        {"\"state\":\"uploading\",\"waits_for\":\"an AC credit: all are with others\"," HOLDS(
             16, 0) "\"timeline\":[]",
         "the result is with uploader (pid 8), which waits for an AC credit: all are with others"},
        {"\"state\":\"uploading\",\"waits_for\":\"AC's answer, or its turn\"," HOLDS(16, 1) "\"timeline\":[]",
         "the result is with uploader (pid 8), which posts the 16 results it holds one after another, this "
         "one now "
         "or in its turn"},
        {"\"state\":\"uploading\",\"waits_for\":\"AC's answer, or its turn\"," HOLDS(3, 2) "\"timeline\":[]",
         ", which posts the 3 results it holds two at a time, this one now or in its turn"},
        {"\"state\":\"uploading\",\"waits_for\":\"AC's answer\"," HOLDS(2, 2) "\"timeline\":[]",
         "the result is with uploader (pid 8), which waits for AC's answer"},
        {"\"state\":\"buried\",\"buried_ms\":1700000000000,\"reason\":\"answered 400\",\"timeline\":[]",
         "for the result was refused: answered 400; `sluice dead retry --number 4294967299` has it tried "
         "again, until "
         "2023-11-2"},
        {"\"state\":\"gone\",\"ended_ms\":1700000010000,\"timeline\":[{\"event\":\"delivered\",\"call\":"
         "\"put-result\",\"status\":200}]",
         ": AC took the result (put-result 200), 10 s after the task came"},
        {"\"state\":\"gone\",\"ended_ms\":1700000000250,\"timeline\":[{\"event\":\"delivered\",\"call\":"
         "\"put-result\",\"status\":200}]",
         ", 250 ms after the task came"},
        {"\"state\":\"dropped\",\"ended_ms\":1700000010000,\"timeline\":[{\"event\":\"dropped\",\"why\":\"by "
         "hand\"}]",
         ": by hand"},
        {"\"state\":\"gone\",\"ended_ms\":1700000000250,\"timeline\":[" NOT_DONE(
             "a:9: connecting: refused") "]",
         ", 250 ms after the task came; it says that the request could not be done: a:9: connecting: "
         "refused"},
        {"\"state\":\"done\",\"timeline\":[" NOT_DONE("a:9: connecting: refused") "]",
         " result: the request could not be done: a:9: connecting: refused"},
        {"\"state\":\"done\",\"timeline\":[" NOT_DONE("") "]",
         " result: the request could not be done, and why"},
        {"\"state\":\"gone\",\"ended_ms\":1700000000250,\"timeline\":[{\"event\":\"failed\",\"why\":\"Agent "
         "Side "
         "Error: Error: task expired\"},{\"event\":\"delivered\",\"call\":\"put-result\",\"status\":200}]",
         "after the task came; it says that the request could not be done: task expired"},
        {"\"state\":\"done\",\"timeline\":[{\"event\":\"given_back\"},{\"event\":\"taken_back\",\"why\":"
         "\"w\"}]",
         "given back before it was begun"},
        {"\"state\":\"done\",\"timeline\":[{\"event\":\"taken_back\",\"why\":\"w\"}]",
         "taken back by the broker: w"},
        {"\"state\":\"done\"," TRIED, "upload failed: answered 503; next try after 22 s"},
        {"\"state\":\"done\"," TRIED, "(12 entries are left out)"},
        {"\"state\":\"done\",\"timeline\":[{\"at_ms\":1700000000000,\"event\":\"buried\"},"
         "{\"at_ms\":1700086140000,\"event\":\"revived\"}]",
         "+23 h 55 min to be tried again, by hand"},
    };
    char json[2048];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        (void)snprintf(json, sizeof json, "{" NOW "\"tasks\":[{" TASK "%s}]}", table[i].members);
        char *page = render(json);
        for (const char *line = page; *line != '\0'; line += strcspn(line, "\n") + 1)
            if (strcspn(line, "\n") > 80) fail_msg("too wide: %.*s", (int)strcspn(line, "\n"), line);
        flatten(page);
        if (strstr(page, table[i].part) == NULL) fail_msg("\"%s\" is missing in:\n%s", table[i].part, page);
        free(page);
    }
}

/* What an executor has measured stands where it happened, though the broker heard of it later; and no step
 * goes back in time, not even when the clock does. */
static void test_order(void **state) {
    (void)state;
    char *page = render("{" NOW "\"tasks\":[{" TASK "\"state\":\"done\",\"timeline\":["
                        "{\"at_ms\":1700000000000,\"event\":\"pushed\",\"worker\":\"e\"},"
                        "{\"at_ms\":1700000000009,\"event\":\"claimed\"},"
                        "{\"at_ms\":1700000007000,\"event\":\"kept\",\"worker\":\"e\"},"
                        "{\"at_ms\":1700000000005,\"event\":\"started\"},"
                        "{\"at_ms\":1700000000007,\"event\":\"connected\"},"
                        "{\"at_ms\":1700000000011,\"event\":\"first_byte\"},"
                        "{\"at_ms\":1700000000012,\"event\":\"result\"},"
                        "{\"at_ms\":1700000002000,\"event\":\"pushed\",\"worker\":\"u\"}]}]}");
    static const char *const order[] = {"handed to e",  "+5 ms",   "begun",      "+2 ms",      "connected",
                                        "+2 ms",        "claimed", "+2 ms",      "first byte", "+1 ms",
                                        "result: HTTP", "still",   "handed to u"};
    const char *at = page;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const char *found = strstr(at, order[i]);
        if (found == NULL) fail_msg("no \"%s\" behind the others in:\n%s", order[i], page);
        at = found == NULL ? "" : found + strlen(order[i]);
    }
    assert_null(strstr(page, " -"));
    free(page);
}

/* Only the latest lives of a taskId are told, and the page says so when there may be more. */
static void test_lives(void **state) {
    (void)state;
    static const char life[] = "{" TASK "\"state\":\"gone\",\"timeline\":[]},";
    static const char held[] = "{" TASK "\"state\":\"ready\",\"timeline\":[]}]}";
    static const char limit[] = "the latest 20 that are gone; there may be earlier ones\n\nTask ";
    static char json[sizeof life * (MSG_LIVES_MAX + 4)];
    for (int lives = MSG_LIVES_MAX - 1; lives <= MSG_LIVES_MAX; lives++) {
        size_t len = (size_t)snprintf(json, sizeof json, "{" NOW "\"tasks\":[");
        for (int i = 0; i < lives; i++)
            len += (size_t)snprintf(json + len, sizeof json - len, "%s", life);
        (void)snprintf(json + len, sizeof json - len, "%s", held);
        char *page = render(json);
        assert_int_equal(strncmp(page, limit, sizeof limit - 1) == 0, lives == MSG_LIVES_MAX);
        assert_int_equal(strstr(page, "the latest") != NULL, lives == MSG_LIVES_MAX);
        free(page);
    }
}

/* Every cut and every changed octet of a good answer. */
static void test_nothing_harms_it(void **state) {
    (void)state;
    static const char full[] =
        "{" NOW "\"tasks\":[{" TASK "\"state\":\"done\",\"tries\":3," WORKER TRIED "}]}";
    static const char bytes[] = {'0', '"', '[', '}', ',', '-', '\x1b', '\xff'};
    char text[sizeof full];
    for (size_t i = 0; i < sizeof full - 1; i++) {
        for (size_t j = 0; j < sizeof bytes; j++) {
            memcpy(text, full, sizeof full);
            text[i] = bytes[j];
            char *page = render(text);
            assert_null(strchr(page, '\x1b'));
            free(page);
        }
    }
    static const char *const odd[] = {
        "{}",
        "{\"tasks\":7}",
        "{\"tasks\":[7,null,[],{}]}",
        "{\"tasks\":[{\"timeline\":[7,null,{}]}]}",
        "{\"now_ms\":-9223372036854775808,\"tasks\":[{\"state\":\"running\",\"expires_ms\":"
        "9223372036854775807}]}",
        "{\"now_ms\":9223372036854775807,\"dead_letter_days\":39999,\"tasks\":[{\"state\":\"buried\","
        "\"buried_ms\":9223372036854775807,\"timeline\":[{\"at_ms\":-9223372036854775808},{\"at_ms\":1}]}]}",
        "{\"tasks\":[{\"task\":\"a\\u202eb\"}]}", /* shows the rest of the line from right to left */
        "{\"tasks\":[{\"task\":\"\\u001b[2J\",\"state\":\"dropped\",\"timeline\":[{\"event\":\"\\u009b\"}]}]"
        "}"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char *page = render(odd[i]);
        assert_null(strchr(page, '\x1b'));
        assert_null(strstr(page, "\xc2\x9b"));
        assert_null(strstr(page, "\xe2\x80\xae"));
        free(page);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_nothing_harms_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
