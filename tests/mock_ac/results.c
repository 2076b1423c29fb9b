#include "results.h"

#include "json_out.h"
#include "json_text.h"
#include "loop.h"

static const char *const VIA_NAMES[] = {"put-result", "upload-result", "upload-logs"};
static const char *const CLASS_NAMES[] = {"plain", "network", "error", "outcome unknown"};

static void book_wrong(books_t *books, span_t id, const char *reason) {
    books_add(books, BOOK_WRONG, 1);
    books_note(books, NOTE_WRONG, "%.*s: %s", (int)id.len, id.data, reason);
}

static void book_class(books_t *books, result_class_t class) {
    static const book_t COUNTERS[] = {BOOK_COUNT, BOOK_ERROR_NETWORK, BOOK_ERROR_OTHER, BOOK_OUTCOME_UNKNOWN};
    if (class == RESULT_PLAIN) return;
    books_add(books, BOOK_ERROR_RESULTS, 1);
    books_add(books, COUNTERS[class], 1);
}

typedef struct {
    span_t json;
    const upload_t *upload;
    result_class_t class;
    buf_t reason; /* empty for a right result */
} verdict_t;

static void record(const ledger_t *ledger, task_t *task, const received_t *received,
                   const verdict_t *verdict) {
    buf_t text = {0};
    json_out_t *out = json_out_new();
    json_out_open(out, NULL, false);
    json_out_text(out, "via", span_of(VIA_NAMES[received->via]));
    json_out_int(out, "at_us", loop_now_us());
    json_out_text(out, "class", span_of(CLASS_NAMES[verdict->class]));
    json_out_bool(out, "wrong", verdict->reason.len > 0);
    json_out_text(out, "reason", span_buf(&verdict->reason));
    json_out_text(out, "raw", verdict->json);
    if (verdict->upload) json_out_int(out, "fileBytes", (int64_t)received->file.len);
    if (received->via == VIA_UPLOAD_LOGS)
        json_out_bytes(out, "fileBase64", upload_file_head(verdict->upload));
    json_out_close(out, false);
    json_out_finish(&out, &text);
    task_record(ledger->tasks, task, RECORD_RESULTS, span_buf(&text));
    buf_free(&text);
}

static apart_t stored_body(const ledger_t *ledger, const members_t *members) {
    buf_t url = {0};
    apart_t stored = {0};
    if (json_string(member_value(members, "s3Url"), &url)) stored = store_find(ledger->store, span_buf(&url));
    buf_free(&url);
    return stored;
}

static void take(const ledger_t *ledger, task_t *task, via_t via, const members_t *members,
                 verdict_t *verdict) {
    received_t received = {.via = via, .members = members, .now_ms = wall_ms()};
    received.stored = stored_body(ledger, members);
    if (verdict->upload) received.file = upload_file(verdict->upload);
    verdict->class = check_result(ledger->tasks, task, &received, &verdict->reason);
    if (verdict->reason.len) book_wrong(ledger->books, task_id(task), verdict->reason.data);
    book_class(ledger->books, verdict->class);
    if (task_recorded(ledger->tasks, task)) record(ledger, task, &received, verdict);
    task_accepted(ledger->tasks, task);
}

bool result_accept(const ledger_t *ledger, via_t via, span_t json, const upload_t *upload, buf_t *error) {
    members_t members;
    if (!json_valid(json) || !json_members(json, &members)) {
        buf_text(error, "the result is no JSON object");
        return false;
    }
    buf_t id = {0};
    json_string(member_value(&members, "taskId"), &id);
    task_t *task = tasks_by_id(ledger->tasks, span_buf(&id));
    verdict_t verdict = {.json = json, .upload = upload};
    if (!task || !task_handings(task))
        book_wrong(ledger->books, span_buf(&id), "a result of a task that was never handed out");
    else
        take(ledger, task, via, &members, &verdict);
    buf_free(&verdict.reason);
    buf_free(&id);
    members_free(&members);
    return true;
}
