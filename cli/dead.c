/* `sluice dead`: the results that AC has refused for good, and what is to become of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/json_copy.h"
#include "cli/json_read.h"
#include "cli/status_page.h"
#include "cli/tool.h"
#include "common/program.h"

/* With the gaps; of the numbers at least. */
#define NUMBER_COLUMNS 14
#define AGE_COLUMNS    13
#define TRIES_COLUMNS  7
#define SIZE_COLUMNS   10

typedef struct {
    tool_t tool;
    bool json, all, number;
} dead_t;

/* --- the list --- */

static void put_head(page_t *page, yajl_val root) {
    char count[PAGE_SHORT_MAX], size[PAGE_SHORT_MAX], limit[PAGE_SHORT_MAX];
    int64_t total = json_number(root, "total"), days = json_number(root, "days");
    page_add(page, STYLE_STRONG, "%s buried result%s, %s", page_number(total, count), total == 1 ? "" : "s",
             page_bytes(json_number(root, "bytes"), size));
    page_add(page, STYLE_PLAIN, "; kept ");
    if (days > 0) page_add(page, STYLE_PLAIN, "%" PRId64 " day%s, ", days, days == 1 ? "" : "s");
    page_add(page, STYLE_PLAIN, "up to %s", page_bytes(json_number(root, "limit_bytes"), limit));
    page_end(page);
    if (json_number(root, "dropped") <= 0) return;
    page_add(page, STYLE_WARN, "%s dropped since the broker's start at %s, by hand or by these bounds",
             page_number(json_number(root, "dropped"), count),
             page_time(json_number(root, "started_ms"), json_number(root, "now_ms"), size));
    page_end(page);
}

/* Columns of the numbers, which stand in their order: those of the last. */
static unsigned number_columns(yajl_val root) {
    size_t count = json_count(root, "tasks");
    int64_t last = count > 0 ? json_number(json_item(root, "tasks", count - 1), "number") : 0;
    unsigned columns = (unsigned)snprintf(NULL, 0, "%" PRId64, last) + 2;
    return columns > NUMBER_COLUMNS ? columns : NUMBER_COLUMNS;
}

static void put_task(page_t *page, yajl_val task, int64_t now_ms, unsigned columns) {
    char buf[PAGE_SHORT_MAX];
    (void)snprintf(buf, sizeof buf, "%" PRId64, json_number(task, "number"));
    page_add_cell(page, STYLE_PLAIN, buf, columns);
    page_add_cell(page, STYLE_PLAIN, page_duration(now_ms - json_number(task, "buried_ms"), buf),
                  AGE_COLUMNS);
    page_add_cell(page, STYLE_PLAIN, page_number(json_number(task, "tries"), buf), TRIES_COLUMNS);
    page_add_cell(page, STYLE_PLAIN, page_bytes(json_number(task, "bytes"), buf), SIZE_COLUMNS);
    page_add_text(page, STYLE_PLAIN, json_text(task, "task"), 0);
    page_end(page);
    page_label(page, NULL);
    page_add_text(page, STYLE_PLAIN, json_text(task, "method"), 32);
    page_add(page, STYLE_PLAIN, " ");
    page_add_text(page, STYLE_PLAIN, json_text(task, "host"), 0);
    page_end(page);
    page_label(page, NULL);
    page_add_words(page, STYLE_WARN, json_text(task, "reason"));
    page_end(page);
}

static void put_page(yajl_val root, bool first) {
    page_t page = page_of_stdout();
    unsigned columns = number_columns(root);
    if (first) put_head(&page, root);
    if (first && json_count(root, "tasks") > 0) {
        page_add_cell(&page, STYLE_DIM, "NUMBER", columns);
        page_add_cell(&page, STYLE_DIM, "BURIED", AGE_COLUMNS);
        page_add_cell(&page, STYLE_DIM, "TRIES", TRIES_COLUMNS);
        page_add_cell(&page, STYLE_DIM, "SIZE", SIZE_COLUMNS);
        page_add(&page, STYLE_DIM, "TASK");
        page_end(&page);
    }
    for (size_t i = 0; i < json_count(root, "tasks"); i++)
        put_task(&page, json_item(root, "tasks", i), json_number(root, "now_ms"), columns);
}

