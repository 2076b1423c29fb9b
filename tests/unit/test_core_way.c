/* A slow way, a cut one and a lost TASK: what is waited for, what goes elsewhere, and whose a late claim is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/stage.h"
#include "tests/unit/core_bench.h"

#define REST_MS 5000 /* of a worker that is mute for the first time */

static uint64_t join(bench_t *b, uint64_t instance) {
    uint64_t session = bench_join(b, ROLE_EXECUTOR, instance, instance, NULL, 0);
    bench_beat(b, instance, session, NULL, 0);
    return session;
}

/* Time passes; the executor is heard each second. What goes out stays to be looked at. */
static void wait(bench_t *b, uint64_t instance, uint64_t session, const uint64_t *held, uint32_t count,
                 int64_t ms) {
    for (; ms > 0; ms -= 1000) {
        bench_beat(b, instance, session, held, count);
        bench_later(b, ms < 1000 ? ms : 1000);
    }
}

static uint64_t fetch(bench_t *b, const char *id, const char *method, uint64_t octets) {
    b->doc_bytes = octets;
    uint64_t number = bench_fetch(b, id, method, method[0] == 'G' ? TASK_IDEMPOTENT : 0);
    bench_tick(b);
    return number;
}

static const task_t *find(bench_t *b, uint64_t number) {
    core_view_t view;
    core_look(b->core, b->now.ms, &view);
    return tasks_find(view.tasks, number);
}

static const worker_t *executor(bench_t *b, uint64_t instance) {
    core_view_t view;
    core_look(b->core, b->now.ms, &view);
    const worker_t *worker = view.executors;
    while (worker && worker->instance != instance)
        worker = worker->next;
    assert_non_null(worker);
    return worker;
}

static void claim(bench_t *b, uint64_t instance, uint64_t session, uint64_t number, msg_type_t answer) {
    bench_ref(b, instance, MSG_CLAIM, session, number, 1);
    assert_non_null(bench_heard(b, instance, answer));
}

/* Each comes 4 s after the one before it: the second 8 s after its push. */
static void test_slow_way(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR);
    uint64_t first = fetch(&b, "1", "POST", 40000), second = fetch(&b, "2", "POST", 40000);
    wait(&b, EXECUTOR, session, NULL, 0, 4000);
    claim(&b, EXECUTOR, session, first, MSG_CLAIMED);
    wait(&b, EXECUTOR, session, &first, 1, 4000);
    assert_int_equal(bench_state(&b, second), TASK_PUSHED);
    claim(&b, EXECUTOR, session, second, MSG_CLAIMED);
    assert_int_equal(find(&b, second)->pushes, 1);
    assert_int_equal(executor(&b, EXECUTOR)->mute, 0);
    bench_close(&b);
}

/* A large one has a second for each 64,000 octets, and nothing is sent after it. */
static void test_large_task(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR);
    uint64_t large = fetch(&b, "large", "POST", 15 * WAY_SLOW), small = fetch(&b, "small", "GET", 1);
    assert_int_equal(bench_state(&b, small), TASK_READY);
    wait(&b, EXECUTOR, session, NULL, 0, 19000);
    assert_int_equal(bench_state(&b, large), TASK_PUSHED);
    claim(&b, EXECUTOR, session, large, MSG_CLAIMED);
    bench_tick(&b);
    assert_int_equal(bench_state(&b, small), TASK_PUSHED);
    assert_int_equal(find(&b, large)->pushes, 1);
    bench_close(&b);
}

/* But not for ever, nor longer than it is worth something. */
static void test_large_task_does_not_come(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR);
    uint64_t large = fetch(&b, "large", "POST", 15 * WAY_SLOW);
    wait(&b, EXECUTOR, session, NULL, 0, 20000);
    assert_int_equal(bench_state(&b, large), TASK_READY);
    assert_int_equal(executor(&b, EXECUTOR)->mute, 1);
    bench_close(&b);
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    session = join(&b, EXECUTOR);
    large = fetch(&b, "large", "POST", 1000 * WAY_SLOW);
    wait(&b, EXECUTOR, session, NULL, 0, 59000);
    assert_int_equal(bench_state(&b, large), TASK_PUSHED);
    wait(&b, EXECUTOR, session, NULL, 0, 1000);
    assert_int_equal(bench_state(&b, large), TASK_DONE); /* it has expired */
    assert_int_equal(executor(&b, EXECUTOR)->mute, 0);
    bench_close(&b);
}

