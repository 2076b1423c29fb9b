#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/metrics.h"

typedef struct {
    char dir[64], path[96];
    config_t config;
    char text[200000];
} place_t;

static char index_text[] = "_dev";

static int set_up(void **state) {
    place_t *place = calloc(1, sizeof *place);
    if (!place) return -1;
    (void)snprintf(place->dir, sizeof place->dir, "/tmp/sluice-metrics.XXXXXX");
    if (!mkdtemp(place->dir)) return -1;
    (void)snprintf(place->path, sizeof place->path, "%s/metrics/metrics_dev.json", place->dir);
    place->config =
        (config_t){.log_dir = place->dir, .index = index_text, .metrics = true, .metrics_retention_days = 7};
    *state = place;
    return 0;
}

static int tear_down(void **state) {
    place_t *place = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", place->dir);
    free(place);
    return system(command);
}

static metrics_t *open_metrics(place_t *place) {
    metrics_t *metrics = NULL;
    char why[512];
    assert_int_equal(metrics_new(&place->config, &metrics, why), 0);
    assert_non_null(metrics);
    return metrics;
}

static const char *contents(place_t *place) {
    int fd = open(place->path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, place->text, sizeof place->text - 1);
    if (fd >= 0) (void)close(fd);
    assert_true(n >= 0);
    place->text[n] = '\0';
    return place->text;
}

/* The file's only line, behind the timestamp. */
static void assert_line(place_t *place, const char *expected) {
    static const char head[] = "{\"@timestamp\": ";
    const char *text = contents(place);
    long long at = atoll(text + sizeof head - 1);
    assert_memory_equal(text, head, sizeof head - 1);
    assert_true(at <= clock_wall_ms() && at > clock_wall_ms() - 60000);
    assert_string_equal(strchr(text, ',') + 2, expected);
    assert_int_equal(unlink(place->path), 0);
}

