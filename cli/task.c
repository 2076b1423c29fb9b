/* `sluice task ID`: where a task is, and what has happened to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/json_read.h"
#include "cli/status_page.h"
#include "cli/task_render.h"
#include "cli/tool.h"
#include "common/program.h"

/* What is not known of a task that is neither held nor in the history. */
#define UNREAD "AC handed it to a connection that ended before its answer was read"

/* What the history covers tells how much "none" means. */
static int complain_unknown(yajl_val root, const char *id) {
    char count[PAGE_SHORT_MAX], limit[PAGE_SHORT_MAX], since[PAGE_SHORT_MAX] = "", ended[80];
    yajl_val history = json_member(root, "history");
    int64_t tasks = json_number(history, "tasks");
    const char *failing = json_text(json_member(root, "journal"), "error");
    const char *kept = page_number(json_number(history, "limit"), limit);
    int days = (int)json_number(history, "days");
    if (!json_true(history, "readable"))
        return tool_complain(EXIT_FAILED, "no task \"%.200s\" is held, and the history cannot be read", id);
    if (failing[0] != '\0')
        return tool_complain(
            EXIT_FAILED,
            "no task \"%.200s\" is held or in the history so far; the journal cannot be written (%.200s):"
            " tasks that AC has just handed out are with the fetcher, and results that it has just taken not"
            " in the history yet",
            id, failing);
    if (tasks == 0)
        return tool_complain(
            EXIT_FAILED,
            "no task \"%.200s\" is held, and the history (of the last %s tasks, for %d days) is"
            " empty: AC has not handed it to this agent, or it ended over %d days ago, or " UNREAD,
            id, kept, days, days);
    (void)snprintf(ended, sizeof ended, "among the %s tasks", page_number(tasks, count));
    return tool_complain(
        EXIT_FAILED,
        "no task \"%.200s\": it is not held, and not %s that ended since %s (the"
        " history keeps the last %s, for %d days); AC has not handed it to this agent, or it ended before"
        " that, or " UNREAD,
        id, tasks == 1 ? "the only task" : ended,
        page_time(json_number(history, "since_ms"), json_number(root, "now_ms"), since), kept, days);
}

static int show(yajl_val root, const char *id) {
    page_t page = page_of_stdout();
    if (json_count(root, "tasks") == 0) return complain_unknown(root, id);
    task_render(&page, root);
    return tool_flush() ? EXIT_CLEAN : EXIT_FAILED;
}

static int run(const tool_t *tool, bool json, bool number) {
    char why[ASK_WHY_MAX];
    ask_json_t answer = {0};
    if (tool->word_count != 1)
        return tool_complain(EXIT_CONFIG,
                             "`sluice task` needs one ID: AC's taskId, or the broker's number of the task");
    const char *id = tool->words[0];
    if (strlen(id) > MSG_TASK_ID_MAX)
        return tool_complain(EXIT_CONFIG, "the ID has more than %d octets; use the number", MSG_TASK_ID_MAX);
    if (number && tool_check_number(id) != 0) return EXIT_CONFIG;
    if (ask_task(tool->ask, tool->signal_fd, id, number, &answer, why) != 0)
        return tool_complain(EXIT_FAILED, "%s", why);
    yajl_val root = json_read(answer.text, answer.size);
    int code;
    if (root == NULL) {
        code = tool_complain(EXIT_FAILED, "the broker's answer cannot be shown");
    } else if (json) {
        (void)printf("%s\n", answer.text);
        code = tool_flush() && json_count(root, "tasks") > 0 ? EXIT_CLEAN : EXIT_FAILED;
    } else {
        code = show(root, id);
    }
    yajl_tree_free(root);
    free(answer.text);
    return code;
}

int command_task(int argc, char **argv) {
    tool_t tool;
    bool json = false, number = false;
    const tool_flag_t flags[] = {{"--json", &json}, {"--number", &number}};
    int code = tool_open(&tool, argc, argv, flags, sizeof flags / sizeof flags[0]);
    if (code == 0 && !tool.done) code = run(&tool, json, number);
    tool_close(&tool);
    return code;
}
