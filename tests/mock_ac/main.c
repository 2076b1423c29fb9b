/*
 * mock-ac wires the parts together: two listeners on one loop, one thread.
 *
 *   agent ──▶ AC listener   (server, ac_api)  ──▶ tasks, limits, faults, results, store ──▶ books
 *   agent ──▶ tool listener (server, tool)    ──▶ tasks, routes, faults                 ──▶ books
 *   test  ──▶ tool listener /_control/ (control, waits, report)
 *
 * README.md tells how to use it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ac_api.h"
#include "control.h"
#include "files.h"
#include "listen.h"
#include "options.h"
#include "report.h"
#include "tool.h"

#define AC_CONN_MEMORY   (256u << 10)
#define TOOL_CONN_MEMORY (64u << 10)

typedef struct {
    options_t options;
    loop_t *loop;
    books_t *books;
    tasks_t *tasks;
    routes_t *routes;
    limits_t *limits;
    store_t *store;
    ac_api_t *ac_api;
    control_t *control;
    tool_t *tool;
    server_t *ac_server;
    server_t *tool_server;
    char *tls[4]; /* PEM texts: certificate and key of AC, of the tool */
    int signal_fd;
    loop_watch_t *signal_watch;
    buf_t ac_url;
    buf_t tool_url;
} mock_t;

static void render(void *ctx, const task_t *task, buf_t *out) {
    const mock_t *self = ctx;
    generated_render(task, self->tool_url.data, out);
}

static bool read_pem(mock_t *self, buf_t *error) {
    const options_t *options = &self->options;
    const char *names[4] = {options->tls_cert, options->tls_key, options->tool_tls_cert,
                            options->tool_tls_key};
    for (size_t i = 0; i < 4; i++) {
        buf_t text = {0};
        if (names[i] && !file_read(names[i], &text, error)) return false;
        self->tls[i] = text.data;
    }
    return true;
}

static bool run_script(mock_t *self, const script_target_t *target, buf_t *error) {
    const char *name = self->options.script;
    buf_t lines = {0};
    int64_t added = 0;
    if (!name) return true;
    bool good = file_read(name, &lines, error);
    if (good && !script_run(target, span_buf(&lines), &added, error)) {
        buf_printf(error, " (in %s)", name);
        good = false;
    }
    buf_free(&lines);
    return good;
}

static void go_down(void *ctx, bool tool, int64_t for_ms) {
    mock_t *self = ctx;
    if (tool) tasks_outage(self->tasks, loop_now_us() + for_ms * 1000);
    server_down(tool ? self->tool_server : self->ac_server, for_ms);
}

static bool add_tasks(mock_t *self, buf_t *error) {
    script_target_t target = {self->tasks, self->routes, self->options.generator, self->tool_url.data};
    generator_make(self->options.generator, self->tasks, self->options.tasks);
    if (!run_script(self, &target, error)) return false;
    control_options_t options = {
        self->loop, self->books, self->options.faults, &self->options.settings, self->ac_api, target,
        go_down,    self};
    self->control = control_new(&options);
    return true;
}

static void make_ac(mock_t *self) {
    options_t *options = &self->options;
    self->limits = limits_new(self->loop, self->books, &options->settings);
    self->store = store_new(self->tasks, (uint64_t)options->seed);
    ac_api_options_t api = {
        .loop = self->loop,
        .books = self->books,
        .tasks = self->tasks,
        .faults = options->faults,
        .limits = self->limits,
        .store = self->store,
        .settings = &options->settings,
        .api_key = options->api_key,
        .env_name = options->env_name,
        .base_url = self->ac_url.data,
        .seed = (uint64_t)options->seed,
    };
    self->ac_api = ac_api_new(&api);
}

