/* Compressed bodies: every way to cut them, several members, several encodings, broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/decode.h"
#include "common/err.h"

#define GZIP (MAX_WBITS + 16)
#define ZLIB MAX_WBITS
#define RAW  (-MAX_WBITS)

/* Compresses `text` behind what is in `out` already; returns the new length. */
static size_t pack(int bits, const void *text, size_t size, unsigned char *out, size_t len, size_t room) {
    unsigned char *copy = malloc(size + 1);
    z_stream zlib = {0};

    memcpy(copy, text, size);
    assert_int_equal(deflateInit2(&zlib, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    zlib.next_in = copy;
    zlib.avail_in = (uInt)size;
    zlib.next_out = out + len;
    zlib.avail_out = (uInt)(room - len);
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    len += zlib.total_out;
    assert_int_equal(deflateEnd(&zlib), Z_OK);
    free(copy);
    return len;
}

/* Decodes one piece, `turn` octets at a time; tells in *turns how many it took. */
static int decode_piece(decode_t *decoder, const unsigned char *bytes, size_t size, size_t turn,
                        const sink_t *sink, size_t *turns) {
    size_t at = 0, taken;
    int err = DECODE_MORE;

    for (*turns = 0; err == DECODE_MORE; ++*turns) {
        size_t room = turn;
        err = decode_write(decoder, bytes + at, size - at, &room, &taken, sink);
        assert_true(taken <= size - at);
        if (err == DECODE_MORE) assert_int_equal(room, 0);
        at += taken;
    }
    if (!err) assert_int_equal(at, size);
    return err;
}

/* Decodes in pieces; returns what decode_write() or decode_finish() said. */
static int decode_by(const char *encodings, const unsigned char *bytes, size_t size, size_t piece,
                     size_t turn, memory_sink_t *memory, size_t max) {
    sink_t sink = memory_sink(memory, max);
    decode_t *decoder = NULL;
    int err = decode_new(encodings, &decoder);
    size_t turns;

    assert_int_equal(err, 0);
    assert_non_null(decoder);
    for (size_t at = 0; !err && at < size; at += piece)
        err = decode_piece(decoder, bytes + at, piece < size - at ? piece : size - at, turn, &sink, &turns);
    if (!err) err = decode_finish(decoder);
    decode_destroy(&decoder);
    return err;
}

static int decode(const char *encodings, const unsigned char *bytes, size_t size, size_t piece,
                  memory_sink_t *memory, size_t max) {
    return decode_by(encodings, bytes, size, piece, SIZE_MAX, memory, max);
}

static void check(const char *encodings, const unsigned char *bytes, size_t size, const char *want) {
    static const size_t turns[] = {SIZE_MAX, 1, 9, 50};

    for (size_t i = 0; i < 4; i++) {
        for (size_t piece = 1; piece <= size + 1; piece += piece < 8 ? 1 : 37) {
            memory_sink_t memory;
            assert_int_equal(decode_by(encodings, bytes, size, piece, turns[i], &memory, 1 << 20), 0);
            assert_int_equal(memory.len, strlen(want));
            if (memory.len > 0) assert_memory_equal(memory.bytes, want, memory.len);
            memory_sink_clear(&memory);
        }
    }
}

static void decodes(void **state) {
    unsigned char one[500], two[500];
    size_t len;

    (void)state;
    len = pack(GZIP, "hello hello hello", 17, one, 0, sizeof one);
    check("gzip", one, len, "hello hello hello");
    check("X-GZIP", one, len, "hello hello hello");
    check("foo, gzip", one, len, "hello hello hello");
    len = pack(GZIP, " two", 4, one, len, sizeof one);
    check(" gzip ", one, len, "hello hello hello two");
    static const char junk[] = {0, 0, 'j', 'u', 'n', 'k'};
    memcpy(one + len, junk, sizeof junk);
    check("gzip", one, len + 6, "hello hello hello two");
    len = pack(ZLIB, "abc", 3, one, 0, sizeof one);
    check("deflate", one, len, "abc");
    len = pack(GZIP, one, len, two, 0, sizeof two);
    check("deflate,gzip", two, len, "abc");
    len = pack(RAW, "abcabcabc", 9, one, 0, sizeof one);
    check("deflate", one, len, "abcabcabc");
    check("gzip", one, 0, "");
}

static void unknown_encodings_pass(void **state) {
    static const char *const table[] = {"", "identity", "br", "gzipp", ", ,"};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        decode_t *decoder = NULL;
        assert_int_equal(decode_new(table[i], &decoder), 0);
        assert_null(decoder);
    }
}

static void refuses_broken_streams(void **state) {
    unsigned char bytes[500];
    memory_sink_t memory;
    size_t len;

    (void)state;
    len = pack(GZIP, "hello hello hello", 17, bytes, 0, sizeof bytes);
    for (size_t cut = 1; cut < len; cut++) {
        assert_int_equal(decode("gzip", bytes, cut, 7, &memory, 100), ERR_MALFORMED);
        memory_sink_clear(&memory);
    }
    bytes[len - 1] ^= 1; /* the length at the end */
    assert_int_equal(decode("gzip", bytes, len, 7, &memory, 100), ERR_MALFORMED);
    memory_sink_clear(&memory);
    assert_int_equal(decode("gzip", (const unsigned char *)"plain text", 10, 10, &memory, 100),
                     ERR_MALFORMED);
    memory_sink_clear(&memory);
    assert_int_equal(decode("deflate", (const unsigned char *)"\xff\xff\xff", 3, 1, &memory, 100),
                     ERR_MALFORMED);
    memory_sink_clear(&memory);
}

static void stops_at_the_limit(void **state) {
    size_t size = 1 << 20, len;
    unsigned char *zeros = calloc(1, size), bytes[4096];
    memory_sink_t memory;
    decode_t *decoder;

    (void)state;
    len = pack(GZIP, zeros, size, bytes, 0, sizeof bytes);
    assert_int_equal(decode("gzip", bytes, len, len, &memory, size), 0);
    assert_int_equal(memory.len, size);
    memory_sink_clear(&memory);
    assert_int_equal(decode("gzip", bytes, len, len, &memory, size - 1), ERR_TOO_LARGE);
    memory_sink_clear(&memory);
    assert_int_equal(decode_new("gzip,gzip,gzip,gzip,gzip,gzip", &decoder), ERR_UNSUPPORTED);
    free(zeros);
}

/* What came out: how many octets, their sum, and the most in one turn. */
typedef struct {
    size_t all, of_turn;
    uLong sum;
} counted_t;

static int count(void *ctx, const void *bytes, size_t size) {
    counted_t *counted = ctx;

    counted->all += size;
    counted->of_turn += size;
    counted->sum = adler32(counted->sum, bytes, (uInt)size);
    return 0;
}

#define TURN  16384
#define EXTRA 32768 /* by which the room of a turn may be exceeded */

/* Unpacks in turns; returns how many it took, each of them bounded. */
static size_t count_turns(const char *encodings, const unsigned char *bytes, size_t size,
                          counted_t *counted) {
    sink_t sink = {.write = count, .ctx = counted};
    decode_t *decoder = NULL;
    size_t at = 0, turns = 0, taken;
    int err = DECODE_MORE;

    *counted = (counted_t){.sum = 1};
    assert_int_equal(decode_new(encodings, &decoder), 0);
    while (err == DECODE_MORE) {
        size_t room = TURN;
        counted->of_turn = 0;
        err = decode_write(decoder, bytes + at, size - at, &room, &taken, &sink);
        assert_true(counted->of_turn + taken <= TURN + EXTRA);
        at += taken;
        turns++;
        if (err == DECODE_MORE && at == size) assert_int_equal(decode_finish(decoder), ERR_MALFORMED);
    }
    assert_int_equal(err, 0);
    assert_int_equal(at, size);
    assert_int_equal(decode_finish(decoder), 0);
    decode_destroy(&decoder);
    return turns;
}

/* A little that unpacks to a lot, once or in several steps, comes out in bounded turns, all of it. */
static void turns_are_bounded(void **state) {
    size_t size = 3 << 20, room = 1 << 20, len;
    unsigned char *plain = calloc(1, size), *one = malloc(room), *two = malloc(room);
    counted_t counted;

    (void)state;
    for (size_t i = 0; i < size; i += 1000)
        plain[i] = (unsigned char)(i / 1000);
    uLong sum = adler32(1, plain, (uInt)size);
    len = pack(GZIP, plain, size, one, 0, room);
    assert_in_range(count_turns("gzip", one, len, &counted), size / (TURN + EXTRA), size / TURN + 2);
    assert_int_equal(counted.all, size);
    assert_int_equal(counted.sum, sum);
    len = pack(ZLIB, one, len, two, 0, room);
    len = pack(RAW, two, len, one, 0, room);
    assert_true(count_turns("gzip, deflate, deflate", one, len, &counted) >= size / (TURN + EXTRA));
    assert_int_equal(counted.all, size);
    assert_int_equal(counted.sum, sum);
    free(plain);
    free(one);
    free(two);
}

/* Work that gives nothing counts too: what follows the end of a stream, and members without content. */
static void what_is_ignored_counts(void **state) {
    size_t size = 3 << 20, room = 1 << 20, len;
    unsigned char *inner = calloc(1, size), *outer = malloc(room);
    counted_t counted;

    (void)state;
    (void)pack(GZIP, "abc", 3, inner, 0, size);
    len = pack(GZIP, inner, size, outer, 0, room);
    assert_true(count_turns("gzip,gzip", outer, len, &counted) >= size / (TURN + EXTRA) / 2);
    assert_int_equal(counted.all, 3);
    len = pack(GZIP, "", 0, inner, 0, size);
    for (size_t one = len; len + one <= size / 8; len += one)
        memcpy(inner + len, inner, one);
    assert_true(count_turns("gzip", inner, len, &counted) >= len / (TURN + EXTRA));
    assert_int_equal(counted.all, 0);
    free(inner);
    free(outer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes),
        cmocka_unit_test(unknown_encodings_pass),
        cmocka_unit_test(refuses_broken_streams),
        cmocka_unit_test(stops_at_the_limit),
        cmocka_unit_test(turns_are_bounded),
        cmocka_unit_test(what_is_ignored_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