/* It died with its connection, and later ones come: it alone is sent again. */
static void test_one_is_lost(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR);
    uint64_t lost = fetch(&b, "lost", "POST", 3 * WAY_SLOW), next = fetch(&b, "next", "POST", 1);
    wait(&b, EXECUTOR, session, NULL, 0, 4000);
    claim(&b, EXECUTOR, session, next, MSG_CLAIMED);
    wait(&b, EXECUTOR, session, &next, 1, 1000);
    assert_int_equal(find(&b, lost)->pushes, 2);
    assert_int_equal(executor(&b, EXECUTOR)->mute, 0);
    bench_close(&b);
}

static void test_late_claim_of_what_nobody_has(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR), number = fetch(&b, "id", "POST", 1);
    wait(&b, EXECUTOR, session, NULL, 0, 5000);
    assert_int_equal(bench_state(&b, number), TASK_READY);
    claim(&b, EXECUTOR, session, number, MSG_CLAIMED);
    assert_int_equal(bench_record(&b, REC_TASK_RUNNING)->task.holder, EXECUTOR);
    uint64_t other = join(&b, EXECUTOR2);
    wait(&b, EXECUTOR2, other, NULL, 0, 1000);
    assert_null(bench_out(&b, OUT_PUSH, EXECUTOR2));
    bench_result(&b, session, number, 1);
    assert_int_equal(bench_state(&b, number), TASK_DONE);
    bench_close(&b);
}

/* The result of a GET may come before its claim, which it began with. */
static void test_late_result(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR), number = fetch(&b, "id", "GET", 1);
    wait(&b, EXECUTOR, session, NULL, 0, 5000);
    assert_int_equal(executor(&b, EXECUTOR)->mute, 1);
    bench_result(&b, session, number, 1);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_STORED));
    assert_int_equal(bench_state(&b, number), TASK_DONE);
    assert_int_equal(executor(&b, EXECUTOR)->mute, 0);
    claim(&b, EXECUTOR, session, number, MSG_STORED);
    bench_close(&b);
}

/* Once a second executor has got it, it is never the first one's again, even when the second gives it back.
 */
static void test_late_claim_of_what_went_elsewhere(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR), number = fetch(&b, "id", "POST", 1);
    wait(&b, EXECUTOR, session, NULL, 0, 5000);
    uint64_t other = join(&b, EXECUTOR2);
    bench_tick(&b);
    assert_int_equal(bench_out(&b, OUT_PUSH, EXECUTOR2)->msg.task.attempt, 2);
    claim(&b, EXECUTOR, session, number, MSG_DENIED);
    msg_t msg = {.type = MSG_RETURN, .give_back = {other, number, 2, 0}};
    bench_say(&b, EXECUTOR2, &msg);
    assert_int_equal(bench_state(&b, number), TASK_READY);
    claim(&b, EXECUTOR, session, number, MSG_DENIED);
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number, 2);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_DENIED));
    assert_int_equal(bench_state(&b, number), TASK_READY);
    bench_close(&b);
}

/* What was given back is forgotten there: a repeated claim of it, on its way meanwhile, takes nothing. */
static void test_late_and_given_back(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR), late = fetch(&b, "late", "POST", 1);
    wait(&b, EXECUTOR, session, NULL, 0, 5000);
    msg_t msg = {.type = MSG_RETURN, .give_back = {session, late, 1, 0}};
    bench_say(&b, EXECUTOR, &msg);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_GONE));
    claim(&b, EXECUTOR, session, late, MSG_DENIED);
    assert_int_equal(bench_state(&b, late), TASK_READY);
    bench_close(&b);
}