/* One document of all pages: the first one's members, with the tasks of those that follow. */
static void put_json(yajl_gen gen, yajl_val root, bool first) {
    if (first) {
        (void)yajl_gen_map_open(gen);
        for (size_t i = 0; i < root->u.object.len; i++) {
            const char *name = root->u.object.keys[i];
            if (strcmp(name, "tasks") == 0 || strcmp(name, "more") == 0) continue;
            json_put_name(gen, name);
            json_put_value(gen, root->u.object.values[i]);
        }
        json_put_name(gen, "tasks");
        (void)yajl_gen_array_open(gen);
    }
    for (size_t i = 0; i < json_count(root, "tasks"); i++)
        json_put_value(gen, json_item(root, "tasks", i));
}

static int end_json(yajl_gen gen) {
    (void)yajl_gen_array_close(gen);
    (void)yajl_gen_map_close(gen);
    (void)putchar('\n');
    return tool_flush() ? EXIT_CLEAN : EXIT_FAILED;
}

/* Shows a page; *after is where the next one begins, 0 when this was the last. */
static int show_page(yajl_gen gen, const ask_json_t *answer, uint64_t *after) {
    yajl_val root = json_read(answer->text, answer->size);
    if (root == NULL) return tool_complain(EXIT_FAILED, "the broker's answer cannot be shown");
    size_t count = json_count(root, "tasks");
    uint64_t last = count > 0 ? (uint64_t)json_number(json_item(root, "tasks", count - 1), "number") : 0;
    if (gen != NULL)
        put_json(gen, root, *after == 0);
    else
        put_page(root, *after == 0);
    *after = json_true(root, "more") && last > *after ? last : 0;
    yajl_tree_free(root);
    return tool_flush() ? EXIT_CLEAN : EXIT_FAILED;
}

static int list_pages(const dead_t *self, yajl_gen gen) {
    char why[ASK_WHY_MAX];
    uint64_t after = 0;
    int code;
    do {
        ask_json_t answer = {0};
        if (ask_buried(self->tool.ask, self->tool.signal_fd, after, MSG_LIST_MAX, &answer, why) != 0)
            return tool_complain(EXIT_FAILED, "%s", why);
        code = show_page(gen, &answer, &after);
        free(answer.text);
    } while (code == EXIT_CLEAN && after != 0);
    return code == EXIT_CLEAN && gen != NULL ? end_json(gen) : code;
}

static void write_out(void *ctx, const char *text, size_t size) {
    (void)fwrite(text, 1, size, ctx);
}

static int list(const dead_t *self) {
    yajl_gen gen = self->json ? yajl_gen_alloc(NULL) : NULL;
    if (self->json && gen == NULL) return tool_complain(EXIT_FAILED, "out of memory");
    if (gen != NULL) (void)yajl_gen_config(gen, yajl_gen_print_callback, write_out, stdout);
    int code = list_pages(self, gen);
    if (gen != NULL) yajl_gen_free(gen);
    return code;
}

/* --- orders --- */

static int refuse(const msg_ordered_t *ordered, const char *id) {
    switch (ordered->verdict) {
    case ORDERED_NOT_BURIED:
        return tool_complain(EXIT_FAILED, "task \"%.200s\" is not buried; `sluice task` tells where it is",
                             id);
    case ORDERED_AMBIGUOUS:
        return tool_complain(
            EXIT_FAILED,
            "\"%.200s\" is the taskId of one task and the number of another; name the one with"
            " --number %" PRIu64 ", or the other with --number %.200s",
            id, ordered->number, id);
    default:
        return tool_complain(
            EXIT_FAILED,
            "no task \"%.200s\" is held; `sluice dead` lists the buried ones, `sluice task` tells"
            " what became of others",
            id);
    }
}

/* AC's taskId of a task that was named by its number; what was said when the broker does not tell. */
static void name_of(const dead_t *self, uint64_t number, char id[MSG_TASK_ID_MAX + 1]) {
    char why[ASK_WHY_MAX];
    ask_json_t answer = {0};
    if (!tool_is_number(id) || strtoull(id, NULL, 10) != number ||
        ask_task(self->tool.ask, self->tool.signal_fd, id, true, &answer, why) != 0)
        return;
    yajl_val root = json_read(answer.text, answer.size);
    if (root != NULL && json_count(root, "tasks") > 0)
        (void)snprintf(id, MSG_TASK_ID_MAX + 1, "%s", json_text(json_item(root, "tasks", 0), "task"));
    yajl_tree_free(root);
    free(answer.text);
}

