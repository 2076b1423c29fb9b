/* Bodies of answers: in memory up to the bound, beyond it in a file, whole or compressed; and what the
 * uploader reads out of results and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/err.h"
#include "executor/body.h"
#include "uploader/body_file.h"

#define BOUND 512000

static void fill(unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251);
}

static void write_all(body_t *body, const unsigned char *bytes, size_t size, size_t piece) {
    sink_t sink = body_sink(body);
    for (size_t at = 0; at < size; at += piece)
        assert_int_equal(sink.write(sink.ctx, bytes + at, piece < size - at ? piece : size - at), 0);
    assert_int_equal(body_finish(body), 0);
    assert_int_equal(body_decoded(body), size);
}

static void check_file(int fd, uint64_t length, body_kind_t kind, const unsigned char *bytes, size_t size) {
    unsigned char *stored = malloc(length), *got = malloc(size + 1);
    assert_int_equal(pread(fd, stored, length, 0), length);
    assert_int_equal(lseek(fd, 0, SEEK_END), length);
    if (kind == BODY_RAW) {
        assert_int_equal(length, size);
        assert_memory_equal(stored, bytes, size);
    } else {
        z_stream zlib = {
            .next_in = stored, .avail_in = (uInt)length, .next_out = got, .avail_out = (uInt)size + 1};
        assert_int_equal(inflateInit2(&zlib, MAX_WBITS + 16), Z_OK);
        assert_int_equal(inflate(&zlib, Z_FINISH), Z_STREAM_END);
        assert_int_equal(zlib.total_out, size);
        assert_int_equal(zlib.avail_in, 0);
        assert_memory_equal(got, bytes, size);
        assert_int_equal(inflateEnd(&zlib), Z_OK);
    }
    free(stored);
    free(got);
}

static void test_sizes(void **state) {
    (void)state;
    static unsigned char bytes[3000000];
    const size_t sizes[] = {0, 1, BOUND - 1, BOUND, BOUND + 1, sizeof bytes};
    fill(bytes, sizeof bytes);
    for (int kind = BODY_GZIP; kind <= BODY_RAW; kind++) {
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            body_t *body = body_new((body_kind_t)kind, "");
            size_t inlined;
            write_all(body, bytes, sizes[i], i % 2 ? 16384 : 100000);
            assert_int_equal(body_is_large(body), sizes[i] > BOUND);
            const void *memory = body_inline(body, &inlined);
            assert_int_equal(inlined, sizes[i] > BOUND ? 0 : sizes[i]);
            if (inlined) assert_memory_equal(memory, bytes, inlined);
            if (body_is_large(body)) {
                uint64_t length;
                int fd = body_take_file(body, &length);
                assert_true(fd >= 0);
                body_destroy(&body);
                check_file(fd, length, (body_kind_t)kind, bytes, sizes[i]);
                (void)close(fd);
            }
            body_destroy(&body);
        }
    }
}

static void test_presigned(void **state) {
    (void)state;
    const char *bad[] = {"",
                         "[]",
                         "{}",
                         "{\"data\":null}",
                         "{\"data\":{\"putUrl\":\"p\"}}",
                         "{\"data\":{\"putUrl\":1,\"getUrl\":\"g\"}}",
                         "{\"data\":{\"putUrl\":\"\",\"getUrl\":\"g\"}}"};
    char *put = NULL, *get = NULL;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(presigned_read(bad[i], strlen(bad[i]), &put, &get), ERR_MALFORMED);
    const char *good = "{\"data\":{\"x\":{},\"putUrl\":\"https:\\/\\/s\\/a?b=1\\u0026c\",\"getUrl\":\"g\"}}";
    assert_int_equal(presigned_read(good, strlen(good), &put, &get), 0);
    assert_string_equal(put, "https://s/a?b=1&c");
    assert_string_equal(get, "g");
    free(put);
    free(get);
}

static void test_headers_of_a_result(void **state) {
    (void)state;
    const char *result =
        "{\"Content-Type\":\"no\",\"responseHeaders\":{\"content-TYPE\":\"a\\/b; c=\\\"d\\\"\",\"X\":1}}";
    char *type = result_header(result, strlen(result), "Content-Type");
    assert_string_equal(type, "a/b; c=\"d\"");
    free(type);
    assert_null(result_header(result, strlen(result), "Content-Encoding"));
    assert_null(result_header("{}", 2, "Content-Type"));
    assert_null(result_header("x", 1, "Content-Type"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_presigned),
        cmocka_unit_test(test_headers_of_a_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
