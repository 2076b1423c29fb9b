/* `sluice drain` and `sluice resume`: stop and resume fetching by hand. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/fetching.h"
#include "cli/json_read.h"
#include "cli/status_page.h"
#include "cli/tool.h"
#include "common/program.h"

/* Says what fetching does now, by the broker's own word. */
static int report(const char *json, size_t size) {
    char since[PAGE_SHORT_MAX];
    yajl_val root = json_read(json, size), fetch = json_member(root, "fetch");
    if (root == NULL) return tool_complain(EXIT_FAILED, "the broker's answer cannot be shown");
    int64_t since_ms = json_number(fetch, "by_hand_since_ms");
    const char *text = json_text(fetch, "reason"), *but = fetching_but(root);
    if (since_ms > 0)
        (void)printf("fetching is paused by hand since %s; `sluice resume` ends that\n",
                     page_time(since_ms, json_number(root, "now_ms"), since));
    else if (json_true(fetch, "paused"))
        (void)printf("fetching is paused: %s\n", text[0] != '\0' ? text : "no reason given");
    else
        (void)printf("fetching is on%s%s\n", but ? ", but " : "", but ? but : "");
    yajl_tree_free(root);
    return tool_flush() ? EXIT_CLEAN : EXIT_FAILED;
}

static int command(int argc, char **argv, bool drain) {
    tool_t tool;
    char why[ASK_WHY_MAX], *json = NULL;
    size_t size;
    int code = tool_open(&tool, argc, argv, NULL, 0);
    if (code == 0 && tool.word_count > 0)
        code = tool_complain(EXIT_CONFIG, "\"%.100s\" is no option; options begin with --", tool.words[0]);
    if (code != 0 || tool.done) {
        tool_close(&tool);
        return code;
    }
    if (ask_drain(tool.ask, tool.signal_fd, drain, why) != 0)
        code = tool_complain(EXIT_FAILED, "%s", why);
    else if (ask_status(tool.ask, tool.signal_fd, &json, &size, why) != 0)
        code = tool_complain(EXIT_FAILED, "%s, but how it stands cannot be shown: %s",
                             drain ? "fetching is paused by hand" : "fetching is resumed", why);
    else
        code = report(json, size);
    free(json);
    tool_close(&tool);
    return code;
}

int command_drain(int argc, char **argv) {
    return command(argc, argv, true);
}

int command_resume(int argc, char **argv) {
    return command(argc, argv, false);
}
