/* The codec against bytes made by another MessagePack library: golden bytes, every bound, broken bytes of all
 * kinds, and memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/backoff.h"
#include "common/err.h"
#include "common/messages.h"
#include "tests/unit/message_samples.h"

#define BYTES_MAX 131072
#define MUTATIONS 100000

/* --- memory that runs out: the n-th allocation of the codec fails --- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static int allocations_left = -1; /* -1: as many as wanted */

static int may_allocate(void) {
    if (allocations_left < 0) return 1;
    if (allocations_left == 0) return 0;
    allocations_left--;
    return 1;
}

void *__wrap_malloc(size_t size) {
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size) {
    return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size) {
    return may_allocate() ? __real_realloc(old, size) : NULL;
}

/* --- the golden file --- */

typedef struct {
    char kind[8], what[16];
    int64_t payload;
    unsigned char *bytes, *canonical;
    size_t size, canonical_size;
    unsigned line;
} vector_t;

static unsigned digit(char c) {
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* HEX with runs as {HEX*COUNT}. Returns the size. */
static size_t unhex(const char *hex, unsigned char *out) {
    size_t size = 0, run = 0;
    for (; *hex; hex++) {
        if (*hex == '{') {
            run = size;
        } else if (*hex == '*') {
            unsigned long count = strtoul(hex + 1, NULL, 10);
            size_t unit = size - run;
            for (unsigned long i = 1; i < count; i++, size += unit)
                memcpy(out + size, out + run, unit);
            hex = strchr(hex, '}');
            assert_non_null(hex);
        } else {
            out[size++] = (unsigned char)(digit(hex[0]) << 4 | digit(hex[1]));
            hex++;
        }
        assert_true(size + 16 < BYTES_MAX);
    }
    return size;
}

/* The next vector of the file; false at its end. */
static int next_vector(FILE *file, vector_t *v) {
    static char line[16384], first[8192], second[8192];
    if (!fgets(line, sizeof line, file)) return 0;
    second[0] = '\0';
    first[0] = '\0';
    v->line++;
    long long payload;
    int got = sscanf(line, "%7s %15s %lld %8191s %8191s", v->kind, v->what, &payload, first, second);
    assert_true(got >= 3);
    v->payload = payload;
    v->size = unhex(first, v->bytes);
    v->canonical_size = unhex(second, v->canonical);
    return 1;
}

static void check_encodes(const msg_t *msg, const unsigned char *bytes, size_t size) {
    char *out = NULL;
    size_t out_size = 0;
    assert_int_equal(msg_encode(msg, &out, &out_size), 0);
    assert_int_equal(out_size, size);
    assert_memory_equal(out, bytes, size);
    free(out);
}

static void check_vector(const vector_t *v, msg_scratch_t *scratch) {
    msg_t msg;
    int err = msg_decode(v->bytes, v->size, v->payload, &msg, scratch);
    if (strcmp(v->kind, "bad") == 0) {
        if (err == 0 || (int)scratch->error != atoi(v->what))
            fail_msg("line %u: error %d, ERROR code %u \"%s\"; expected %s", v->line, err,
                     (unsigned)scratch->error, scratch->text, v->what);
        assert_true(scratch->text[0] != '\0');
        return;
    }
    if (err != 0) fail_msg("line %u: %s: %s", v->line, err_str(err), scratch->text);
    assert_string_equal(msg_type_name(msg.type), v->what);
    if (v->canonical_size)
        check_encodes(&msg, v->canonical, v->canonical_size);
    else
        check_encodes(&msg, v->bytes, v->size);
}

static void for_each_vector(void (*visit)(const vector_t *v, msg_scratch_t *scratch, void *ctx), void *ctx) {
    FILE *file = fopen(GOLDEN_FILE, "r");
    assert_non_null(file);
    msg_scratch_t *scratch = malloc(sizeof *scratch);
    vector_t v = {.bytes = malloc(BYTES_MAX), .canonical = malloc(BYTES_MAX)};
    assert_true(scratch && v.bytes && v.canonical);
    while (next_vector(file, &v))
        visit(&v, scratch, ctx);
    assert_true(v.line > 1000);
    free(v.bytes);
    free(v.canonical);
    free(scratch);
    (void)fclose(file);
}

static void visit_check(const vector_t *v, msg_scratch_t *scratch, void *ctx) {
    (void)ctx;
    check_vector(v, scratch);
}

static void test_vectors(void **state) {
    (void)state;
    for_each_vector(visit_check, NULL);
}

/* The first good vector of each message is its sample: every field is where it belongs. */
static void visit_sample(const vector_t *v, msg_scratch_t *scratch, void *ctx) {
    size_t *seen = ctx;
    (void)scratch;
    if (*seen == SAMPLES || strcmp(v->kind, "good") != 0) return;
    const msg_t *sample = &samples[*seen];
    if (strcmp(v->what, msg_type_name(sample->type)) != 0) return;
    check_encodes(sample, v->bytes, v->size);
    (*seen)++;
}

static void test_samples(void **state) {
    (void)state;
    size_t seen = 0;
    for_each_vector(visit_sample, &seen);
    assert_int_equal(seen, SAMPLES);
}

/* --- broken bytes --- */

static void test_truncated(void **state) {
    (void)state;
    msg_scratch_t *scratch = malloc(sizeof *scratch);
    for (size_t i = 0; i < SAMPLES; i++) {
        char *bytes;
        size_t size, max_payload;
        assert_int_equal(msg_encode(&samples[i], &bytes, &size), 0);
        int64_t payload = msg_has_payload(samples[i].type, &max_payload) ? 0 : -1;
        for (size_t n = 0; n < size; n++) {
            char *cut = malloc(n + 1); /* so that a sanitizer sees a step beyond the end */
            memcpy(cut, bytes, n);
            char *exact = realloc(cut, n ? n : 1);
            msg_t msg;
            assert_int_equal(msg_decode(exact, n, payload, &msg, scratch), ERR_MALFORMED);
            assert_int_equal(scratch->error, MSG_ERR_MALFORMED);
            free(exact);
        }
        free(bytes);
    }
    free(scratch);
}

static void test_mutated(void **state) {
    (void)state;
    uint64_t random = 20240229;
    msg_scratch_t *scratch = malloc(sizeof *scratch);
    unsigned accepted = 0;
    for (int round = 0; round < MUTATIONS; round++) {
        char *bytes;
        size_t size;
        msg_t msg;
        assert_int_equal(msg_encode(&samples[random_below(&random, SAMPLES)], &bytes, &size), 0);
        for (uint64_t n = 1 + random_below(&random, 4); n > 0; n--)
            bytes[random_below(&random, size)] = (char)random_below(&random, 256);
        int64_t payload = (int64_t)random_below(&random, 3) - 1;
        int err = msg_decode(bytes, size, payload, &msg, scratch);
        if (err == 0) {
            char *again;
            size_t again_size;
            accepted++;
            assert_int_equal(msg_encode(&msg, &again, &again_size), 0);
            free(again);
        } else {
            assert_true(scratch->error >= MSG_ERR_SIZE && scratch->error <= MSG_ERR_PAYLOAD);
        }
        free(bytes);
    }
    assert_in_range(accepted, 1000, MUTATIONS - 1000);
    free(scratch);
}

/* --- the encoder's own bounds, and memory --- */

static void test_encode_bounds(void **state) {
    (void)state;
    char *bytes = NULL;
    size_t size;
    msg_t msg = {.type = MSG_WANT, .want = {.session = 1, .seq = 1, .stage = 3}};
    assert_int_equal(msg_encode(&msg, &bytes, &size), ERR_INVALID);
    msg = (msg_t){.type = MSG_GRANT, .grant = {.stage = 1, .budget = 0}};
    assert_int_equal(msg_encode(&msg, &bytes, &size), ERR_INVALID);
    static char text[2000];
    msg = (msg_t){.type = MSG_ERROR, .error = {.text = {text, 201}}};
    assert_int_equal(msg_encode(&msg, &bytes, &size), ERR_INVALID);
    msg = (msg_t){.type = (msg_type_t)99};
    assert_int_equal(msg_encode(&msg, &bytes, &size), ERR_INVALID);
    static uint64_t numbers[1025];
    msg = (msg_t){.type = MSG_HEARTBEAT, .heartbeat = {1, 1, {1025, numbers}}};
    assert_int_equal(msg_encode(&msg, &bytes, &size), ERR_INVALID);
    assert_null(bytes);
}

/* Encodes with one allocation more each time, until there are enough. Returns how often it failed. */
static int encode_no_memory(const msg_t *msg, char **bytes, size_t *size) {
    *bytes = NULL;
    for (int n = 0;; n++) {
        allocations_left = n;
        int err = msg_encode(msg, bytes, size);
        allocations_left = -1;
        if (err == 0) return n;
        assert_int_equal(err, ERR_NOMEM);
        assert_null(*bytes);
    }
}

/* A message that outgrows the encoder's first buffer must not come out with a hole. */
static void test_no_memory_to_grow(void **state) {
    (void)state;
    static uint64_t numbers[MSG_HELD_MAX];
    for (int i = 0; i < MSG_HELD_MAX; i++)
        numbers[i] = UINT64_MAX - (uint64_t)i;
    msg_t msg = {.type = MSG_WELCOME, .welcome = {.seq = 1, .session = 2, .drop = {MSG_HELD_MAX, numbers}}};
    char *bytes, *whole;
    size_t size, whole_size;
    assert_int_equal(msg_encode(&msg, &whole, &whole_size), 0);
    assert_true(encode_no_memory(&msg, &bytes, &size) >= 2);
    assert_int_equal(size, whole_size);
    assert_memory_equal(bytes, whole, whole_size);
    free(bytes);
    free(whole);
}

static void test_no_memory(void **state) {
    (void)state;
    msg_scratch_t *scratch = malloc(sizeof *scratch);
    for (size_t i = 0; i < SAMPLES; i++) {
        char *bytes;
        size_t size, max_payload;
        assert_true(encode_no_memory(&samples[i], &bytes, &size) > 0);
        int64_t payload = msg_has_payload(samples[i].type, &max_payload) ? 0 : -1;
        for (int n = 0, err = -1; err != 0; n++) {
            msg_t msg;
            allocations_left = n;
            err = msg_decode(bytes, size, payload, &msg, scratch);
            allocations_left = -1;
            if (err != 0) assert_int_equal(err, ERR_NOMEM);
        }
        free(bytes);
    }
    free(scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),           cmocka_unit_test(test_samples),
        cmocka_unit_test(test_truncated),         cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_encode_bounds),     cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_no_memory_to_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
