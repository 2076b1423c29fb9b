/* globalConfig: what is read of it, and what the core makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/global_config.h"
#include "core_bench.h"

static void test_read(void **state) {
    (void)state;
    static const struct {
        const char *json;
        global_config_t config;
        const char *ignored; /* a word in it; NULL: nothing may be ignored */
    } table[] = {
        {"{}", {-1, -1, false, 0, 0}, NULL},
        {"{\"debugMode\":true,\"uploadToAC\":false,\"verifyCert\":true}", {1, 0, true, 0, 0}, NULL},
        {"{\"debugMode\":false,\"verifyCert\":false}", {0, -1, false, 0, 0}, NULL},
        {"{\"poolSize\":7,\"rateLimitPerMin\":300}", {-1, -1, false, 7, 300}, NULL},
        {"{\"threadPoolSize\":8}", {-1, -1, false, 8, 0}, NULL},
        {"{\"threadPoolSize\":8,\"poolSize\":9}", {-1, -1, false, 9, 0}, NULL},
        {"{\"poolSize\":1000,\"rateLimitPerMin\":100000000}", {-1, -1, false, 1000, 100000000}, NULL},
        {"{\"poolSize\":1001}", {-1, -1, false, 0, 0}, "poolSize"},
        {"{\"poolSize\":0,\"debugMode\":true}", {1, -1, false, 0, 0}, "poolSize"},
        {"{\"poolSize\":-5}", {-1, -1, false, 0, 0}, "poolSize"},
        {"{\"poolSize\":5.0}", {-1, -1, false, 0, 0}, "poolSize"},
        {"{\"poolSize\":\"5\"}", {-1, -1, false, 0, 0}, "poolSize"},
        {"{\"threadPoolSize\":null}", {-1, -1, false, 0, 0}, "threadPoolSize"},
        {"{\"rateLimitPerMin\":0}", {-1, -1, false, 0, 0}, "rateLimitPerMin"},
        {"{\"rateLimitPerMin\":99999999999999999999}", {-1, -1, false, 0, 0}, "rateLimitPerMin"},
        {"{\"debugMode\":\"true\",\"uploadToAC\":1,\"verifyCert\":[]}", {-1, -1, false, 0, 0}, "uploadToAC"},
        {"{\"other\":{\"poolSize\":5}}", {-1, -1, false, 0, 0}, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        global_config_t config;
        char ignored[256];
        assert_int_equal(global_config_read(table[i].json, strlen(table[i].json), &config, ignored), 0);
        assert_int_equal(config.debug, table[i].config.debug);
        assert_int_equal(config.upload_to_ac, table[i].config.upload_to_ac);
        assert_int_equal(config.verify, table[i].config.verify);
        assert_int_equal(config.pool_size, table[i].config.pool_size);
        assert_int_equal(config.rate_per_min, table[i].config.rate_per_min);
        if (table[i].ignored)
            assert_non_null(strstr(ignored, table[i].ignored));
        else
            assert_string_equal(ignored, "");
    }
}

/* What the broker reads of what the fetcher writes is what it reads of the whole. */
static void test_written_anew(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"other\":{\"poolSize\":5}}",
        "{ \"debugMode\" : true , \"uploadToAC\":false,\n\"verifyCert\":true,\"x\":[1,2] }",
        "{\"threadPoolSize\":8,\"poolSize\":9,\"rateLimitPerMin\":300}",
        "{\"\\u0070oolSize\":7}",
        "{\"poolSize\":0,\"rateLimitPerMin\":99999999999999999999,\"debugMode\":[true]}",
        "{\"debugMode\":\"0123456789012345678901234567890123456789\",\"verifyCert\":null,\"uploadToAC\":{"
        "\"a\":1},"
        "\"poolSize\":\"0123456789012345678901234567890123456789\",\"threadPoolSize\":"
        "\"01234567890123456789012345678\","
        "\"rateLimitPerMin\":99999999999999999999999999999999}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        global_config_t config, again = GLOBAL_CONFIG_NONE;
        char ignored[256], ignored_again[256] = "", text[GLOBAL_CONFIG_TEXT_MAX];
        size_t len = global_config_write((span_t){texts[i], strlen(texts[i])}, text);
        assert_true(len < sizeof text && (len > 0) == (i > 1));
        assert_int_equal(global_config_read(texts[i], strlen(texts[i]), &config, ignored), 0);
        if (len > 0) assert_int_equal(global_config_read(text, len, &again, ignored_again), 0);
        assert_int_equal(ignored[0] != '\0', ignored_again[0] != '\0');
        assert_memory_equal(&config.debug, &again.debug, sizeof config.debug + sizeof config.upload_to_ac);
        assert_int_equal(config.verify, again.verify);
        assert_int_equal(config.pool_size, again.pool_size);
        assert_int_equal(config.rate_per_min, again.rate_per_min);
    }
}

