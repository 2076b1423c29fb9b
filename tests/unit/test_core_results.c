/* Results that AC fails on, by the core through minutes: what they keep from others, and others from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core_bench.h"

#define SLOTS 2 /* of each worker */

typedef struct {
    uint64_t number;
    uint32_t attempt;
} handed_t;

typedef struct {
    bench_t b;
    uint64_t executor, fetcher, uploader, seq;
    handed_t held[SLOTS]; /* by the uploader, claimed, as they came */
    unsigned count;
    unsigned polls, fetched;
} scene_t;

static void open_scene(scene_t *s, uint32_t response_queue, uint32_t results, uint32_t tried,
                       uint32_t tries) {
    *s = (scene_t){0};
    bench_open(&s->b, REDELIVER_IDEMPOTENT);
    core_settings_t settings = {
        .epoch = 1, .ac_max = 2, .rate_per_min = 250, .task_queue = 100, .response_threshold = 80};
    settings.response_queue = response_queue;
    core_reconfigure(s->b.core, &settings);
    for (uint32_t n = 1; n <= results; n++) {
        char id[16];
        (void)snprintf(id, sizeof id, "held%u", n);
        task_image_t image = {.number = n, .state = TASK_DONE, .call = CALL_PUT_RESULT};
        image.tries = n <= tried ? tries : 0;
        image.task_id = str_of(id);
        image.method = str_of("GET");
        assert_int_equal(core_restore_task(s->b.core, &image), 0);
    }
    bench_start(&s->b);
    s->executor = bench_join(&s->b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    s->fetcher = bench_join(&s->b, ROLE_FETCHER, FETCHER, 6, NULL, 0);
    s->uploader = bench_join(&s->b, ROLE_UPLOADER, UPLOADER, 7, NULL, 0);
}

/* The executor answers a task at once, the uploader claims a result. */
static void take(scene_t *s, uint64_t peer, handed_t handed) {
    bool result = peer == UPLOADER;
    bench_ref(&s->b, peer, MSG_CLAIM, result ? s->uploader : s->executor, handed.number, handed.attempt);
    if (!result) {
        bench_result(&s->b, s->executor, handed.number, handed.attempt);
        return;
    }
    assert_in_range(s->count, 0, SLOTS - 1);
    s->held[s->count++] = handed;
}

/* A second goes by. The workers may ask for credits, which come into `credits` by stage. */
static void second(scene_t *s, bool wants, uint64_t credits[3]) {
    uint64_t numbers[SLOTS], peers[2 * SLOTS];
    handed_t handed[2 * SLOTS];
    unsigned pushes = 0;
    for (unsigned i = 0; i < s->count; i++)
        numbers[i] = s->held[i].number;
    bench_beat(&s->b, EXECUTOR, s->executor, NULL, 0);
    bench_beat(&s->b, FETCHER, s->fetcher, NULL, 0);
    bench_beat(&s->b, UPLOADER, s->uploader, numbers, s->count);
    msg_t want = {.type = MSG_WANT, .want = {s->fetcher, ++s->seq, CREDIT_FETCH}};
    if (wants) bench_say(&s->b, FETCHER, &want);
    want.want = (msg_want_t){s->uploader, ++s->seq, CREDIT_UPLOAD};
    if (wants && s->count > 0) bench_say(&s->b, UPLOADER, &want);
    bench_clear(&s->b);
    bench_later(&s->b, 1000);
    size_t count;
    const out_t *outs = effects_outs(s->b.fx, &count);
    for (size_t i = 0; i < count; i++) {
        const msg_t *msg = &outs[i].msg;
        if (outs[i].type == OUT_CONTROL && msg->type == MSG_GRANT && msg->grant.seq)
            credits[msg->grant.stage] = msg->grant.credit;
        if (outs[i].type != OUT_PUSH) continue;
        assert_in_range(pushes, 0, 2 * SLOTS - 1);
        peers[pushes] = outs[i].peer;
        handed[pushes++] = (handed_t){outs[i].number, msg->task.attempt};
    }
    for (unsigned i = 0; i < pushes; i++)
        take(s, peers[i], handed[i]);
}

/* The uploader has posted what it claimed first; its number. */
static uint64_t post(scene_t *s, outcome_t outcome) {
    if (s->count == 0) return 0;
    handed_t first = s->held[0];
    s->count--;
    memmove(s->held, s->held + 1, s->count * sizeof *s->held);
    bench_uploaded(&s->b, s->uploader, first.number, first.attempt, outcome);
    return first.number;
}

static void report(scene_t *s, uint64_t credit, outcome_t outcome, uint16_t status) {
    msg_t report = {.type = MSG_REPORT};
    report.report =
        (msg_report_t){s->fetcher, credit, CALL_GET_TASK, (uint8_t)outcome, status, -1, 9000, str_of("")};
    bench_say(&s->b, FETCHER, &report);
}

static void give_back(scene_t *s, uint64_t peer, uint64_t session, uint64_t credit) {
    msg_t release = {.type = MSG_RELEASE, .release = {session, credit, 1}};
    bench_say(&s->b, peer, &release);
}

/* Results that were given up, all with the uploader or about to be: get-task goes on, and opens the gate once
 * AC is well again, but for them. */
static void test_given_up_and_claimed(void **state) {
    (void)state;
    static const struct {
        uint32_t queue;
        int denied; /* get-task, before */
    } table[] = {{1, 0}, {1, 4}, {2, 0}, {2, 4}, {100, 4}};
    for (size_t t = 0; t < sizeof table / sizeof table[0]; t++) {
        scene_t s;
        open_scene(&s, table[t].queue, 20, 20, GIVEN_UP_TRIES + 1);
        for (int i = 0; i < 300; i++) {
            uint64_t credits[3] = {0};
            second(&s, true, credits);
            for (int n = 0; i == 2 && n < table[t].denied; n++)
                report(&s, 1, OUTCOME_DENIED, 401);
            if (credits[CREDIT_FETCH]) {
                report(&s, credits[CREDIT_FETCH], OUTCOME_EMPTY, 204);
                give_back(&s, FETCHER, s.fetcher, credits[CREDIT_FETCH]);
                s.polls++;
            }
            if (!credits[CREDIT_UPLOAD]) continue;
            assert_int_not_equal(post(&s, OUTCOME_SERVER), 0);
            give_back(&s, UPLOADER, s.uploader, credits[CREDIT_UPLOAD]);
        }
        core_view_t view;
        core_look(s.b.core, s.b.now.ms, &view);
        assert_int_equal(view.gate->state, GATE_OPEN);
        assert_null(view.fetch_paused);
        assert_int_equal(tasks_given_up(view.tasks), 20);
        assert_in_range(s.polls, 150, 300);
        bench_close(&s.b);
    }
}

/* One result a second goes and one comes, so that some always wait: the one that AC failed on once has its
 * turn. */
static void test_tried_once(void **state) {
    (void)state;
    for (uint32_t tries = 1; tries < GIVEN_UP_TRIES; tries++) {
        scene_t s;
        uint64_t posted = 0, credits[3];
        open_scene(&s, 100, 60, 1, tries);
        for (int i = 0; i < 600 && posted != 1; i++) {
            char id[16];
            (void)snprintf(id, sizeof id, "new%d", i);
            assert_int_not_equal(bench_fetch(&s.b, id, "GET", TASK_IDEMPOTENT), 0);
            second(&s, false, credits);
            posted = post(&s, OUTCOME_DONE);
            core_view_t view;
            core_look(s.b.core, s.b.now.ms, &view);
            assert_in_range(tasks_results(view.tasks), 50, 62);
        }
        assert_int_equal(posted, 1);
        bench_close(&s.b);
    }
}

/* AC fails on 25 results and has time for one each half minute: one that it takes waits for a try of each at
 * most, not for all their tries; once they are given up, for those alone that are claimed. */
static void test_many_that_fail(void **state) {
    (void)state;
    scene_t s;
    open_scene(&s, 100, 25, 25, 1);
    uint64_t fresh = 0, credits[3];
    unsigned before = 0, most = 0, delivered = 0;
    for (int i = 0; i < 3 * 3600; i++) {
        if (!fresh && i % 600 == 0) {
            char id[16];
            (void)snprintf(id, sizeof id, "new%d", i);
            fresh = bench_fetch(&s.b, id, "GET", TASK_IDEMPOTENT);
            before = 0;
        }
        second(&s, false, credits);
        if (i % 30 != 0 || s.count == 0) continue;
        bool taken = s.held[0].number == fresh;
        (void)post(&s, taken ? OUTCOME_DONE : OUTCOME_SERVER);
        if (taken) {
            if (before > most) most = before;
            if (i > 2 * 3600) assert_in_range(before, 0, SLOTS);
            delivered++;
            fresh = 0;
        }
        before++;
    }
    assert_in_range(most, 0, 25 + SLOTS);
    assert_in_range(delivered, 12, 18);
    bench_close(&s.b);
}

/* Of those that were given up each has its turn, too, when more are due than AC has time for. */
static void test_given_up_take_turns(void **state) {
    (void)state;
    scene_t s;
    open_scene(&s, 100, 60, 60, GIVEN_UP_TRIES);
    uint64_t credits[3], tried = 0;
    for (int i = 0; i < 60 * 30 + 60; i++) {
        second(&s, false, credits);
        if (i % 30 == 0) tried |= (uint64_t)1 << post(&s, OUTCOME_SERVER);
    }
    assert_true((tried | 1) == ((uint64_t)1 << 61) - 1);
    bench_close(&s.b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_up_and_claimed),
        cmocka_unit_test(test_tried_once),
        cmocka_unit_test(test_many_that_fail),
        cmocka_unit_test(test_given_up_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
