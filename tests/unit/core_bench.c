#include "tests/unit/core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void doc_free(void **doc) {
    free(*doc);
    *doc = NULL;
}

void bench_open(bench_t *b, redeliver_t redeliver) {
    core_settings_t settings = {.redeliver = redeliver};
    bench_open_with(b, &settings);
}

void bench_open_with(bench_t *b, core_settings_t *settings) {
    settings->epoch = settings->seed = 1;
    settings->agent_id[0] = 'a';
    settings->ac_max = 2;
    settings->rate_per_min = 250;
    settings->task_queue = settings->response_queue = 100;
    settings->response_threshold = 80;
    *b = (bench_t){.now = {1000000, 1700000000000}};
    b->core = core_new(settings);
    b->fx = effects_new();
    assert_true(b->core && b->fx);
}

void bench_start(bench_t *b) {
    assert_int_equal(core_start(b->core, b->now), 0);
}

void bench_begin(bench_t *b, redeliver_t redeliver) {
    bench_open(b, redeliver);
    bench_start(b);
}

void bench_close(bench_t *b) {
    core_destroy(&b->core);
    effects_destroy(&b->fx, doc_free);
}

void bench_clear(bench_t *b) {
    effects_clear(b->fx, doc_free);
}

static void step(bench_t *b, event_kind_t kind, uint64_t peer, const msg_t *msg, bool has_doc) {
    void *doc = has_doc ? malloc(1) : NULL;
    uint64_t bytes = has_doc && b->doc_bytes ? b->doc_bytes : has_doc;
    event_t event = {.kind = kind, .peer = peer, .msg = msg, .doc = &doc, .doc_bytes = bytes, .key = b->key};
    assert_int_equal(core_step(b->core, &event, b->now, b->fx), 0);
    free(doc);
}

void bench_say(bench_t *b, uint64_t peer, const msg_t *msg) {
    bench_clear(b);
    step(b, EV_MESSAGE, peer, msg, msg->type == MSG_FETCHED || msg->type == MSG_RESULT);
}

void bench_tick(bench_t *b) {
    step(b, EV_TICK, 0, NULL, false);
}

void bench_not_pushed(bench_t *b, const out_t *push) {
    event_t event = {.kind = EV_NOT_PUSHED, .number = push->number, .attempt = push->msg.task.attempt};
    assert_int_equal(core_step(b->core, &event, b->now, b->fx), 0);
}

void bench_later(bench_t *b, int64_t ms) {
    while (ms > 0) {
        int64_t part = ms < 1000 ? ms : 1000;
        ms -= part;
        b->now.ms += part;
        b->now.wall_ms += part;
        bench_tick(b);
    }
}

const out_t *bench_out(bench_t *b, out_type_t type, uint64_t peer) {
    size_t count;
    const out_t *outs = effects_outs(b->fx, &count);
    for (size_t i = 0; i < count; i++)
        if (outs[i].type == type && outs[i].peer == peer) return &outs[i];
    return NULL;
}

const msg_t *bench_heard(bench_t *b, uint64_t peer, msg_type_t type) {
    size_t count;
    const out_t *outs = effects_outs(b->fx, &count);
    for (size_t i = 0; i < count; i++)
        if (outs[i].peer == peer && outs[i].type != OUT_LOG && outs[i].msg.type == type) return &outs[i].msg;
    return NULL;
}

const record_t *bench_record(bench_t *b, record_type_t type) {
    size_t count;
    const record_t *records = effects_records(b->fx, &count);
    for (size_t i = 0; i < count; i++)
        if (records[i].type == type) return &records[i];
    return NULL;
}

uint64_t bench_join(bench_t *b, role_t role, uint64_t instance, uint64_t place, const msg_held_t *held,
                    uint32_t count) {
    msg_t msg = {.type = MSG_HELLO};
    msg.hello = (msg_hello_t){.role = (uint8_t)role,
                              .instance = instance,
                              .place = place,
                              .name = str_of("worker"),
                              .program_version = str_of("test"),
                              .slots = role == ROLE_FETCHER ? 0 : 2,
                              .seq = ++b->hello_seq,
                              .credit = b->credit,
                              .held = {count, held}};
    bench_say(b, instance, &msg);
    const msg_t *welcome = bench_heard(b, instance, MSG_WELCOME);
    assert_non_null(welcome);
    assert_int_equal(welcome->welcome.seq, b->hello_seq);
    return welcome->welcome.session;
}

