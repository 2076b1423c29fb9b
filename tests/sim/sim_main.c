/* sluice-sim: runs seeded schedules of the simulated world and reports the first broken invariant of each. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/sim.h"

#define TAIL_LINES   60
#define FAILURES_MAX 3 /* one says as much as a hundred */

typedef struct {
    uint64_t from, to;
    bool trace;
} options_t;

/* The schedule under way, for the last words of an assertion. */
static volatile sig_atomic_t current_seed;

static void last_words(int sig) {
    char line[96];
    // NOLINTNEXTLINE(bugprone-signal-handler): last words of a process that is lost anyway
    int n = snprintf(line, sizeof line, "\nsluice-sim: signal %d; replay: sluice-sim --seed %d --trace\n",
                     sig, (int)current_seed);
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0) _exit(2);
    signal(sig, SIG_DFL);
    raise(sig);
}

static bool parse_number(const char *text, char end, uint64_t *value, const char **rest) {
    char *stop;
    unsigned long long v = strtoull(text, &stop, 10);
    if (stop == text || *stop != end || v > INT32_MAX) return false;
    *value = v;
    if (rest) *rest = stop + 1;
    return true;
}

static bool parse(int argc, char **argv, options_t *options) {
    *options = (options_t){1, 1000, false};
    for (int i = 1; i < argc; i++) {
        const char *rest = NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            options->trace = true;
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            if (!parse_number(argv[++i], '\0', &options->from, NULL)) return false;
            options->to = options->from;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            if (!parse_number(argv[++i], '-', &options->from, &rest) ||
                !parse_number(rest, '\0', &options->to, NULL))
                return false;
        } else {
            return false;
        }
    }
    return options->from <= options->to;
}

/* Runs the seed again into a temporary file and shows the end of its trace. */
static void print_tail(uint64_t seed) {
    FILE *file = tmpfile();
    if (!file) return;
    world_t *world = NULL;
    (void)world_run(seed, file, &world);
    world_destroy(&world);
    rewind(file);
    long lines[TAIL_LINES] = {0};
    uint64_t count = 0;
    char line[1024];
    for (long at = 0; fgets(line, sizeof line, file); at = ftell(file))
        lines[count++ % TAIL_LINES] = at;
    if (fseek(file, count > TAIL_LINES ? lines[count % TAIL_LINES] : 0, SEEK_SET) == 0)
        while (fgets(line, sizeof line, file))
            fputs(line, stdout);
    (void)fclose(file);
}

typedef struct {
    uint64_t schedules, failures, events, messages, crashes, switches, reboots, delivered, again, buried;
    uint64_t dead_connections, lost_with_fetcher, stops, cuts, chunks, most_ahead;
    int64_t most_still;
    uint32_t fullest_20, fullest_250;
    double virtual_s;
} totals_t;

static void add(totals_t *totals, const world_t *world) {
    totals->events += world->books.events;
    totals->messages += world->books.messages;
    totals->crashes += world->books.crashes;
    totals->stops += world->books.stops;
    totals->cuts += world->books.cuts;
    totals->switches += world->books.switches;
    totals->reboots += world->books.reboots;
    totals->delivered += world->books.delivered;
    totals->again += world->books.delivered_again;
    totals->buried += world->books.buried;
    totals->dead_connections += world->books.dead_connections;
    totals->lost_with_fetcher += world->books.lost_with_fetcher;
    totals->chunks += world->books.chunks;
    if (world->books.most_ahead > totals->most_ahead) totals->most_ahead = world->books.most_ahead;
    if (world->books.most_still > totals->most_still) totals->most_still = world->books.most_still;
    uint32_t *fullest = world->plan.rate == 20    ? &totals->fullest_20
                        : world->plan.rate == 250 ? &totals->fullest_250
                                                  : NULL;
    if (fullest && world->books.fullest_minute > *fullest) *fullest = world->books.fullest_minute;
    totals->virtual_s += (double)world->now_us / 1e6;
}

static void print_totals(const totals_t *t) {
    printf("virtual time %.0f s, %" PRIu64 " events, %" PRIu64 " messages\n", t->virtual_s, t->events,
           t->messages);
    printf("crashes %" PRIu64 ", stops %" PRIu64 ", ended by the switch %" PRIu64 ", cuts %" PRIu64
           ", reboots %" PRIu64 "\n",
           t->crashes, t->stops, t->switches, t->cuts, t->reboots);
    printf("results delivered %" PRIu64 ", delivered again %" PRIu64 ", buried %" PRIu64 "\n", t->delivered,
           t->again, t->buried);
    printf("tasks handed to a dead connection %" PRIu64
           ", lost with a crashed fetcher before its inbox %" PRIu64 "\n",
           t->dead_connections, t->lost_with_fetcher);
    printf("chunks of large bodies %" PRIu64 ", at most %" PRIu64 " octets ahead\n", t->chunks,
           t->most_ahead);
    printf("fullest minute: %u AC requests of 250 allowed, %u of 20\n", t->fullest_250, t->fullest_20);
    printf("longest without a step of any task, once the faults had ceased, %" PRId64
           " %% of what is allowed\n",
           t->most_still);
    printf("%" PRIu64 " schedules, %" PRIu64 " failures\n", t->schedules, t->failures);
}

int main(int argc, char **argv) {
    options_t options;
    if (!parse(argc, argv, &options)) {
        fputs("usage: sluice-sim [--seeds FROM-TO | --seed N] [--trace]\n", stderr);
        return 2;
    }
    signal(SIGABRT, last_words);
    signal(SIGSEGV, last_words);
    totals_t totals = {0};
    for (uint64_t seed = options.from; seed <= options.to && totals.failures < FAILURES_MAX; seed++) {
        current_seed = (sig_atomic_t)seed;
        world_t *world = NULL;
        int failed = world_run(seed, options.trace ? stdout : NULL, &world);
        totals.schedules++;
        if (world) add(&totals, world);
        if (failed) {
            totals.failures++;
            if (!options.trace) print_tail(seed);
            printf("seed %" PRIu64 ": %s\nreplay: %s --seed %" PRIu64 " --trace\n", seed,
                   world ? world->failure : "out of memory", argv[0], seed);
        }
        world_destroy(&world);
    }
    print_totals(&totals);
    return totals.failures ? 1 : 0;
}
