/* The floor of the benchmarks: a bare curl_multi loop that makes the three requests of every task, get-task,
 * the tool's and put-result, under the limits of the agent, and nothing else: it keeps nothing, checks
 * only the status, and posts a result of the right length with a made-up output. Prints what it cost as one
 * JSON line. */
#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/bench/floor_task.h"

#define AC_MAX     2
#define SLOTS_MAX  1000
#define EVENTS_MAX 64
#define URL_MAX    1024

typedef enum { GET_TASK, TOOL, PUT_RESULT } kind_t;

/* A transfer and the task it is for. */
typedef struct transfer_t {
    CURL *easy;
    kind_t kind;
    floor_task_t *task;
    struct curl_slist *headers; /* of the request to the tool */
    floor_text_t answer;
    size_t bytes;
    struct transfer_t *next; /* while it is free */
} transfer_t;

typedef struct {
    const char *ac, *key, *ca;
    long slots, tasks, warm;
    CURLM *multi;
    int epoll;
    int64_t due_us;
    struct curl_slist *ac_headers;
    transfer_t *free_ac, *free_tool;
    floor_task_t *ready, **ready_last, *done, **done_last;
    long ready_count, running, fetching, posting, fetched, posted;
    bool empty; /* AC had no task */
    int64_t warm_us;
    struct rusage warm_usage;
} loop_t;

static int64_t now_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static _Noreturn void die(const char *what) {
    (void)fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

static _Noreturn void die_of_status(kind_t kind, long status) {
    static const char *const names[] = {"get-task", "the tool", "put-result"};
    (void)fprintf(stderr, "floor: %s answers %ld\n", names[kind], status);
    exit(1);
}

/* --- curl's callbacks --- */

static size_t take_answer(char *bytes, size_t size, size_t count, void *ctx) {
    transfer_t *self = ctx;
    self->bytes += size * count;
    if (self->kind == GET_TASK) floor_text_add(&self->answer, bytes, size * count);
    return size * count;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known) {
    loop_t *self = ctx;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(self->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if (what & CURL_POLL_IN) event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
    if (epoll_ctl(self->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0 &&
        epoll_ctl(self->epoll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0)
        return -1;
    (void)curl_multi_assign(self->multi, fd, self);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx) {
    loop_t *self = ctx;
    (void)multi;
    self->due_us = timeout_ms < 0 ? INT64_MAX : now_us() + timeout_ms * 1000;
    return 0;
}

/* --- making --- */

static void add_header(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (!longer) die("out of memory");
    *list = longer;
}

static transfer_t *new_transfer(const loop_t *self, transfer_t *next) {
    transfer_t *transfer = calloc(1, sizeof *transfer);
    CURL *easy = transfer ? curl_easy_init() : NULL;
    if (!easy) die("out of memory");
    transfer->easy = easy;
    transfer->next = next;
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (self->ca) (void)curl_easy_setopt(easy, CURLOPT_CAINFO, self->ca);
    return transfer;
}

static void open_loop(loop_t *self) {
    char line[512];
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    self->multi = curl_multi_init();
    if (self->epoll < 0 || !self->multi) die("no epoll or curl");
    self->due_us = INT64_MAX;
    (void)curl_multi_setopt(self->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(self->multi, CURLMOPT_SOCKETDATA, self);
    (void)curl_multi_setopt(self->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(self->multi, CURLMOPT_TIMERDATA, self);
    (void)curl_multi_setopt(self->multi, CURLMOPT_MAXCONNECTS, 2 * self->slots + 8);
    (void)snprintf(line, sizeof line, "Authorization: Bearer %s", self->key);
    add_header(&self->ac_headers, line);
    add_header(&self->ac_headers, "Content-Type: application/json");
    add_header(&self->ac_headers, "Expect:");
    for (int i = 0; i < AC_MAX; i++)
        self->free_ac = new_transfer(self, self->free_ac);
    for (long i = 0; i < self->slots; i++)
        self->free_tool = new_transfer(self, self->free_tool);
    self->ready_last = &self->ready;
    self->done_last = &self->done;
}

/* --- the three requests --- */

static void begin(loop_t *self, transfer_t **from, kind_t kind, floor_task_t *task) {
    transfer_t *transfer = *from;
    *from = transfer->next;
    transfer->kind = kind;
    transfer->task = task;
    transfer->answer.len = transfer->bytes = 0;
    if (curl_multi_add_handle(self->multi, transfer->easy) != CURLM_OK) die("curl takes no handle");
}

static void get_task(loop_t *self) {
    char url[URL_MAX];
    CURL *easy = self->free_ac->easy;
    (void)snprintf(url, sizeof url, "%s/api/http-teleport/get-task?agentId=1_abcdef&agentVersion=2.0.0",
                   self->ac);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, self->ac_headers);
    self->fetching++;
    begin(self, &self->free_ac, GET_TASK, NULL);
}

static void ask_tool(loop_t *self) {
    floor_task_t *task = self->ready;
    transfer_t *transfer = self->free_tool;
    CURL *easy = transfer->easy;
    self->ready = task->next;
    if (!self->ready) self->ready_last = &self->ready;
    self->ready_count--;
    (void)curl_easy_setopt(easy, CURLOPT_URL, task->url);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    if (task->input) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(task->input));
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, task->input);
    }
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, task->method);
    static const char *const lines[] = {"Accept-Encoding: gzip, deflate", "Connection: keep-alive",
                                        "Content-Type:", "Expect:"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        add_header(&transfer->headers, lines[i]);
    add_header(&transfer->headers, task->header);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    self->running++;
    begin(self, &self->free_tool, TOOL, task);
}

static void put_result(loop_t *self) {
    char url[URL_MAX];
    floor_task_t *task = self->done;
    CURL *easy = self->free_ac->easy;
    self->done = task->next;
    if (!self->done) self->done_last = &self->done;
    (void)snprintf(url, sizeof url, "%s/api/http-teleport/put-result", self->ac);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)task->raw.len);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, task->raw.ptr);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, self->ac_headers);
    self->posting++;
    begin(self, &self->free_ac, PUT_RESULT, task);
}

