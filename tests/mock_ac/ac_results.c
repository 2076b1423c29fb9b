#include "ac_call.h"
#include "results.h"

static ledger_t ledger_of(const ac_api_t *api) {
    return (ledger_t){api->options.books, api->options.tasks, api->options.store};
}

static void refuse(call_t *call, const char *text) {
    protocol_error(call->api, call, text);
    call_message(call, 400, text);
}

static void accept_json(call_t *call, via_t via, span_t json) {
    ledger_t ledger = ledger_of(call->api);
    buf_t error = {0};
    if (result_accept(&ledger, via, json, call->upload, &error)) {
        call->accepted = true;
        answer_t *answer = answer_with(200, "application/json", span_of("{\"success\":true}"));
        call_answer(call, &answer);
    } else {
        refuse(call, error.data);
    }
    buf_free(&error);
}

void put_result(call_t *call) {
    accept_json(call, VIA_PUT_RESULT, request_body(call->request));
}

void upload_result(call_t *call) {
    via_t via = call->endpoint == ENDPOINT_UPLOAD_LOGS ? VIA_UPLOAD_LOGS : VIA_UPLOAD_RESULT;
    buf_t error = {0};
    if (!call->upload)
        refuse(call, "the upload is no multipart/form-data");
    else if (!upload_finish(call->upload, &error))
        refuse(call, error.data);
    else
        accept_json(call, via, upload_task_json(call->upload));
    buf_free(&error);
}

void upload_url(call_t *call) {
    const char *base = call->api->options.base_url;
    const char *name = request_query(call->request, "fileName");
    buf_t put_path = {0};
    buf_t get_path = {0};
    if (name && store_grant(call->api->options.store, span_of(name), &put_path, &get_path)) {
        buf_t body = {0};
        buf_printf(&body, "{\"data\":{\"putUrl\":\"%s%s\",\"getUrl\":\"%s%s\"}}", base, put_path.data, base,
                   get_path.data);
        answer_t *answer = answer_with(200, "application/json", span_buf(&body));
        buf_free(&body);
        call_answer(call, &answer);
    } else {
        refuse(call, "fileName is not {taskId}{32 hex} of a known task");
    }
    buf_free(&put_path);
    buf_free(&get_path);
}

void store_upload(call_t *call) {
    const request_t *request = call->request;
    buf_t error = {0};
    if (request_header(request, "Authorization"))
        protocol_error(call->api, call, "a request to the store carries Authorization");
    if (!call->put) {
        call_message(call, 403, "no such presigned URL");
    } else {
        const char *type = request_header(request, "Content-Type");
        if (!put_end(call->put, type, request_header(request, "Content-Encoding"), &error))
            protocol_error(call->api, call, error.data);
        answer_t *answer = answer_new(200);
        call_answer(call, &answer);
    }
    buf_free(&error);
}
