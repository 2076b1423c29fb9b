#include <ctype.h>
#include <string.h>

#include "ac_call.h"

static bool agent_id_good(const char *id) {
    size_t digits = id ? strspn(id, "0123456789") : 0;
    return digits && id[digits] == '_' && strlen(id + digits + 1) == 6 &&
           strspn(id + digits + 1, "0123456789abcdef") == 6;
}

static bool version_good(const char *version) {
    return version && isdigit((unsigned char)version[0]) && strchr(version, '.');
}

static void check_query(call_t *call) {
    ac_api_t *api = call->api;
    const char *id = request_query(call->request, "agentId");
    if (agent_id_good(id))
        books_note_once(api->options.books, NOTE_AGENT_IDS, id);
    else
        protocol_error(api, call, "agentId is not {unix seconds}_{6 hex}");
    if (!version_good(request_query(call->request, "agentVersion")))
        protocol_error(api, call, "agentVersion is missing or no version");
}

static void poll_add(call_t *call) {
    ac_api_t *api = call->api;
    call->polling = true;
    call->next = NULL;
    call->prev = api->last_poll;
    if (call->prev)
        call->prev->next = call;
    else
        api->first_poll = call;
    api->last_poll = call;
    books_add(api->options.books, BOOK_AC_POLLS_WAITING, 1);
}

void poll_remove(call_t *call) {
    ac_api_t *api = call->api;
    if (!call->polling) return;
    call->polling = false;
    if (call->prev)
        call->prev->next = call->next;
    else
        api->first_poll = call->next;
    if (call->next)
        call->next->prev = call->prev;
    else
        api->last_poll = call->prev;
    books_add(api->options.books, BOOK_AC_POLLS_WAITING, -1);
}

/* The answer with the task at the head of the queue. Half an answer takes no task from the queue. */
static void hand_out(call_t *call) {
    tasks_t *tasks = call->api->options.tasks;
    task_t *task = tasks_take(tasks);
    if (call->fault.kind == FAULT_HALF) {
        tasks_put_back(tasks, task);
    } else {
        task_handed(tasks, task);
        call->task = task;
    }
    buf_t body = {0};
    span_t raw = task_raw(tasks, task);
    buf_text(&body, "{\"data\":");
    buf_add(&body, raw.data, raw.len);
    buf_text(&body, "}");
    answer_t *answer = answer_with(200, "application/json", span_buf(&body));
    buf_free(&body);
    call_answer(call, &answer);
}

static void answer_idle(call_t *call) {
    answer_t *answer = answer_with(200, "application/json", span_of("{\"data\":null}"));
    call_answer(call, &answer);
}

static void poll_due(void *ctx, request_t *request) {
    (void)ctx;
    call_t *call = *request_slot(request);
    poll_remove(call);
    answer_idle(call);
}

static bool has_tasks(const ac_api_t *api) {
    return !api->options.settings->paused && books_get(api->options.books, BOOK_WAITING) > 0;
}

static void client_left(call_t *call) {
    limits_gone(call->api->options.limits, call->flight);
    call_kill(call, false);
}

/* Answers with a task, or waits for one, or says that there is none. */
static void look(call_t *call) {
    ac_api_t *api = call->api;
    range_t long_poll_ms = api->options.settings->long_poll_ms;
    call->delayed = true;
    if (request_client_gone(call->request)) {
        client_left(call);
    } else if (has_tasks(api)) {
        hand_out(call);
    } else if (long_poll_ms.high == 0) {
        answer_idle(call);
    } else {
        int64_t wait_ms = range_pick(long_poll_ms, mix64(api->options.seed, api->draws++));
        int64_t due_us = loop_now_us() + wait_ms * 1000;
        poll_add(call);
        limits_until(call->flight, due_us);
        request_hold(call->request, due_us, poll_due);
    }
}

static void delay_due(void *ctx, request_t *request) {
    (void)ctx;
    look(*request_slot(request));
}

void get_task(call_t *call) {
    check_query(call);
    int64_t delay_us = call_delay_us(call);
    if (delay_us == 0) {
        look(call);
        return;
    }
    int64_t long_poll_us = call->api->options.settings->long_poll_ms.high * 1000;
    limits_until(call->flight, loop_now_us() + delay_us + long_poll_us);
    request_hold(call->request, loop_now_us() + delay_us, delay_due);
}

void ac_api_wake(ac_api_t *self) {
    while (self->first_poll && has_tasks(self)) {
        call_t *call = self->first_poll;
        poll_remove(call);
        if (request_client_gone(call->request))
            client_left(call);
        else
            hand_out(call);
    }
}