static int tell(const dead_t *self, const msg_order_t *order, uint32_t count, uint64_t number) {
    bool retry = order->action == ORDER_RETRY;
    char id[MSG_TASK_ID_MAX + 1];
    str_copy(order->task, id, sizeof id);
    if (!self->json && order->by != ORDER_BY_ALL) name_of(self, number, id);
    page_clean(id);
    if (self->json)
        (void)printf("{\"action\":\"%s\",\"count\":%u,\"number\":%" PRIu64 "}\n", retry ? "retry" : "drop",
                     count, number);
    else if (order->by == ORDER_BY_ALL && count == 0)
        (void)printf("no result is buried\n");
    else if (order->by == ORDER_BY_ALL)
        (void)printf("%u result%s will be tried again\n", count, count == 1 ? "" : "s");
    else
        (void)printf("task \"%s\" (number %" PRIu64 ") %s\n", id, number,
                     retry ? "will be tried again" : "is dropped");
    return tool_flush() ? EXIT_CLEAN : EXIT_FAILED;
}

static int complain_unfinished(const char *why, uint32_t count) {
    if (count == 0) return tool_complain(EXIT_FAILED, "%s", why);
    return tool_complain(EXIT_FAILED, "%u result%s will be tried again, then: %s", count,
                         count == 1 ? "" : "s", why);
}

static int order(const dead_t *self, order_t action, const char *id) {
    char why[ASK_WHY_MAX];
    msg_order_t order = {.action = (uint8_t)action,
                         .by = self->all      ? ORDER_BY_ALL
                               : self->number ? ORDER_BY_NUMBER
                                              : ORDER_BY_EITHER,
                         .task = str_of(id)};
    msg_ordered_t ordered;
    uint32_t count = 0;
    if (order.task.len > MSG_TASK_ID_MAX)
        return tool_complain(EXIT_CONFIG, "the ID has more than %d octets; use the number", MSG_TASK_ID_MAX);
    do { /* all of them in portions */
        if (ask_order(self->tool.ask, self->tool.signal_fd, &order, &ordered, why) != 0)
            return complain_unfinished(why, count);
        if (ordered.verdict != ORDERED_DONE) return refuse(&ordered, id);
        count += ordered.count;
        order.after = ordered.number;
    } while (self->all && ordered.number != 0);
    return tell(self, &order, count, ordered.number);
}

/* What is wrong with the words, if anything. */
static int check_words(const dead_t *self, const char *verb, const char *id) {
    bool list = strcmp(verb, "list") == 0, retry = strcmp(verb, "retry") == 0,
         drop = strcmp(verb, "drop") == 0;
    int most = list ? 1 : 2;
    if (!list && !retry && !drop)
        return tool_complain(EXIT_CONFIG,
                             "there is no `sluice dead %.100s`; there are `sluice dead`,"
                             " `sluice dead retry ID|--all` and `sluice dead drop ID`",
                             verb);
    if (self->tool.word_count > most)
        return tool_complain(EXIT_CONFIG, "\"%.100s\" is a word too much", self->tool.words[most]);
    if (list && (self->all || self->number))
        return tool_complain(EXIT_CONFIG, "%s; the list is of all that are buried",
                             self->all ? "--all is for `sluice dead retry`" : "--number goes with an ID");
    if (drop && self->all)
        return tool_complain(EXIT_CONFIG, "`sluice dead drop` takes one ID, and not --all");
    if (retry && id && self->all)
        return tool_complain(EXIT_CONFIG, "`sluice dead retry` takes an ID or --all, and not both");
    if (!list && !id && !self->all)
        return tool_complain(EXIT_CONFIG, "`sluice dead %s` needs %s", verb,
                             retry ? "an ID or --all" : "an ID");
    if (self->all && self->number)
        return tool_complain(EXIT_CONFIG, "--number goes with an ID, and not with --all");
    return self->number ? tool_check_number(id) : 0;
}

static int run(const dead_t *self) {
    const tool_t *tool = &self->tool;
    const char *verb = tool->word_count > 0 ? tool->words[0] : "list";
    const char *id = tool->word_count > 1 ? tool->words[1] : NULL;
    int code = check_words(self, verb, id);
    if (code != 0) return code;
    if (strcmp(verb, "list") == 0) return list(self);
    return order(self, strcmp(verb, "retry") == 0 ? ORDER_RETRY : ORDER_DROP, id ? id : "");
}

int command_dead(int argc, char **argv) {
    dead_t self = {.json = false};
    const tool_flag_t flags[] = {{"--json", &self.json}, {"--all", &self.all}, {"--number", &self.number}};
    int code = tool_open(&self.tool, argc, argv, flags, sizeof flags / sizeof flags[0]);
    if (code == 0 && !self.tool.done) code = run(&self);
    tool_close(&self.tool);
    return code;
}
