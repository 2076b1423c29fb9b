#include "waits.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "report.h"

#define CLAUSES_MAX 16

typedef enum { OP_GE, OP_LE, OP_EQ, OP_NE, OP_GT, OP_LT, OP_COUNT } op_t;

/* The longer ones first. */
static const char *const OPS[OP_COUNT] = {
    [OP_GE] = ">=", [OP_LE] = "<=", [OP_EQ] = "==", [OP_NE] = "!=", [OP_GT] = ">", [OP_LT] = "<"};

typedef struct {
    book_t counter;
    op_t op;
    int64_t number;
} clause_t;

typedef struct wait {
    waits_t *waits;
    request_t *request;
    clause_t clauses[CLAUSES_MAX];
    size_t count;
    struct wait *next;
} wait_t;

struct waits {
    const books_t *books;
    const faults_t *faults;
    wait_t *list;
    uint64_t version; /* of the books at the last look */
};

waits_t *waits_new(const books_t *books, const faults_t *faults) {
    waits_t *self = mem_new(1, sizeof *self);
    self->books = books;
    self->faults = faults;
    return self;
}

void waits_destroy(waits_t **self) {
    if (!*self) return;
    while ((*self)->list)
        waits_remove(*self, (*self)->list->request);
    free(*self);
    *self = NULL;
}

static bool clause_parse(char *text, clause_t *clause) {
    size_t name_len = strcspn(text, "<>=!");
    clause->counter = book_named((span_t){text, name_len});
    const char *rest = text + name_len;
    for (int op = 0; op < OP_COUNT; op++) {
        size_t op_len = strlen(OPS[op]);
        if (strncmp(rest, OPS[op], op_len) != 0) continue;
        clause->op = (op_t)op;
        return clause->counter != BOOK_COUNT &&
               number_parse(rest + op_len, INT64_MIN, INT64_MAX, &clause->number);
    }
    return false;
}

static bool condition_parse(wait_t *wait, const char *condition) {
    char *copy = mem_copy(condition, strlen(condition));
    bool good = true;
    for (char *rest = copy, *part; good && (part = strsep(&rest, ","));)
        good = wait->count < CLAUSES_MAX && clause_parse(part, &wait->clauses[wait->count++]);
    free(copy);
    return good;
}

static bool clause_holds(const clause_t *clause, int64_t value) {
    switch (clause->op) {
    case OP_GE:
        return value >= clause->number;
    case OP_LE:
        return value <= clause->number;
    case OP_EQ:
        return value == clause->number;
    case OP_NE:
        return value != clause->number;
    case OP_GT:
        return value > clause->number;
    default:
        return value < clause->number;
    }
}

static bool holds(const wait_t *wait) {
    for (size_t i = 0; i < wait->count; i++)
        if (!clause_holds(&wait->clauses[i], books_get(wait->waits->books, wait->clauses[i].counter)))
            return false;
    return true;
}

static void answer(const wait_t *wait, int status) {
    buf_t body = {0};
    report_books(wait->waits->books, wait->waits->faults, &body);
    answer_t *reply = answer_with(status, "application/json", span_buf(&body));
    request_answer(wait->request, &reply, 0);
    buf_free(&body);
}

/* The wait of a request; it is in the list until the request is done. */
static wait_t **find(waits_t *self, const request_t *request) {
    wait_t **at = &self->list;
    while (*at && (*at)->request != request)
        at = &(*at)->next;
    return at;
}

/* The request's tag names the list it waits in. */
static void timed_out(void *ctx, request_t *request) {
    (void)ctx;
    waits_t *self = *request_tag(request);
    const wait_t *wait = *find(self, request);
    if (wait) answer(wait, 408);
    waits_remove(self, request);
}

bool waits_add(waits_t *self, request_t *request, const char *condition, int64_t timeout_us, buf_t *error) {
    wait_t *wait = mem_new(1, sizeof *wait);
    wait->waits = self;
    wait->request = request;
    if (!condition_parse(wait, condition)) {
        buf_printf(error, "\"%s\" is not COUNTER OP NUMBER[,...] with OP one of >= <= == != > <", condition);
        free(wait);
        return false;
    }
    if (holds(wait)) {
        answer(wait, 200);
        free(wait);
        return true;
    }
    wait->next = self->list;
    self->list = wait;
    *request_tag(request) = self;
    request_hold(request, loop_now_us() + timeout_us, timed_out);
    return true;
}

void waits_remove(waits_t *self, const request_t *request) {
    wait_t **at = find(self, request);
    wait_t *wait = *at;
    if (!wait) return;
    *at = wait->next;
    free(wait);
}

void waits_look(waits_t *self) {
    if (!self->list || books_version(self->books) == self->version) return;
    self->version = books_version(self->books);
    for (wait_t *wait = self->list, *next; wait; wait = next) {
        next = wait->next;
        if (!holds(wait)) continue;
        answer(wait, 200);
        waits_remove(self, wait->request);
    }
}
