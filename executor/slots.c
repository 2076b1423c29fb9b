#include "executor/slots.h"

#include <stdlib.h>
#include <unistd.h>

#define IDLE_EASY_MAX 64

struct slots_t {
    run_t **runs;
    uint32_t count, size;
    CURL *idle[IDLE_EASY_MAX];
    uint32_t idle_count;
};

slots_t *slots_new(void) {
    return calloc(1, sizeof(slots_t));
}

static void run_free(run_t *run) {
    run_release(run);
    run_drop_body(run);
    free(run->task_id);
    free(run->result);
    free(run);
}

void slots_destroy(slots_t **self) {
    if (!self || !*self) return;
    for (uint32_t i = 0; i < (*self)->count; i++)
        run_free((*self)->runs[i]);
    for (uint32_t i = 0; i < (*self)->idle_count; i++)
        curl_easy_cleanup((*self)->idle[i]);
    free((*self)->runs);
    free(*self);
    *self = NULL;
}

run_t *slots_add(slots_t *self) {
    run_t *run;

    if (self->count == MSG_HELD_MAX) return NULL;
    if (self->count == self->size) {
        uint32_t size = self->size ? self->size * 2 : 16;
        run_t **grown = reallocarray(self->runs, size, sizeof(void *));
        if (!grown) return NULL;
        self->runs = grown;
        self->size = size;
    }
    run = calloc(1, sizeof *run);
    if (run) self->runs[self->count++] = run;
    return run;
}

void slots_remove(slots_t *self, run_t *run) {
    for (uint32_t i = 0; i < self->count; i++) {
        if (self->runs[i] == run) {
            self->runs[i] = self->runs[--self->count];
            run_free(run);
            return;
        }
    }
}

run_t *slots_find(const slots_t *self, uint64_t number) {
    for (uint32_t i = 0; i < self->count; i++) {
        if (self->runs[i]->number == number) return self->runs[i];
    }
    return NULL;
}

uint32_t slots_count(const slots_t *self) {
    return self->count;
}

run_t *slots_at(const slots_t *self, uint32_t index) {
    return self->runs[index];
}

CURL *slots_take_easy(slots_t *self) {
    return self->idle_count > 0 ? self->idle[--self->idle_count] : curl_easy_init();
}

void slots_give_easy(slots_t *self, CURL *easy) {
    if (self->idle_count < IDLE_EASY_MAX)
        self->idle[self->idle_count++] = easy;
    else
        curl_easy_cleanup(easy);
}

void run_release(run_t *run) {
    curl_slist_free_all(run->headers);
    run->headers = NULL;
    passage_clear(&run->passage);
    request_clear(&run->request);
    response_destroy(&run->response);
    task_json_clear(&run->task);
    zframe_destroy(&run->payload);
}

void run_drop_body(run_t *run) {
    if (run->body.has_file) (void)close(run->body.fd);
    run->body = (outgoing_t){0};
}

phase_t run_phase(const run_t *run) {
    if (run->result) return PHASE_FINISHED;
    return run->started ? PHASE_STARTED : PHASE_UNSTARTED;
}