static void test_malformed(void **state) {
    (void)state;
    global_config_t config = {.pool_size = 3};
    char ignored[256];
    assert_int_equal(global_config_read("[1]", 3, &config, ignored), ERR_MALFORMED);
    assert_string_not_equal(ignored, "");
    assert_int_equal(config.pool_size, 3);
}

static void test_merge(void **state) {
    (void)state;
    global_config_t config = GLOBAL_CONFIG_NONE, more = GLOBAL_CONFIG_NONE;
    assert_false(global_config_merge(&config, &more));
    more.verify = true;
    more.pool_size = 5;
    assert_true(global_config_merge(&config, &more));
    assert_false(global_config_merge(&config, &more));
    more = GLOBAL_CONFIG_NONE; /* verifyCert false, and the rest absent */
    assert_false(global_config_merge(&config, &more));
    assert_true(config.verify && config.pool_size == 5 && config.debug == -1);
}

/* A task with this globalConfig, from a fetcher; effects stay. */
static void fetch_with(bench_t *b, const char *id, const char *json) {
    msg_t msg = {.type = MSG_FETCHED};
    msg.fetched = (msg_fetched_t){.instance = FETCHER,
                                  .seq = ++b->fetch_seq,
                                  .task_id = str_of(id),
                                  .flags = TASK_IDEMPOTENT | TASK_CONFIG,
                                  .method = str_of("GET"),
                                  .host = str_of("tool"),
                                  .expiry_ms = b->now.wall_ms + 60000,
                                  .fetched_ms = b->now.wall_ms,
                                  .config = str_of(json),
                                  .error = str_of("")};
    bench_clear(b);
    bench_say(b, 0, &msg);
}

static void test_core(void **state) {
    (void)state;
    bench_t b;
    core_view_t view;
    bench_begin(&b, REDELIVER_IDEMPOTENT);
    (void)bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 0, NULL, 0);
    fetch_with(&b, "a", "{\"poolSize\":5,\"rateLimitPerMin\":7,\"verifyCert\":true,\"debugMode\":1}");
    const msg_t *told = bench_heard(&b, EXECUTOR, MSG_CONFIG);
    assert_non_null(told);
    assert_int_equal(told->config.generation, 2);
    assert_int_equal(told->config.pool_size, 5);
    assert_int_equal(told->config.rate_per_min, 7);
    assert_true(told->config.verify);
    assert_false(told->config.debug);
    const record_t *record = bench_record(&b, REC_CONFIG);
    assert_non_null(record);
    const global_config_t kept = record->config;
    assert_int_equal(record->seq, 2);
    assert_int_equal(bench_record(&b, REC_TASK_NEW)->task.generation, 2);
    core_look(b.core, b.now.ms, &view);
    assert_int_equal(view.gate->rate, 7);
    assert_int_equal(view.generation, 2);

    fetch_with(&b, "b", "{\"poolSize\":5,\"verifyCert\":false}"); /* nothing new in it */
    assert_null(bench_record(&b, REC_CONFIG));
    assert_null(bench_heard(&b, EXECUTOR, MSG_CONFIG));
    assert_int_equal(bench_record(&b, REC_TASK_NEW)->task.generation, 2);

    fetch_with(&b, "b", "{\"poolSize\":9}"); /* a task held already brings nothing */
    assert_null(bench_record(&b, REC_CONFIG));
    bench_close(&b);

    bench_open(&b, REDELIVER_IDEMPOTENT);
    core_restore_config(b.core, 2, &kept);
    bench_start(&b);
    bench_clear(&b);
    (void)bench_join(&b, ROLE_EXECUTOR, EXECUTOR, 0, NULL, 0);
    told = bench_heard(&b, EXECUTOR, MSG_CONFIG);
    assert_int_equal(told->config.generation, 2);
    assert_int_equal(told->config.pool_size, 5);
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_written_anew),
                                       cmocka_unit_test(test_malformed), cmocka_unit_test(test_merge),
                                       cmocka_unit_test(test_core)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