static void test_requests(void **state) {
    place_t *place = *state;
    bool yes = true, no = false;
    const struct {
        metrics_request_t request;
        const char *tags;
    } table[] = {
        {{"t-1", "get_task", "https://ac.example/api/http-teleport/get-task?agentId=x", "GET", 200, 7, false,
          &yes, false, false},
         "\"task_id\": \"t-1\", \"operation\": \"get_task\", \"url\": "
         "\"https://ac.example/api/http-teleport/get-task\", \"domain\": \"ac.example\", \"method\": "
         "\"GET\", "
         "\"status_code\": \"200\", \"success\": \"true\", \"has_task\": \"true\""},
        {{NULL, "get_task", "http://h", "GET", 204, 7, false, &no, false, false},
         "\"task_id\": \"none\", \"operation\": \"get_task\", \"url\": \"http://h\", \"domain\": \"h\", "
         "\"method\": \"GET\", \"status_code\": \"204\", \"success\": \"true\", \"has_task\": \"false\""},
        {{"a\"b", "target_request", "http://user:pa@ss@h:8080/x#f?q", "PUT", 404, 7, false, NULL, false,
          false},
         "\"task_id\": \"a\\\"b\", \"operation\": \"target_request\", \"url\": \"http://h:8080/x\", "
         "\"domain\": "
         "\"h\", \"method\": \"PUT\", \"status_code\": \"404\", \"success\": \"false\""},
        {{"t", "target_request", "http://[::1]:80?q@x", "GET", 0, 7, false, NULL, false, false},
         "\"task_id\": \"t\", \"operation\": \"target_request\", \"url\": \"http://[::1]:80\", \"domain\": "
         "\"[::1]\", \"method\": \"GET\", \"status_code\": \"unknown\", \"success\": \"false\""},
        {{"t", "target_request", NULL, NULL, 200, 7, true, NULL, false, false},
         "\"task_id\": \"t\", \"operation\": \"target_request\", \"url\": \"unknown\", \"domain\": "
         "\"unknown\", "
         "\"method\": \"unknown\", \"status_code\": \"200\", \"success\": \"false\""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        metrics_t *metrics = open_metrics(place);
        char expected[1024];
        metrics_request(metrics, &table[i].request);
        metrics_destroy(&metrics);
        (void)snprintf(expected, sizeof expected,
                       "\"metric_name\": \"http.request.duration_ms\", \"value\": 7, \"tags\": {%s}}\n",
                       table[i].tags);
        assert_line(place, expected);
    }
}

static void test_error_types(void **state) {
    place_t *place = *state;
    static const struct {
        int status;
        const char *type;
        bool timed_out;
    } table[] = {{429, "rate_limit", false},
                 {408, "timeout", false},
                 {504, "timeout", false},
                 {500, "server_error", false},
                 {503, "server_error", false},
                 {400, "client_error", false},
                 {0, NULL, false},
                 {200, NULL, false},
                 {0, "timeout", true}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        metrics_t *metrics = open_metrics(place);
        char expected[64];
        const metrics_request_t request = {.task_id = "t",
                                           .operation = "upload_result",
                                           .url = "http://h",
                                           .method = "POST",
                                           .status = table[i].status,
                                           .timed_out = table[i].timed_out,
                                           .failed = table[i].timed_out,
                                           .upload = true};
        metrics_request(metrics, &request);
        metrics_destroy(&metrics);
        (void)snprintf(expected, sizeof expected, "\"error_type\": \"%s\"}}\n",
                       table[i].type ? table[i].type : "");
        const char *found = strstr(contents(place), "\"error_type\"");
        if (table[i].type)
            assert_string_equal(found, expected);
        else
            assert_null(found);
        assert_int_equal(unlink(place->path), 0);
    }
}

static void test_others(void **state) {
    place_t *place = *state;
    metrics_t *metrics = open_metrics(place);
    metrics_task(metrics, "t", "GET", "https://user:p@h:1/x?y", 0, 12);
    metrics_destroy(&metrics);
    assert_line(place,
                "\"metric_name\": \"task.processing_duration_ms\", \"value\": 12, \"tags\": {\"task_id\": "
                "\"t\", \"method\": \"GET\", \"domain\": \"h\", \"http_status\": \"unknown\"}}\n");
    metrics = open_metrics(place);
    metrics_upload(metrics, "t", "direct", 1548672);
    metrics_destroy(&metrics);
    assert_line(place,
                "\"metric_name\": \"upload.size_bytes\", \"value\": 1548672, \"tags\": {\"task_id\": \"t\", "
                "\"upload_type\": \"direct\"}}\n");
}

static void test_when_lines_are_written(void **state) {
    place_t *place = *state;
    metrics_t *metrics = open_metrics(place);
    int64_t now_ms = clock_boot_ms();
    assert_true(metrics_due(metrics) == INT64_MAX);
    metrics_upload(metrics, "t", "inline", 1);
    int64_t due = metrics_due(metrics);
    assert_true(due >= now_ms + METRICS_FLUSH_MS && due <= clock_boot_ms() + METRICS_FLUSH_MS);
    metrics_turn(metrics, due - 1);
    assert_string_equal(contents(place), "");
    metrics_turn(metrics, due);
    assert_non_null(strstr(contents(place), "inline"));
    assert_true(metrics_due(metrics) == INT64_MAX);
    for (int i = 0; i < 1000; i++) /* much is not kept for ten seconds */
        metrics_upload(metrics, "t", "direct", i);
    const char *text = contents(place);
    size_t len = strlen(text);
    assert_true(len > 60000);
    assert_int_equal(text[len - 1], '\n');
    metrics_destroy(&metrics);
    assert_non_null(strstr(contents(place), "\"value\": 999,"));
}

static void test_long_values_stay_within_bounds(void **state) {
    place_t *place = *state;
    static char url[300000] = "http://h/";
    memset(url + 9, 'x', sizeof url - 10);
    metrics_t *metrics = open_metrics(place);
    const metrics_request_t request = {
        .task_id = "t", .operation = "target_request", .url = url, .method = "GET"};
    metrics_request(metrics, &request);
    metrics_destroy(&metrics);
    assert_true(strlen(contents(place)) < 4000);
    assert_non_null(strstr(contents(place), "\"success\": \"false\"}}\n"));
}

static void test_none(void **state) {
    place_t *place = *state;
    metrics_t *metrics = NULL;
    char why[512] = "";
    place->config.metrics = false;
    assert_int_equal(metrics_new(&place->config, &metrics, why), 0);
    assert_null(metrics);
    metrics_upload(metrics, "t", "inline", 1);
    metrics_turn(metrics, INT64_MAX);
    assert_true(metrics_due(metrics) == INT64_MAX);
    metrics_destroy(&metrics);
    struct stat st;
    (void)snprintf(place->path, sizeof place->path, "%s/metrics", place->dir);
    assert_int_not_equal(stat(place->path, &st), 0);

    char nowhere[] = "/proc/none";
    place->config.metrics = true;
    place->config.log_dir = nowhere;
    assert_int_equal(metrics_new(&place->config, &metrics, why), ERR_IO);
    assert_null(metrics);
    assert_non_null(strstr(why, "/proc/none"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_requests),
        TEST(test_error_types),
        TEST(test_others),
        TEST(test_when_lines_are_written),
        TEST(test_long_values_stay_within_bounds),
        TEST(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