/* What is measured begins, as the agent's rounds do, with nothing on its way. */
static void start_what_may(loop_t *self) {
    long limit = self->posted < self->warm ? self->warm : self->tasks;
    while (self->ready && self->free_tool)
        ask_tool(self);
    bool room = !self->empty && self->fetched + self->fetching < limit && self->ready_count < self->slots;
    if (self->done && self->free_ac && self->posting == 0) put_result(self);
    if (room && self->free_ac && self->fetching == 0) get_task(self);
    if (self->done && self->free_ac && !room) put_result(self);
}

/* --- what ended --- */

static void append(floor_task_t ***last, floor_task_t *task) {
    task->next = NULL;
    **last = task;
    *last = &task->next;
}

static void took_task(loop_t *self, transfer_t *transfer) {
    self->fetching--;
    floor_task_t *task = floor_task_read(transfer->answer.ptr, transfer->answer.len);
    self->empty = !task;
    if (!task) return;
    self->fetched++;
    self->ready_count++;
    append(&self->ready_last, task);
}

static void posted(loop_t *self, transfer_t *transfer) {
    self->posting--;
    floor_task_destroy(&transfer->task);
    if (++self->posted != self->warm) return;
    self->warm_us = now_us();
    (void)getrusage(RUSAGE_SELF, &self->warm_usage);
}

static void end(loop_t *self, CURL *easy, CURLcode code) {
    transfer_t *transfer = NULL;
    char *private = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    transfer = (transfer_t *)(void *)private;
    (void)curl_multi_remove_handle(self->multi, easy);
    if (code != CURLE_OK) die(curl_easy_strerror(code));
    long status = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) die_of_status(transfer->kind, status);
    transfer_t **list = transfer->kind == TOOL ? &self->free_tool : &self->free_ac;
    if (transfer->kind == GET_TASK) {
        took_task(self, transfer);
    } else if (transfer->kind == PUT_RESULT) {
        posted(self, transfer);
    } else {
        self->running--;
        curl_slist_free_all(transfer->headers);
        transfer->headers = NULL;
        floor_task_finish(transfer->task, transfer->bytes);
        append(&self->done_last, transfer->task);
    }
    transfer->next = *list;
    *list = transfer;
}

