#include "report.h"

#include "json_out.h"
#include "loop.h"

static void put_notes(json_out_t *out, const char *key, const books_t *books, note_t list) {
    json_out_open(out, key, true);
    for (size_t i = 0; books_noted(books, list, i); i++)
        json_out_text(out, NULL, span_of(books_noted(books, list, i)));
    json_out_close(out, true);
}

static void put_timing(json_out_t *out, const char *key, const histogram_t *timing) {
    json_out_open(out, key, false);
    json_out_int(out, "count", timing->count);
    json_out_int(out, "p50", histogram_quantile(timing, 0.5));
    json_out_int(out, "p90", histogram_quantile(timing, 0.9));
    json_out_int(out, "p99", histogram_quantile(timing, 0.99));
    json_out_int(out, "max", timing->max_us);
    json_out_close(out, false);
}

static void put_fault(void *ctx, const char *name, int64_t count) {
    json_out_int(ctx, name, count);
}

void report_books(const books_t *books, const faults_t *faults, buf_t *buf) {
    json_out_t *out = json_out_new();
    json_out_open(out, NULL, false);
    for (int i = 0; i < BOOK_COUNT; i++)
        json_out_int(out, book_name((book_t)i), books_get(books, (book_t)i));
    json_out_open(out, "faults", false);
    faults_each(faults, put_fault, out);
    json_out_close(out, false);
    put_notes(out, "wrong_reasons", books, NOTE_WRONG);
    put_notes(out, "protocol_error_texts", books, NOTE_PROTOCOL);
    put_notes(out, "agent_ids", books, NOTE_AGENT_IDS);
    put_timing(out, "hand_to_tool_us", books_timing(books, TIMING_HAND_TO_TOOL));
    put_timing(out, "hand_to_result_us", books_timing(books, TIMING_HAND_TO_RESULT));
    put_timing(out, "tool_to_result_us", books_timing(books, TIMING_TOOL_TO_RESULT));
    json_out_close(out, false);
    json_out_finish(&out, buf);
}

static void put_records(json_out_t *out, const char *key, const task_t *task, record_t kind) {
    buf_t list = {0};
    span_t records = task_records(task, kind);
    buf_text(&list, "[");
    buf_add(&list, records.data, records.len);
    buf_text(&list, "]");
    json_out_raw(out, key, span_buf(&list));
    buf_free(&list);
}

void report_task(tasks_t *tasks, task_t *task, buf_t *buf) {
    json_out_t *out = json_out_new();
    json_out_open(out, NULL, false);
    json_out_text(out, "taskId", task_id(task));
    json_out_text(out, "state", span_of(task_state(task)));
    json_out_text(out, "method", task_method(task));
    json_out_int(out, "times_handed", task_handings(task));
    json_out_int(out, "handed_at_us", task_handed_us(task));
    json_out_int(out, "times_executed", task_tool_calls(task));
    json_out_int(out, "times_delivered", task_results(task));
    json_out_bool(out, "recorded", task_recorded(tasks, task));
    json_out_text(out, "raw", task_handings(task) ? task_raw(tasks, task) : span_of(""));
    put_records(out, "tool_calls", task, RECORD_TOOL_CALLS);
    put_records(out, "results", task, RECORD_RESULTS);
    json_out_close(out, false);
    json_out_finish(&out, buf);
}

static void put_outstanding(void *ctx, const task_t *task) {
    json_out_open(ctx, NULL, false);
    json_out_text(ctx, "taskId", task_id(task));
    json_out_text(ctx, "state", span_of(task_state(task)));
    json_out_text(ctx, "method", task_method(task));
    json_out_int(ctx, "handed_at_us", task_handed_us(task));
    json_out_int(ctx, "times_executed", task_tool_calls(task));
    json_out_close(ctx, false);
}

void report_outstanding(tasks_t *tasks, buf_t *buf) {
    json_out_t *out = json_out_new();
    json_out_open(out, NULL, false);
    json_out_int(out, "now_us", loop_now_us());
    json_out_open(out, "tasks", true);
    tasks_outstanding(tasks, put_outstanding, out);
    json_out_close(out, true);
    json_out_close(out, false);
    json_out_finish(&out, buf);
}