void bench_beat(bench_t *b, uint64_t peer, uint64_t session, const uint64_t *held, uint32_t count) {
    msg_t msg = {.type = MSG_HEARTBEAT, .heartbeat = {session, ++b->beat_seq, {count, held}}};
    bench_say(b, peer, &msg);
}

uint64_t bench_fetch(bench_t *b, const char *id, const char *method, uint16_t flags) {
    msg_t msg = {.type = MSG_FETCHED};
    msg.fetched = (msg_fetched_t){.instance = FETCHER,
                                  .seq = ++b->fetch_seq,
                                  .task_id = str_of(id),
                                  .flags = flags,
                                  .method = str_of(method),
                                  .host = str_of("tool"),
                                  .expiry_ms = b->now.wall_ms + 60000,
                                  .fetched_ms = b->now.wall_ms,
                                  .config = str_of(""),
                                  .error = str_of("")};
    bench_say(b, 0, &msg);
    const record_t *record = bench_record(b, REC_TASK_NEW);
    return record ? record->task.number : 0;
}

void bench_ref(bench_t *b, uint64_t peer, msg_type_t type, uint64_t session, uint64_t number,
               uint32_t attempt) {
    msg_t msg = {.type = type, .ref = {session, number, attempt}};
    bench_say(b, peer, &msg);
}

void bench_result(bench_t *b, uint64_t session, uint64_t number, uint32_t attempt) {
    bench_result_flags(b, session, number, attempt, 0);
}

void bench_result_flags(bench_t *b, uint64_t session, uint64_t number, uint32_t attempt, uint16_t flags) {
    msg_t msg = {.type = MSG_RESULT, .result = {session, number, attempt, 0, flags, 200, 1, 1, 0, 1, 0}};
    bench_say(b, 0, &msg);
}

void bench_uploaded(bench_t *b, uint64_t session, uint64_t number, uint32_t attempt, outcome_t outcome) {
    msg_t msg = {.type = MSG_UPLOADED};
    msg.uploaded = (msg_uploaded_t){.session = session,
                                    .number = number,
                                    .attempt = attempt,
                                    .call = CALL_PUT_RESULT,
                                    .outcome = (uint8_t)outcome,
                                    .retry_after_ms = -1,
                                    .reason = str_of("why")};
    bench_say(b, UPLOADER, &msg);
}

task_state_t bench_state(bench_t *b, uint64_t number) {
    core_view_t view;
    core_look(b->core, b->now.ms, &view);
    const task_t *task = tasks_find(view.tasks, number);
    return task ? task->state : TASK_STATES;
}

uint64_t bench_claimed(bench_t *b, uint64_t *session, const char *method, uint16_t flags) {
    *session = bench_join(b, ROLE_EXECUTOR, EXECUTOR, 5, NULL, 0);
    bench_beat(b, EXECUTOR, *session, NULL, 0);
    uint64_t number = bench_fetch(b, "id", method, flags);
    bench_tick(b);
    const out_t *push = bench_out(b, OUT_PUSH, EXECUTOR);
    assert_non_null(push);
    assert_int_equal(push->msg.task.attempt, 1);
    assert_int_equal(push->msg.task.remaining_ms, 60000);
    bench_ref(b, EXECUTOR, MSG_CLAIM, *session, number, 1);
    assert_non_null(bench_heard(b, EXECUTOR, MSG_CLAIMED));
    return number;
}

uint64_t bench_uploading(bench_t *b, uint64_t *session) {
    uint64_t executor;
    uint64_t number = bench_claimed(b, &executor, "GET", TASK_IDEMPOTENT);
    bench_result(b, executor, number, 1);
    *session = bench_join(b, ROLE_UPLOADER, UPLOADER, 0, NULL, 0);
    bench_beat(b, UPLOADER, *session, NULL, 0);
    bench_tick(b);
    bench_ref(b, UPLOADER, MSG_CLAIM, *session, number, 1);
    assert_int_equal(bench_state(b, number), TASK_UPLOADING);
    return number;
}
