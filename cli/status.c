/* `sluice status`: asks the broker, and shows the answer once or every second. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/status_render.h"
#include "cli/tool.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/program.h"

#define NAME          "sluice"
#define REFRESH_MS    1000
#define DEFAULT_WIDTH 80

/* The other screen of the terminal, without cursor and line wrap; and back. */
#define SCREEN_ON  "\033[?1049h\033[?25l\033[?7l"
#define SCREEN_OFF "\033[?7h\033[?25h\033[?1049l"

typedef struct {
    bool json, watch;
    bool terminal;
    int signal_fd;
    ask_t *ask;
} status_t;

/* Takes the options of this command out of the words. */
static int own_options(status_t *self, int argc, char **argv) {
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            self->json = true;
        else if (strcmp(argv[i], "--watch") == 0)
            self->watch = true;
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    return kept;
}

static void window(unsigned *width, unsigned *height) {
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    *width = known ? size.ws_col : DEFAULT_WIDTH;
    *height = known ? size.ws_row : 0;
}

/* Writes the answer as it is to be shown into new memory. */
static int format(const status_t *self, const char *json, size_t size, char **text, char why[ASK_WHY_MAX]) {
    unsigned width, height;
    size_t text_size;
    bool colour = self->terminal && getenv("NO_COLOR") == NULL;
    FILE *out = open_memstream(text, &text_size);
    int err = 0;
    window(&width, &height);
    if (out == NULL) {
        (void)snprintf(why, ASK_WHY_MAX, "out of memory");
        return ERR_NOMEM;
    }
    if (self->json)
        (void)fprintf(out, "%s\n", json);
    else
        err = status_render(json, size, width < 200 ? width : 200, colour, out);
    if (fclose(out) != 0 && err == 0) err = ERR_NOMEM;
    if (err == 0) return 0;
    free(*text);
    *text = NULL;
    (void)snprintf(why, ASK_WHY_MAX, "the broker's answer cannot be shown: %s", err_str(err));
    return err;
}

static int fetch(status_t *self, char **text, char why[ASK_WHY_MAX]) {
    char *json = NULL;
    size_t size;
    int err = ask_status(self->ask, self->signal_fd, &json, &size, why);
    if (err == 0) err = format(self, json, size, text, why);
    free(json);
    return err;
}

/* Draws the page over the one before, as many lines as the window has. */
static void draw(const char *text) {
    unsigned width, height, row = 1;
    window(&width, &height);
    (void)fputs("\033[H", stdout);
    for (const char *line = text; *line != '\0' && (height == 0 || row < height); row++) {
        size_t len = strcspn(line, "\n");
        (void)fputs("\033[K", stdout);
        (void)fwrite(line, 1, len, stdout);
        (void)fputs("\r\n", stdout);
        line += len + (line[len] == '\n');
    }
    (void)fputs("\033[J", stdout);
}

static bool show(const status_t *self, const char *text) {
    if (self->watch && self->terminal)
        draw(text);
    else
        (void)fputs(text, stdout);
    if (self->watch && !self->terminal && !self->json) (void)fputc('\n', stdout);
    return tool_flush();
}

/* Without an answer: the reason in place of the page, wrapped. */
static bool complain(const status_t *self, const char *why) {
    if (!self->terminal) {
        program_complain(NAME, why);
        return true;
    }
    (void)fprintf(stdout, "\033[H\033[J\033[?7h%s: %s\033[?7l", NAME, why);
    return fflush(stdout) == 0;
}

/* Whether a signal to end came within the time. */
static bool interrupted(const status_t *self, int64_t wait_ms) {
    struct pollfd fd = {.fd = self->signal_fd, .events = POLLIN};
    return poll(&fd, 1, wait_ms > 0 ? (int)wait_ms : 0) > 0;
}

static int watch(status_t *self) {
    char why[ASK_WHY_MAX];
    bool shown = true;
    if (self->terminal) (void)fputs(SCREEN_ON, stdout);
    while (shown) {
        int64_t next_ms = clock_boot_ms() + REFRESH_MS;
        char *text = NULL;
        int err = fetch(self, &text, why);
        if (err == ERR_STATE) break;
        if (err != 0) {
            shown = complain(self, why);
        } else {
            shown = show(self, text);
        }
        free(text);
        if (shown && interrupted(self, next_ms - clock_boot_ms())) break;
    }
    if (self->terminal) {
        (void)fputs(SCREEN_OFF, stdout);
        (void)fflush(stdout);
    }
    return shown ? EXIT_CLEAN : EXIT_FAILED;
}

static int once(status_t *self) {
    char why[ASK_WHY_MAX], *text = NULL;
    int err = fetch(self, &text, why);
    if (err != 0)
        program_complain(NAME, why);
    else if (!show(self, text))
        err = ERR_IO;
    free(text);
    return err == 0 ? EXIT_CLEAN : EXIT_FAILED;
}

int command_status(int argc, char **argv) {
    status_t self = {.terminal = isatty(STDOUT_FILENO) == 1, .signal_fd = -1};
    config_t *config = NULL;
    char why[ASK_WHY_MAX] = "";
    bool done = false;
    int code = EXIT_CONFIG;
    argc = own_options(&self, argc, argv);
    if (config_load(PROGRAM_TOOL, argc, argv, &config, &done, NULL, why) != 0) {
        program_complain(NAME, why);
        return EXIT_CONFIG;
    }
    if (done) return EXIT_CLEAN;
    self.signal_fd = program_start(NAME, config);
    if (self.signal_fd < 0) {
        (void)snprintf(why, sizeof why, "cannot set up signals: %s", strerror(errno));
        code = EXIT_FAILED;
    } else {
        self.ask = ask_new(config, why);
    }
    if (self.ask == NULL)
        program_complain(NAME, why);
    else
        code = self.watch ? watch(&self) : once(&self);
    ask_destroy(&self.ask);
    if (self.signal_fd >= 0) (void)close(self.signal_fd);
    config_destroy(&config);
    return code;
}