static bool start_servers(mock_t *self, int ac_fd, int tool_fd, buf_t *error) {
    tool_options_t options = {self->books, self->tasks, self->options.faults, self->routes, self->control};
    self->tool = tool_new(&options);
    server_options_t ac = {ac_fd, self->tls[0], self->tls[1], AC_CONN_MEMORY};
    server_options_t tool = {tool_fd, self->tls[2], self->tls[3], TOOL_CONN_MEMORY};
    self->ac_server = server_new(self->loop, &ac, &ac_api_handlers, self->ac_api);
    self->tool_server = server_new(self->loop, &tool, &tool_handlers, self->tool);
    loop_each_turn(self->loop, control_turn, self->control);
    if (!self->ac_server || !self->tool_server)
        buf_text(error, "the listeners cannot start (are certificate and key good?)");
    return self->ac_server && self->tool_server;
}

static void on_signal(void *ctx, uint32_t events) {
    (void)events;
    mock_t *self = ctx;
    loop_stop(self->loop);
}

static void watch_signals(mock_t *self) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    self->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    self->signal_watch = loop_watch(self->loop, self->signal_fd, EPOLLIN, on_signal, self);
}

static void raise_fd_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool mock_start(mock_t *self, buf_t *error) {
    const options_t *options = &self->options;
    self->loop = loop_new();
    if (!self->loop) {
        buf_text(error, "the kernel gives no epoll descriptor");
        return false;
    }
    watch_signals(self);
    raise_fd_limit();
    self->books = books_new();
    self->tasks = tasks_new(self->books, (size_t)options->record, render, self);
    self->routes = routes_new();
    if (!read_pem(self, error)) return false;
    int ac_fd = listen_on(options->listen, options->port, self->tls[0], &self->ac_url, error);
    if (ac_fd < 0) return false;
    int tool_fd = listen_on(options->listen, options->tool_port, self->tls[2], &self->tool_url, error);
    make_ac(self);
    if (tool_fd >= 0 && add_tasks(self, error)) return start_servers(self, ac_fd, tool_fd, error);
    close(ac_fd);
    if (tool_fd >= 0) close(tool_fd);
    return false;
}

static void mock_end(mock_t *self) {
    server_destroy(&self->ac_server);
    server_destroy(&self->tool_server);
    tool_destroy(&self->tool);
    control_destroy(&self->control);
    ac_api_destroy(&self->ac_api);
    store_destroy(&self->store);
    limits_destroy(&self->limits);
    routes_destroy(&self->routes);
    tasks_destroy(&self->tasks);
    books_destroy(&self->books);
    if (self->loop) {
        loop_unwatch(self->loop, &self->signal_watch);
        close(self->signal_fd);
    }
    loop_destroy(&self->loop);
    for (size_t i = 0; i < 4; i++)
        free(self->tls[i]);
    buf_free(&self->ac_url);
    buf_free(&self->tool_url);
    options_free(&self->options);
}

/* The line goes to `file`, when one is given, and then to stdout. */
static bool print_line(const buf_t *line, const char *file, buf_t *error) {
    bool good = !file || file_write(file, line, error);
    fwrite(line->data, 1, line->len, stdout);
    putchar('\n');
    fflush(stdout);
    return good;
}

static bool mock_run(mock_t *self, buf_t *error) {
    buf_t line = {0};
    buf_printf(&line, "{\"ac\":\"%s\",\"tool\":\"%s\",\"pid\":%d}", self->ac_url.data, self->tool_url.data,
               (int)getpid());
    bool good = print_line(&line, self->options.ready_file, error);
    if (good) {
        loop_run(self->loop);
        buf_clear(&line);
        report_books(self->books, self->options.faults, &line);
        good = print_line(&line, self->options.books_file, error);
    }
    buf_free(&line);
    return good;
}

int main(int argc, char **argv) {
    mock_t mock = {0};
    buf_t error = {0};
    int status = 0;
    bool good = options_parse(&mock.options, argc, argv, &error);
    if (good && mock.options.help)
        fputs(options_help, stdout);
    else if (!good || !mock_start(&mock, &error))
        status = 2;
    else if (!mock_run(&mock, &error))
        status = 1;
    if (status) fprintf(stderr, "mock-ac: %s\n", error.data);
    mock_end(&mock);
    buf_free(&error);
    return status;
}