static void turn(loop_t *self) {
    struct epoll_event events[EVENTS_MAX];
    int running, left;
    int64_t wait_us = self->due_us == INT64_MAX ? 10000000 : self->due_us - now_us();
    int count = epoll_wait(self->epoll, events, EVENTS_MAX, wait_us <= 0 ? 0 : (int)((wait_us + 999) / 1000));
    if (count < 0 && errno != EINTR) die("epoll");
    for (int i = 0; i < count; i++) {
        unsigned mask = 0;
        if (events[i].events & (EPOLLIN | EPOLLHUP)) mask |= CURL_CSELECT_IN;
        if (events[i].events & EPOLLOUT) mask |= CURL_CSELECT_OUT;
        if (events[i].events & EPOLLERR) mask |= CURL_CSELECT_ERR;
        (void)curl_multi_socket_action(self->multi, events[i].data.fd, (int)mask, &running);
    }
    if (self->due_us <= now_us()) {
        self->due_us = INT64_MAX;
        (void)curl_multi_socket_action(self->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    for (CURLMsg *msg; (msg = curl_multi_info_read(self->multi, &left));)
        if (msg->msg == CURLMSG_DONE) end(self, msg->easy_handle, msg->data.result);
}

/* --- the command line and the report --- */

static void read_options(loop_t *self, int argc, char **argv) {
    *self = (loop_t){.key = "test-key", .slots = 10, .tasks = 1000};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (strcmp(name, "--ac") == 0)
            self->ac = value;
        else if (strcmp(name, "--key") == 0)
            self->key = value;
        else if (strcmp(name, "--ca") == 0)
            self->ca = value;
        else if (strcmp(name, "--slots") == 0)
            self->slots = strtol(value, NULL, 10);
        else if (strcmp(name, "--tasks") == 0)
            self->tasks = strtol(value, NULL, 10);
        else if (strcmp(name, "--warm") == 0)
            self->warm = strtol(value, NULL, 10);
        else
            die("usage: floor --ac URL [--key KEY] [--ca FILE] [--slots N] [--tasks N] [--warm N]");
    }
    if (!self->ac || self->slots < 1 || self->slots > SLOTS_MAX || self->tasks <= self->warm)
        die("--ac URL, --slots 1 to 1000, --tasks more than --warm");
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Memory of this process, shared pages by their share; the resource usage tells of the program before exec,
 * too. */
static long pss_kb(void) {
    char line[128];
    long found = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file && !found && fgets(line, sizeof line, file))
        if (strncmp(line, "Pss:", 4) == 0) found = strtol(line + 4, NULL, 10);
    if (file) (void)fclose(file);
    return found;
}

static void report(const loop_t *self) {
    struct rusage usage;
    double elapsed = (double)(now_us() - self->warm_us) / 1e6;
    (void)getrusage(RUSAGE_SELF, &usage);
    double user = seconds(usage.ru_utime) - seconds(self->warm_usage.ru_utime);
    double system = seconds(usage.ru_stime) - seconds(self->warm_usage.ru_stime);
    (void)printf("{\"tasks\":%ld,\"seconds\":%.6f,\"user_s\":%.6f,\"system_s\":%.6f,\"pss_kb\":%ld}\n",
                 self->posted - self->warm, elapsed, user, system, pss_kb());
}

int main(int argc, char **argv) {
    loop_t loop;
    read_options(&loop, argc, argv);
    open_loop(&loop);
    loop.warm_us = now_us();
    while (loop.posted < loop.tasks) {
        start_what_may(&loop);
        if (loop.empty && loop.fetched == loop.posted) die("AC has no more tasks");
        turn(&loop);
    }
    report(&loop);
    return 0;
}