/* One that lists what it runs is tried beside that, and not only once that has ended. */
static void test_trial_beside_a_long_task(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR), running = fetch(&b, "long", "POST", 1);
    claim(&b, EXECUTOR, session, running, MSG_CLAIMED);
    uint64_t lost = fetch(&b, "lost", "POST", 1);
    wait(&b, EXECUTOR, session, &running, 1, 5000);
    assert_int_equal(bench_state(&b, lost), TASK_READY);
    assert_int_equal(executor(&b, EXECUTOR)->mute, 1);
    wait(&b, EXECUTOR, session, &running, 1, REST_MS - 1000);
    assert_int_equal(bench_state(&b, lost), TASK_READY);
    wait(&b, EXECUTOR, session, &running, 1, 1000);
    assert_int_equal(bench_state(&b, lost), TASK_PUSHED);
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, lost, 2);
    assert_non_null(bench_heard(&b, EXECUTOR, MSG_CLAIMED));
    assert_int_equal(executor(&b, EXECUTOR)->mute, 0);
    bench_close(&b);
}

/* One of 40 results cannot be read: it is tried again ever more seldom, and the others go past it. */
static void test_unreadable_result(void **state) {
    (void)state;
    bench_t b;
    bench_open(&b, REDELIVER_IDEMPOTENT);
    for (uint64_t n = 1; n <= 40; n++) {
        const task_image_t image = {.number = n,
                                    .task_id = str_of(n == 1 ? "bad" : ""),
                                    .method = str_of("GET"),
                                    .state = TASK_DONE,
                                    .call = CALL_PUT_RESULT};
        assert_int_equal(core_restore_task(b.core, &image), 0);
    }
    bench_start(&b);
    uint64_t session = bench_join(&b, ROLE_UPLOADER, UPLOADER, 7, NULL, 0);
    unsigned delivered = 0, tried = 0;
    for (int second = 0; second < 60; second++) {
        bench_beat(&b, UPLOADER, session, NULL, 0);
        bench_later(&b, 1000);
        const out_t *push = bench_out(&b, OUT_PUSH, UPLOADER);
        if (push && push->number == 1) {
            tried++;
            bench_not_pushed(&b, push);
            bench_clear(&b);
            bench_tick(&b);
            push = bench_out(&b, OUT_PUSH, UPLOADER);
        }
        if (!push) continue;
        uint64_t number = push->number;
        uint32_t attempt = push->msg.task.attempt;
        bench_ref(&b, UPLOADER, MSG_CLAIM, session, number, attempt);
        bench_uploaded(&b, session, number, attempt, OUTCOME_DONE);
        delivered++;
    }
    assert_int_equal(delivered, 39);
    assert_in_range(tried, 3, 5);
    assert_null(bench_record(&b, REC_TASK_TRY)); /* its row cannot be written either */
    bench_close(&b);
}

/* A task's expiry waits until it can be read; then it counts. */
static void test_unreadable_task(void **state) {
    (void)state;
    bench_t b;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    uint64_t session = join(&b, EXECUTOR), number = fetch(&b, "id", "POST", 1);
    bench_not_pushed(&b, bench_out(&b, OUT_PUSH, EXECUTOR));
    assert_int_equal(bench_state(&b, number), TASK_READY);
    assert_int_equal(executor(&b, EXECUTOR)->out, 0);
    for (int i = 0; i < 200; i++) {
        bench_clear(&b);
        wait(&b, EXECUTOR, session, NULL, 0, 1000);
        const out_t *push = bench_out(&b, OUT_PUSH, EXECUTOR);
        if (push && i < 100) bench_not_pushed(&b, push);
        assert_null(bench_record(&b, REC_TASK_FAIL));
        if (push && i >= 100) break;
    }
    bench_ref(&b, EXECUTOR, MSG_CLAIM, session, number, find(&b, number)->attempt);
    assert_int_equal(bench_state(&b, number), TASK_DONE);
    assert_non_null(bench_record(&b, REC_TASK_FAIL));
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_way),
        cmocka_unit_test(test_large_task),
        cmocka_unit_test(test_large_task_does_not_come),
        cmocka_unit_test(test_one_is_lost),
        cmocka_unit_test(test_late_claim_of_what_nobody_has),
        cmocka_unit_test(test_late_result),
        cmocka_unit_test(test_late_claim_of_what_went_elsewhere),
        cmocka_unit_test(test_late_and_given_back),
        cmocka_unit_test(test_trial_beside_a_long_task),
        cmocka_unit_test(test_unreadable_result),
        cmocka_unit_test(test_unreadable_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
