/* The trail of a task: what goes in comes out, its bound, and octets that are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/trail.h"

#define BASE 1700000000000

static void add(trail_t *trail, trail_kind_t kind, int64_t after_ms, uint64_t a, const char *text) {
    trail_add(trail, BASE,
              &(trail_entry_t){.kind = kind,
                               .at_wall_ms = BASE + after_ms,
                               .a = a,
                               .b = a * 3,
                               .c = UINT64_MAX,
                               .text = str_of(text),
                               .host = str_of("host"),
                               .pid = 4242});
}

static void test_each_kind(void **state) {
    (void)state;
    static const int64_t times[] = {0, -1, 1, INT64_MAX - BASE, -BASE, 1000000};
    trail_t trail = {0};
    trail_entry_t entry;
    for (int kind = 1; kind < TRAIL_KINDS; kind++)
        add(&trail, (trail_kind_t)kind, times[kind % 6], (uint64_t)kind, "text");
    size_t at = 0;
    for (int kind = 1; kind < TRAIL_KINDS; kind++) {
        assert_true(trail_next(trail.bytes, trail.len, BASE, &at, &entry));
        assert_int_equal(entry.kind, kind);
        assert_int_equal(entry.at_wall_ms, BASE + times[kind % 6]);
        if (kind == TRAIL_TRY || kind == TRAIL_RESULT) {
            assert_int_equal(entry.a, kind);
            assert_int_equal(entry.b, 3 * kind);
            assert_true(entry.c == UINT64_MAX);
        }
        if (kind == TRAIL_PUSHED || kind == TRAIL_KEPT) {
            assert_int_equal(entry.pid, 4242);
            assert_int_equal(entry.host.len, 4);
            assert_memory_equal(entry.host.ptr, "host", 4);
        }
        if (kind == TRAIL_PUSHED || kind == TRAIL_LOST || kind == TRAIL_TRY || kind == TRAIL_DROPPED ||
            kind == TRAIL_NOT_DONE || kind == TRAIL_UNCLAIMED)
            assert_memory_equal(entry.text.ptr, "text", 4);
    }
    assert_false(trail_next(trail.bytes, trail.len, BASE, &at, &entry));
    assert_int_equal(at, trail.len);
    trail_clear(&trail);
    assert_null(trail.bytes);
}

/* However often a result is tried: the beginning and the end stay, and all are counted. */
static void test_bound(void **state) {
    (void)state;
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    trail_t trail = {0};
    trail_entry_t entry;
    add(&trail, TRAIL_FETCHED, -3, 0, "");
    for (uint64_t i = 1; i <= 3000; i++) {
        add(&trail, TRAIL_TRY, (int64_t)i * 1000, i, i % 7 == 0 ? text : "HTTP 503");
        assert_true(trail.len <= TRAIL_MAX);
    }
    uint64_t told = 0, omitted = 0, last = 0;
    size_t at = 0;
    assert_true(trail_next(trail.bytes, trail.len, BASE, &at, &entry));
    assert_int_equal(entry.kind, TRAIL_FETCHED);
    while (trail_next(trail.bytes, trail.len, BASE, &at, &entry)) {
        told += entry.kind == TRAIL_TRY;
        omitted += entry.kind == TRAIL_OMITTED ? entry.a : 0;
        if (told == 1 && entry.kind == TRAIL_TRY) assert_int_equal(entry.a, 1);
        if (entry.kind == TRAIL_TRY) last = entry.a;
    }
    assert_int_equal(at, trail.len);
    assert_int_equal(last, 3000);
    assert_int_equal(told + omitted, 3000);
    assert_true(told > 20);
    trail_clear(&trail);
}

/* Every cut and every changed octet is read as far as it is sound, and not beyond. */
static void test_damage(void **state) {
    (void)state;
    trail_t trail = {0};
    trail_entry_t entry;
    add(&trail, TRAIL_ACCEPTED, 0, 0, "");
    add(&trail, TRAIL_PUSHED, 3, 1, "executor-1");
    add(&trail, TRAIL_TRY, 300000, 503, "put-result: answered 503");
    for (size_t len = 0; len <= trail.len; len++) {
        unsigned char *copy = malloc(len + 1); /* of its exact size but one, for the sanitizers */
        assert_non_null(copy);
        for (unsigned change = 0; change < 256; change += 51) {
            memcpy(copy, trail.bytes, len);
            if (len > 0) copy[len / 2] ^= (unsigned char)change;
            size_t at = 0;
            while (trail_next(copy, len, BASE, &at, &entry))
                assert_true(at <= len);
            trail_t loaded = {0};
            trail_load(&loaded, copy, len);
            assert_int_equal(loaded.len, at);
            trail_clear(&loaded);
        }
        free(copy);
    }
    trail_t loaded = {0};
    trail_load(&loaded, trail.bytes, trail.len);
    assert_int_equal(loaded.len, trail.len);
    assert_memory_equal(loaded.bytes, trail.bytes, trail.len);
    trail_clear(&loaded);
    trail_clear(&trail);
}

/* Journals outlive builds: each kind of entry stays as it was written first. */
static void test_older(void **state) {
    (void)state;
    static const unsigned char bytes[] = {TRAIL_TAKEN_BACK,
                                          0x02, /* 1 ms after */
                                          11,
                                          0x04,
                                          0xf4,
                                          0x03,
                                          0x00,
                                          0x01, /* RESULT 500 */
                                          16,
                                          0x06,
                                          0xc8,
                                          0x01,
                                          0x21}; /* DELIVERED */
    trail_t trail = {0};
    trail_entry_t entry;
    size_t at = 0;
    trail_load(&trail, bytes, sizeof bytes);
    assert_int_equal(trail.len, sizeof bytes);
    assert_true(trail_next(trail.bytes, trail.len, BASE, &at, &entry));
    assert_int_equal(entry.kind, 6);
    assert_true(trail_next(trail.bytes, trail.len, BASE, &at, &entry));
    assert_int_equal(entry.kind, TRAIL_RESULT);
    assert_int_equal(entry.a, 500);
    assert_int_equal(entry.c, 1);
    assert_true(trail_next(trail.bytes, trail.len, BASE, &at, &entry));
    assert_int_equal(entry.kind, TRAIL_DELIVERED);
    assert_int_equal(entry.at_wall_ms, BASE + 3);
    trail_clear(&trail);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
