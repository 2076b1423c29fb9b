#include "cli/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "cli/status_page.h"

#define TEXT_MAX 1024
#define COLUMN   24 /* of the texts */

typedef struct finding_t {
    struct finding_t *next;
    severity_t severity;
    const char *check, *advice;
    char text[TEXT_MAX];
} finding_t;

struct report_t {
    finding_t *first, **last;
    bool incomplete; /* memory failed */
};

static const struct {
    const char *name, *mark;
    style_t style;
} severities[] = {[FOUND_OK] = {"ok", "ok", STYLE_GOOD},
                  [FOUND_SKIPPED] = {"skipped", "--", STYLE_DIM},
                  [FOUND_WARNING] = {"warning", "warn", STYLE_WARN},
                  [FOUND_FAILURE] = {"failure", "FAIL", STYLE_BAD}};

report_t *report_new(void) {
    report_t *self = calloc(1, sizeof *self);
    if (self) self->last = &self->first;
    return self;
}

void report_destroy(report_t **self) {
    if (!*self) return;
    for (finding_t *next, *at = (*self)->first; at; at = next) {
        next = at->next;
        free(at);
    }
    free(*self);
    *self = NULL;
}

void report_add(report_t *self, severity_t severity, const char *check, const char *advice, const char *fmt,
                ...) {
    finding_t *finding = calloc(1, sizeof *finding);
    va_list args;
    if (!finding) {
        self->incomplete = true;
        return;
    }
    finding->severity = severity;
    finding->check = check;
    finding->advice = advice;
    va_start(args, fmt);
    (void)vsnprintf(finding->text, sizeof finding->text, fmt, args);
    va_end(args);
    page_clean(finding->text);
    *self->last = finding;
    self->last = &finding->next;
}

severity_t report_worst(const report_t *self) {
    severity_t worst = self->incomplete ? FOUND_FAILURE : FOUND_OK;
    for (const finding_t *at = self->first; at; at = at->next)
        if (at->severity > worst) worst = at->severity;
    return worst;
}

static void print_finding(page_t *page, const finding_t *finding) {
    page->used = 0;
    page_add(page, severities[finding->severity].style, "%-5s", severities[finding->severity].mark);
    page_add(page, STYLE_STRONG, "%s", finding->check);
    page_add(page, STYLE_PLAIN, " ");
    page_fill(page, COLUMN);
    page_add_words_at(page, STYLE_PLAIN, finding->text, COLUMN);
    page_end(page);
    if (finding->advice[0] == '\0') return;
    page_fill(page, COLUMN);
    page_add(page, STYLE_PLAIN, "-> ");
    page_add_words_at(page, STYLE_PLAIN, finding->advice, COLUMN + 3);
    page_end(page);
}

void report_print(const report_t *self, FILE *out, bool colour, unsigned width) {
    page_t page = {.out = out, .colour = colour, .width = width};
    unsigned counts[FOUND_FAILURE + 1] = {0};
    for (const finding_t *at = self->first; at; at = at->next) {
        print_finding(&page, at);
        counts[at->severity]++;
    }
    (void)fprintf(out, "\n%u ok, %u skipped, %u warning%s, %u failure%s\n", counts[FOUND_OK],
                  counts[FOUND_SKIPPED], counts[FOUND_WARNING], counts[FOUND_WARNING] == 1 ? "" : "s",
                  counts[FOUND_FAILURE], counts[FOUND_FAILURE] == 1 ? "" : "s");
    if (self->incomplete) (void)fprintf(out, "out of memory: findings are missing\n");
}

static void put(yajl_gen g, const char *name, const char *text) {
    (void)yajl_gen_string(g, (const unsigned char *)name, strlen(name));
    (void)yajl_gen_string(g, (const unsigned char *)text, strlen(text));
}

bool report_print_json(const report_t *self, FILE *out) {
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *json;
    size_t size;
    if (!g) return false;
    (void)yajl_gen_map_open(g);
    put(g, "worst", severities[report_worst(self)].name);
    (void)yajl_gen_string(g, (const unsigned char *)"findings", 8);
    (void)yajl_gen_array_open(g);
    for (const finding_t *at = self->first; at; at = at->next) {
        (void)yajl_gen_map_open(g);
        put(g, "check", at->check);
        put(g, "severity", severities[at->severity].name);
        put(g, "text", at->text);
        put(g, "advice", at->advice);
        (void)yajl_gen_map_close(g);
    }
    (void)yajl_gen_array_close(g);
    (void)yajl_gen_map_close(g);
    bool ok = yajl_gen_get_buf(g, &json, &size) == yajl_gen_status_ok && fwrite(json, 1, size, out) == size &&
              fputc('\n', out) != EOF;
    yajl_gen_free(g);
    return ok && !self->incomplete;
}
