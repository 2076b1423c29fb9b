/* Sections, origins, and what a fresh reading changes. */
#include "tests/unit/config_case.h"

#include <unistd.h>

#include "common/config_table.h"

typedef struct {
    char path[64], option[80];
} file_t;

static int set_up(void **state) {
    file_t *file = calloc(1, sizeof *file);
    if (!file) return -1;
    case_clean_environment();
    (void)snprintf(file->path, sizeof file->path, "/tmp/sluice-conf.XXXXXX");
    int fd = mkstemp(file->path);
    if (fd < 0) return -1;
    (void)close(fd);
    (void)snprintf(file->option, sizeof file->option, "--config=%s", file->path);
    *state = file;
    return 0;
}

static int tear_down(void **state) {
    file_t *file = *state;
    int err = unlink(file->path);
    free(file);
    return err;
}

static void put(const file_t *self, const char *text) {
    FILE *file = fopen(self->path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static config_origin_t origin(const config_t *config, const char *name) {
    return config->origins[config_option(name, strlen(name)) - config_options];
}

static const char *const SECTIONS = "connectTimeout = 4\n"
                                    "taskQueueSize = 50\n"
                                    "[executor]\n"
                                    "connectTimeout = 7\n"
                                    "logDir = /x\n"
                                    "[ broker ]\n"
                                    "taskQueueSize = 60\n";

static void test_sections(void **state) {
    const file_t *file = *state;
    case_t c;
    put(file, SECTIONS);
    case_load(&c, PROGRAM_EXECUTOR, WORDS(file->option), NULL);
    assert_string_equal(c.why, "");
    assert_int_equal(c.config->connect_timeout_s, 7);
    assert_string_equal(c.config->log_dir, "/x");
    case_end(&c);
    case_load(&c, PROGRAM_BROKER, WORDS(file->option), NULL);
    assert_int_equal(c.config->task_queue_size, 60);
    assert_int_equal(c.config->connect_timeout_s, 4);
    assert_string_not_equal(c.config->log_dir, "/x");
    case_end(&c);
    case_load(&c, PROGRAM_BROKER, WORDS(file->option, "--taskQueueSize=70"), NULL);
    assert_int_equal(c.config->task_queue_size, 70);
    case_end(&c);
}

static void test_bad_sections(void **state) {
    const file_t *file = *state;
    put(file, "[executor]\nconnectTimeout = long\n");
    refuse(PROGRAM_BROKER, WORDS(file->option), "line 2: connectTimeout is \"long\"");
    put(file, "[executor]\ntaskQueueSize = 5\n");
    refuse(PROGRAM_BROKER, WORDS(file->option), "line 2: taskQueueSize is not for the executor");
    put(file, "\n[exekutor]\nconnectTimeout = 5\n");
    refuse(PROGRAM_BROKER, WORDS(file->option), "line 2: there is no section [exekutor]");
    put(file, "[executor\n");
    refuse(PROGRAM_BROKER, WORDS(file->option), "line 1: a section must be");
    put(file, "[\n");
    refuse(PROGRAM_BROKER, WORDS(file->option), "line 1: a section must be");
}

/* `sluice run` hands the sections on, but not over what it was told itself. */
static void test_sections_for_children(void **state) {
    const file_t *file = *state;
    case_t c;
    put(file, SECTIONS);
    case_load(&c, PROGRAM_RUN,
              WORDS(file->option, "--serverUrl=http://h", "--apiKey=k", "--taskQueueSize=70"), NULL);
    assert_string_equal(c.why, "");
    assert_int_equal(c.config->connect_timeout_s, 4);
    char *text = config_write(c.config);
    case_end(&c);
    assert_non_null(strstr(text, "\n[executor]\nconnectTimeout = 7\n"));
    assert_null(strstr(text, "taskQueueSize = 60"));
    put(file, text);
    free(text);
    case_load(&c, PROGRAM_EXECUTOR, WORDS(file->option), NULL);
    assert_string_equal(c.why, "");
    assert_int_equal(c.config->connect_timeout_s, 7);
    case_end(&c);
}

static void test_origins(void **state) {
    const file_t *file = *state;
    case_t c;
    put(file, "# one\nspoolMb = 4\ntaskQueueSize = 9\n");
    (void)setenv("metricsRetentionDays", "3", 1);
    case_load(&c, PROGRAM_BROKER, WORDS(file->option, "--taskQueueSize=8"), NULL);
    (void)unsetenv("metricsRetentionDays");
    assert_int_equal(c.err, 0);
    assert_int_equal(origin(c.config, "spoolMb").kind, ORIGIN_FILE);
    assert_int_equal(origin(c.config, "spoolMb").line, 2);
    assert_int_equal(origin(c.config, "taskQueueSize").kind, ORIGIN_ARGUMENT);
    assert_int_equal(origin(c.config, "metricsRetentionDays").kind, ORIGIN_ENVIRONMENT);
    assert_int_equal(origin(c.config, "lookahead").kind, ORIGIN_DEFAULT);
    case_end(&c);
}

static void test_what_may_be_shown(void **state) {
    (void)state;
    case_t c;
    char buf[CONFIG_WHY_MAX];
    case_load(&c, PROGRAM_FETCHER,
              WORDS("--serverUrl=http://h", "--apiKey=hush", "--outgoingProxyHttp=http://u:hush@p:1",
                    "--outgoingProxyHttps=http://q:1"),
              NULL);
    assert_string_equal(c.why, "");
    assert_string_equal(config_shown(c.config, config_option("apiKey", 6), buf), "set");
    assert_string_equal(config_shown(c.config, config_option("outgoingProxyHttp", 17), buf),
                        "http://***@p:1");
    assert_string_equal(config_shown(c.config, config_option("outgoingProxyHttps", 18), buf), "http://q:1");
    case_end(&c);
}

/* What a fresh reading of the file changes, for a program that runs. */
static void expect(case_t *c, const char *live, const char *later) {
    config_t *fresh = NULL;
    config_changes_t changes;
    char why[512] = "";
    assert_int_equal(config_reload(c->config, &fresh, why), 0);
    config_compare(c->config, fresh, &changes);
    assert_string_equal(changes.live, live);
    assert_string_equal(changes.later, later);
    config_take_fresh(c->config, &fresh);
    assert_null(fresh);
}

static void test_reload(void **state) {
    const file_t *file = *state;
    case_t c;
    put(file, "taskQueueSize = 9\n");
    case_load(&c, PROGRAM_BROKER, WORDS(file->option, "--spoolMb=5"), NULL);
    expect(&c, "", "");
    put(file, "taskQueueSize = 10\nspoolMb = 6\nworkerPorts = 7\nindex = _x\nconnectTimeout = 3\n");
    expect(&c, "taskQueueSize=10", "workerPorts index");
    expect(&c, "", "workerPorts index"); /* what was not applied is told again, what was is not */
    put(file, "taskQueueSize = 9\n");
    expect(&c, "taskQueueSize=9", "");
    put(file, "taskQueueSize = none\n");
    config_t *fresh = NULL;
    char why[512];
    assert_int_equal(config_reload(c.config, &fresh, why), ERR_INVALID);
    assert_null(fresh);
    assert_non_null(strstr(why, "line 1"));
    case_end(&c);
}

static void test_reload_needs_no_key(void **state) {
    const file_t *file = *state;
    case_t c;
    put(file, "");
    case_load(&c, PROGRAM_UPLOADER, WORDS(file->option, "--serverUrl=http://h", "--apiKey", "k"), NULL);
    put(file, "drainTimeout = 3\n");
    expect(&c, "drainTimeout=3", "");
    assert_string_equal(c.config->api_key, "k");
    case_end(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_sections),
                                       TEST(test_bad_sections),
                                       TEST(test_sections_for_children),
                                       TEST(test_origins),
                                       TEST(test_what_may_be_shown),
                                       TEST(test_reload),
                                       TEST(test_reload_needs_no_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
