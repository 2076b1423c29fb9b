/* What results that AC alone fails on do to the others, and what tells of AC, by the core with its gate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core_bench.h"

#define GIVEN_UP_MAX 1000

/* Workers of a core that lives through seconds, with an AC that is well but for some results. */
typedef struct {
    bench_t b;
    uint64_t executor, fetcher, uploader, seq;
    unsigned polls, tries, most_apart_s, apart_s; /* apart: seconds from one poll to the next */
    struct {
        uint64_t number;
        uint32_t attempt;
    } handed[4];                     /* to the uploader */
    unsigned count, paused, resumed; /* as logged */
    uint64_t credits[3];             /* held, by stage; 0 for none */
} scene_t;

static void restore(bench_t *b, uint32_t count, uint32_t tries, int64_t spread_ms) {
    static char ids[GIVEN_UP_MAX][16];
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "held%u", i);
        task_image_t image = {.number = 1 + i, .state = TASK_DONE, .call = CALL_PUT_RESULT, .tries = tries};
        image.task_id = str_of(ids[i]);
        image.method = str_of("GET");
        image.next_try_ms = b->now.ms + 1 + (int64_t)i * spread_ms / count;
        assert_int_equal(core_restore_task(b->core, &image), 0);
    }
}

static void open_scene(scene_t *s, uint32_t rate, int ac_max, uint32_t held, uint32_t tries) {
    core_settings_t settings = {.redeliver = REDELIVER_IDEMPOTENT};
    *s = (scene_t){0};
    bench_open_with(&s->b, &settings);
    settings.rate_per_min = rate;
    settings.ac_max = ac_max;
    settings.response_queue = 2000;
    settings.lookahead = 100;
    restore(&s->b, held, tries, 600000);
    bench_start(&s->b);
    core_reconfigure(s->b.core, &settings);
    s->executor = bench_join(&s->b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    s->fetcher = bench_join(&s->b, ROLE_FETCHER, FETCHER, 6, NULL, 0);
    s->uploader = bench_join(&s->b, ROLE_UPLOADER, UPLOADER, 7, NULL, 0);
}

static void tick(scene_t *s) {
    bench_tick(&s->b);
    size_t count;
    const out_t *outs = effects_outs(s->b.fx, &count);
    for (size_t i = 0; i < count; i++) {
        if (outs[i].type == OUT_LOG) {
            s->paused += strcmp(outs[i].event, "fetch_paused") == 0;
            s->resumed += strcmp(outs[i].event, "fetch_resumed") == 0;
            if (strcmp(outs[i].event, "fetch_paused") == 0)
                assert_non_null(strstr(outs[i].text.ptr, "is for results\" ready=0"));
        }
        if (outs[i].type == OUT_CONTROL && outs[i].msg.type == MSG_GRANT)
            s->credits[outs[i].msg.grant.stage] = outs[i].msg.grant.credit;
        if (outs[i].type != OUT_PUSH) continue;
        assert_in_range(s->count, 0, 3);
        s->handed[s->count].number = outs[i].number;
        s->handed[s->count++].attempt = outs[i].msg.task.attempt;
    }
}

/* The peer's credit, held or granted now; 0 for none. */
static uint64_t granted(scene_t *s, uint64_t peer, uint64_t session, uint8_t stage) {
    if (s->credits[stage]) return s->credits[stage];
    msg_t want = {.type = MSG_WANT, .want = {session, ++s->seq, stage}};
    bench_say(&s->b, peer, &want);
    tick(s);
    return s->credits[stage];
}

static void give_back(scene_t *s, uint64_t peer, uint64_t session, uint8_t stage, uint16_t used) {
    if (!s->credits[stage]) return;
    msg_t release = {.type = MSG_RELEASE, .release = {session, s->credits[stage], used}};
    bench_say(&s->b, peer, &release);
    s->credits[stage] = 0;
}

static void poll(scene_t *s) {
    uint64_t credit = granted(s, FETCHER, s->fetcher, CREDIT_FETCH);
    s->apart_s++;
    if (s->apart_s > s->most_apart_s) s->most_apart_s = s->apart_s;
    if (!credit) return;
    msg_t report = {.type = MSG_REPORT};
    report.report =
        (msg_report_t){s->fetcher, credit, CALL_GET_TASK, OUTCOME_EMPTY, 200, -1, 1000, str_of("")};
    bench_say(&s->b, FETCHER, &report);
    give_back(s, FETCHER, s->fetcher, CREDIT_FETCH, 1);
    s->polls++;
    s->apart_s = 0;
}

/* A result that the uploader was handed, if any: AC answers 500 once more. */
static void upload(scene_t *s) {
    if (s->count == 0) return;
    uint64_t number = s->handed[0].number;
    uint32_t attempt = s->handed[0].attempt;
    s->handed[0] = s->handed[--s->count];
    bench_ref(&s->b, UPLOADER, MSG_CLAIM, s->uploader, number, attempt);
    uint64_t credit = granted(s, UPLOADER, s->uploader, CREDIT_UPLOAD);
    bench_uploaded(&s->b, s->uploader, number, attempt, credit ? OUTCOME_SERVER : OUTCOME_NOT_SENT);
    if (!credit) return;
    give_back(s, UPLOADER, s->uploader, CREDIT_UPLOAD, 1);
    s->tries++;
}

static void live(scene_t *s, int seconds) {
    for (int i = 0; i < seconds; i++) {
        s->b.now.ms += 1000;
        s->b.now.wall_ms += 1000;
        bench_beat(&s->b, EXECUTOR, s->executor, NULL, 0);
        bench_beat(&s->b, UPLOADER, s->uploader, NULL, 0);
        bench_beat(&s->b, FETCHER, s->fetcher, NULL, 0);
        bench_clear(&s->b);
        tick(s);
        for (unsigned n = s->count; n > 0; n--)
            upload(s);
        poll(s);
        give_back(s, UPLOADER, s->uploader, CREDIT_UPLOAD, 0); /* granted when its result was given back */
        core_view_t view;
        core_look(s->b.core, s->b.now.ms, &view);
        assert_in_range(rate_used(&view.gate->window, s->b.now.ms), 0, view.gate->rate);
    }
}

/* Results that were given up wait for minutes, and keep no units of this one. */
static void test_given_up_results_keep_nothing(void **state) {
    (void)state;
    static const uint32_t tries[] = {GIVEN_UP_TRIES, GIVEN_UP_TRIES - 1};
    for (int i = 0; i < 2; i++) {
        scene_t s;
        open_scene(&s, 4, 2, 10, tries[i]);
        bench_beat(&s.b, EXECUTOR, s.executor, NULL, 0);
        assert_int_not_equal(granted(&s, FETCHER, s.fetcher, CREDIT_FETCH), 0);
        assert_int_equal(bench_heard(&s.b, FETCHER, MSG_GRANT)->grant.budget, i == 0 ? 4 : 1);
        bench_close(&s.b);
    }
}

/* The units that are left are for results: that is told when it lasts, and once. */
static void test_a_pause_is_logged(void **state) {
    (void)state;
    scene_t s;
    open_scene(&s, 4, 2, 600, GIVEN_UP_TRIES - 1);
    live(&s, 9);
    assert_int_equal(s.paused, 0);
    live(&s, 40);
    assert_int_equal(s.polls, 1);
    assert_int_equal(s.paused, 1);
    assert_int_equal(s.resumed, 0);
    bench_close(&s.b);
}

/* However many results have been given up: what their tries leave of a minute is fetching's. */
static void test_given_up_results(void **state) {
    (void)state;
    static const struct {
        uint32_t rate, given_up;
        unsigned polls; /* at least, in half an hour */
    } table[] = {{250, 0, 1700}, {250, 200, 1700}, {250, 249, 1700}, {250, 900, 1700}, {60, 50, 1500},
                 {60, 59, 1500}, {60, 200, 900},   {20, 19, 450},    {20, 100, 230}};
    for (size_t t = 0; t < sizeof table / sizeof table[0]; t++) {
        scene_t s;
        open_scene(&s, table[t].rate, 2, table[t].given_up, 9);
        live(&s, 1800);
        assert_in_range(s.polls, table[t].polls, 1800);
        assert_in_range(s.most_apart_s, 1, 62); /* never more than a minute without one */
        assert_in_range(s.tries, 2 * table[t].given_up, 4 * table[t].given_up); /* of three each */
        bench_close(&s.b);
    }
}

/* A result that AC takes does not wait behind older ones that it has failed on, large or small. */
static void test_others_go_past_them(void **state) {
    (void)state;
    static const uint8_t calls[] = {CALL_PUT_RESULT, CALL_UPLOAD_RESULT};
    for (int i = 0; i < 8; i++) {
        scene_t s = {0};
        bench_open(&s.b, REDELIVER_IDEMPOTENT);
        for (uint64_t n = 1; n <= 4; n++) {
            char id[8];
            (void)snprintf(id, sizeof id, "id%u", (unsigned)n);
            task_image_t image = {.number = n,
                                  .state = TASK_DONE,
                                  .tries = n == 4  ? 0
                                           : i < 4 ? 1
                                                   : GIVEN_UP_TRIES + (uint32_t)(n == 1)};
            image.call = calls[n == 4 ? i / 2 % 2 : i % 2];
            image.task_id = str_of(id);
            image.method = str_of("GET");
            assert_int_equal(core_restore_task(s.b.core, &image), 0);
        }
        bench_start(&s.b);
        s.uploader = bench_join(&s.b, ROLE_UPLOADER, UPLOADER, 7, NULL, 0);
        bench_beat(&s.b, UPLOADER, s.uploader, NULL, 0);
        tick(&s);
        assert_in_range(s.count, 1, 2);
        assert_int_equal(s.handed[0].number, 4);
        if (s.count == 2) assert_int_equal(s.handed[1].number, 1); /* and of those the oldest */
        bench_close(&s.b);
    }
}

/* Those whose next try has come may have one credit, as others may. */
static void test_due_again(void **state) {
    (void)state;
    scene_t s;
    open_scene(&s, 250, 1, 10, GIVEN_UP_TRIES); /* one is due in each minute */
    s.b.now.ms += 180000;
    bench_beat(&s.b, UPLOADER, s.uploader, NULL, 0);
    tick(&s);
    bench_later(&s.b, 3000); /* after which it judges again */
    s.uploader = bench_join(&s.b, ROLE_UPLOADER, UPLOADER, 7, NULL, 0);
    bench_beat(&s.b, UPLOADER, s.uploader, NULL, 0);
    s.count = 0;
    tick(&s);
    assert_int_equal(s.count, 2); /* its slots */
    bench_ref(&s.b, UPLOADER, MSG_CLAIM, s.uploader, s.handed[0].number, s.handed[0].attempt);
    assert_int_not_equal(granted(&s, UPLOADER, s.uploader, CREDIT_UPLOAD), 0);
    assert_int_equal(bench_heard(&s.b, UPLOADER, MSG_GRANT)->grant.budget, 4);
    bench_close(&s.b);
}

static void say_fetched(scene_t *s, const char *id, uint64_t credit) {
    msg_t msg = {.type = MSG_FETCHED};
    msg.fetched = (msg_fetched_t){.instance = FETCHER,
                                  .seq = ++s->b.fetch_seq,
                                  .credit = credit,
                                  .task_id = str_of(id),
                                  .flags = TASK_IDEMPOTENT,
                                  .method = str_of("GET"),
                                  .host = str_of("tool"),
                                  .expiry_ms = s->b.now.wall_ms + 60000,
                                  .fetched_ms = s->b.now.wall_ms,
                                  .config = str_of(""),
                                  .error = str_of("")};
    bench_say(&s->b, 0, &msg);
    assert_non_null(bench_record(&s->b, REC_TASK_NEW));
}

static void say_denied(scene_t *s) {
    msg_t denied = {.type = MSG_REPORT};
    denied.report = (msg_report_t){
        s->fetcher, s->credits[CREDIT_FETCH], CALL_GET_TASK, OUTCOME_DENIED, 401, -1, 5, str_of("")};
    bench_say(&s->b, FETCHER, &denied);
}

static gate_state_t gate_state(scene_t *s, bool *seen_ok) {
    core_view_t view;
    core_look(s->b.core, s->b.now.ms, &view);
    *seen_ok = view.gate->seen_ok;
    return view.gate->state;
}

/* What was read before AC's latest failure says nothing of AC now: it waited in an inbox, say. */
static void test_news_of_ac(void **state) {
    (void)state;
    scene_t s;
    bool seen_ok;
    open_scene(&s, 250, 2, 0, 0);
    bench_beat(&s.b, EXECUTOR, s.executor, NULL, 0);
    say_fetched(&s, "of a former broker", 7);
    (void)gate_state(&s, &seen_ok);
    assert_false(seen_ok);
    uint64_t before = granted(&s, FETCHER, s.fetcher, CREDIT_FETCH);
    assert_int_not_equal(before, 0);
    say_fetched(&s, "well", before);
    (void)gate_state(&s, &seen_ok);
    assert_true(seen_ok);
    say_denied(&s);
    assert_int_equal(gate_state(&s, &seen_ok), GATE_CLOSED);
    say_fetched(&s, "its credit is out", before);
    assert_int_equal(gate_state(&s, &seen_ok), GATE_OPEN);
    say_denied(&s);
    give_back(&s, FETCHER, s.fetcher, CREDIT_FETCH, 3);
    say_fetched(&s, "out of the inbox", before);
    say_fetched(&s, "likewise", 0);
    assert_int_equal(gate_state(&s, &seen_ok), GATE_CLOSED);
    bench_later(&s.b, 4000);
    s.fetcher = bench_join(&s.b, ROLE_FETCHER, FETCHER, 6, NULL, 0);
    s.executor = bench_join(&s.b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    bench_beat(&s.b, EXECUTOR, s.executor, NULL, 0);
    bench_later(&s.b, 2000);
    uint64_t probe = granted(&s, FETCHER, s.fetcher, CREDIT_FETCH);
    assert_int_not_equal(probe, 0);
    give_back(&s, FETCHER, s.fetcher, CREDIT_FETCH, 1);
    say_fetched(&s, "overtaken by RELEASE", probe);
    assert_int_equal(gate_state(&s, &seen_ok), GATE_OPEN);
    bench_close(&s.b);
}

/* The pause that AC wants outlives the broker. */
static void test_a_pause_outlives_the_broker(void **state) {
    (void)state;
    scene_t s;
    core_view_t view;
    open_scene(&s, 250, 2, 0, 0);
    msg_t report = {.type = MSG_REPORT};
    report.report =
        (msg_report_t){s.fetcher, 1, CALL_GET_TASK, OUTCOME_LIMITED, 429, 40000, 5, str_of("slow down")};
    bench_say(&s.b, FETCHER, &report);
    const record_t *pause = bench_record(&s.b, REC_PAUSE);
    assert_non_null(pause);
    assert_int_equal(pause->at, s.b.now.ms + 40000);
    bench_close(&s.b);

    static const struct {
        int64_t until_ms, left_ms; /* from now on, and what is kept to */
    } table[] = {{40000, 40000}, {0, 0}, {-5, 0}, {INT64_MAX / 4, GATE_PAUSE_MAX_MS}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bench_t b;
        bench_open(&b, REDELIVER_IDEMPOTENT);
        core_restore_pause(b.core, b.now.ms + table[i].until_ms, b.now.ms);
        bench_start(&b);
        core_look(b.core, b.now.ms, &view);
        assert_int_equal(view.gate->pause_ms, table[i].left_ms ? b.now.ms + table[i].left_ms : 0);
        bench_close(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_up_results_keep_nothing),
        cmocka_unit_test(test_a_pause_is_logged),
        cmocka_unit_test(test_given_up_results),
        cmocka_unit_test(test_others_go_past_them),
        cmocka_unit_test(test_due_again),
        cmocka_unit_test(test_news_of_ac),
        cmocka_unit_test(test_a_pause_outlives_the_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
