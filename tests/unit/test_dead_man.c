/* The dead man's switch, on children that stop themselves. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/dead_man.h"

#define ALIVE_EXIT 7
#define SLACK_MS   500 /* of a busy machine, after the time */

/* Runs `child` in a process of its own; how it ended, and how long that took. */
static int run_child(void (*child)(void), int64_t *took_ms) {
    int status = 0;
    int64_t from_ms = clock_boot_ms();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        child();
        _exit(ALIVE_EXIT);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *took_ms = clock_boot_ms() - from_ms;
    return status;
}

static void sleep_ms(long ms) {
    struct timespec left = {ms / 1000, (ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

static dead_man_t *armed(int64_t after_ms) {
    dead_man_t *dead_man = dead_man_new();
    if (!dead_man || dead_man_arm(dead_man, clock_boot_ms() + after_ms) != 0) _exit(1);
    return dead_man;
}

static void stop_armed(void) {
    (void)armed(400);
    (void)raise(SIGSTOP);
}

static void stopped_process_dies_in_time(void **state) {
    int64_t took_ms;
    (void)state;
    int status = run_child(stop_armed, &took_ms);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_in_range(took_ms, 400, 400 + SLACK_MS);
}

static void block_signals_armed(void) {
    sigset_t all;
    (void)armed(300);
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    for (;;)
        sleep_ms(1000);
}

static void wedged_process_dies_in_time(void **state) {
    int64_t took_ms;
    (void)state;
    int status = run_child(block_signals_armed, &took_ms);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_in_range(took_ms, 300, 300 + SLACK_MS);
}

static void arm_past(void) {
    (void)armed(-1000);
    sleep_ms(5000);
}

static void past_deadline_is_now(void **state) {
    int64_t took_ms;
    (void)state;
    int status = run_child(arm_past, &took_ms);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_in_range(took_ms, 0, SLACK_MS);
}

static void disarm(void) {
    dead_man_t *dead_man = armed(100);
    dead_man_disarm(dead_man);
    sleep_ms(300);
}

static void arm_later(void) {
    dead_man_t *dead_man = armed(100);
    if (dead_man_arm(dead_man, clock_boot_ms() + 60000) != 0) _exit(1);
    sleep_ms(300);
}

static void destroy(void) {
    dead_man_t *dead_man = armed(100);
    dead_man_destroy(&dead_man);
    sleep_ms(300);
}

static void two_switches(void) {
    dead_man_t *one = armed(100);
    (void)armed(60000);
    dead_man_disarm(one);
    sleep_ms(300);
}

static void disarmed_lives(void **state) {
    static void (*const children[])(void) = {disarm, arm_later, destroy, two_switches};
    int64_t took_ms;
    (void)state;
    for (size_t i = 0; i < sizeof children / sizeof *children; i++) {
        int status = run_child(children[i], &took_ms);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), ALIVE_EXIT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_process_dies_in_time),
        cmocka_unit_test(wedged_process_dies_in_time),
        cmocka_unit_test(past_deadline_is_now),
        cmocka_unit_test(disarmed_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
