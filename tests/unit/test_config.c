#include "tests/unit/config_case.h"

#include <unistd.h>

#define BROKER PROGRAM_BROKER

static int clean(void **state) {
    (void)state;
    case_clean_environment();
    return 0;
}

static void test_defaults(void **state) {
    (void)state;
    case_t c;
    case_load(&c, BROKER, WORDS("--stateDir", "/x"), NULL);
    assert_int_equal(c.err, 0);
    assert_false(c.done);
    assert_int_equal(c.config->executor_pool_size, 10);
    assert_int_equal(c.config->rate_limit_per_min, 250);
    assert_int_equal(c.config->response_queue_threshold, 80);
    assert_int_equal(c.config->connect_timeout_s, 15);
    assert_int_equal(c.config->read_timeout_s, 100);
    assert_int_equal(c.config->drain_timeout_s, 25);
    assert_int_equal(c.config->ac_max_concurrent, 2);
    assert_int_equal(c.config->executors, 1);
    assert_int_equal(c.config->metrics_retention_days, 7);
    assert_true(c.config->verify);
    assert_true(c.config->upload_to_ac);
    assert_false(c.config->debug_mode);
    assert_false(c.config->log_json);
    assert_string_equal(c.config->index, "_prod");
    assert_string_equal(c.config->redeliver, "idempotent");
    assert_string_equal(c.config->server_url, "");
    assert_string_equal(c.config->state_dir, "/x");
    case_end(&c);
}

static void test_every_option_of_the_old_agent(void **state) {
    (void)state;
    case_t c;
    case_load(&c, PROGRAM_RUN,
              WORDS("--serverUrl", "https://ac.example/", "--apiKey", "k", "--index", "_dev", "--timeout",
                    "60", "--verify", "--debugMode", "true", "--envName", "east", "--inwardProxyHttps",
                    "http://p:1", "--inwardProxyHttp=http://p:2", "--poolSize", "7", "--rateLimitPerMin=100",
                    "--connectTimeout=3", "--readTimeoutSeconds=4", "--uploadToAc=f"),
              NULL);
    assert_string_equal(c.why, "");
    assert_int_equal(c.err, 0);
    assert_string_equal(c.config->server_url, "https://ac.example");
    assert_string_equal(c.config->api_key, "k");
    assert_string_equal(c.config->index, "_dev");
    assert_int_equal(c.config->timeout_s, 60);
    assert_true(c.config->verify);
    assert_true(c.config->debug_mode);
    assert_string_equal(c.config->env_name, "east");
    assert_string_equal(c.config->inward_proxy_https, "http://p:1");
    assert_string_equal(c.config->inward_proxy_http, "http://p:2");
    assert_int_equal(c.config->executor_pool_size, 7);
    assert_int_equal(c.config->rate_limit_per_min, 100);
    assert_int_equal(c.config->connect_timeout_s, 3);
    assert_int_equal(c.config->read_timeout_s, 4);
    assert_false(c.config->upload_to_ac);
    case_end(&c);
    case_load(&c, BROKER,
              WORDS("--outgoingProxyHttps=http://p:3", "--outgoingProxyHttp=http://p:4",
                    "--metricsRetentionDays=30", "--enableStdoutLogging", "--ipv4Fallback", "--metrics"),
              NULL);
    assert_int_equal(c.err, 0);
    assert_string_equal(c.config->outgoing_proxy_https, "http://p:3");
    assert_string_equal(c.config->outgoing_proxy_http, "http://p:4");
    assert_int_equal(c.config->metrics_retention_days, 30);
    assert_true(c.config->stdout_logging);
    assert_true(c.config->ipv4_fallback);
    assert_true(c.config->metrics);
    case_end(&c);
}

static void test_booleans(void **state) {
    (void)state;
    static const struct {
        const char *word;
        bool value;
    } cases[] = {{"yes", true}, {"TRUE", true},   {"t", true},  {"1", true},  {"y", true},
                 {"No", false}, {"false", false}, {"F", false}, {"0", false}, {"n", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        case_t c;
        case_load(&c, BROKER, WORDS("--verify", cases[i].word), NULL);
        assert_int_equal(c.err, 0);
        assert_int_equal(c.config->verify, cases[i].value);
        case_end(&c);
    }
    refuse(BROKER, WORDS("--verify=maybe"), "maybe");
    refuse(BROKER, WORDS("--verify="), "verify");
    refuse(BROKER, WORDS("--verify", "maybe"), "maybe");
}

static void test_bad_values(void **state) {
    (void)state;
    refuse(BROKER, WORDS("--taskQueueSize", "many"), "from 1 to");
    refuse(BROKER, WORDS("--taskQueueSize=10x"), "\"10x\"");
    refuse(BROKER, WORDS("--taskQueueSize="), "taskQueueSize");
    refuse(BROKER, WORDS("--taskQueueSize=99999999999999999999"), "from 1 to");
    refuse(BROKER, WORDS("--acMaxConcurrent=3"), "from 1 to 2");
    refuse(BROKER, WORDS("--acMaxConcurrent=0"), "from 1 to 2");
    refuse(BROKER, WORDS("--executorPoolSize=1001"), "from 1 to 1000");
    refuse(BROKER, WORDS("--responseQueueThreshold=101"), "from 1 to 100");
    refuse(BROKER, WORDS("--redeliver=sometimes"), "idempotent|always|never");
    refuse(BROKER, WORDS("--logFormat=xml"), "text|json");
    refuse(BROKER, WORDS("--name=a\nb"), "control character");
    refuse(BROKER, WORDS("--name=12345678901234567890123456789012345678901234567890123456789012345"),
           "at most 64");
    refuse(BROKER, WORDS("--taskQueueSize"), "needs a value");
    refuse(BROKER, WORDS("--stateDir", "--verify"), "needs a value");
}

static void test_unknown_options(void **state) {
    (void)state;
    refuse(BROKER, WORDS("--pollSize=3"), "--executorPoolSize");
    refuse(BROKER, WORDS("--serverURL=x"), "--serverUrl");
    refuse(BROKER, WORDS("--vrify"), "--verify");
    refuse(BROKER, WORDS("--whatIsThisNow"), "--help");
    refuse(BROKER, WORDS("-x"), "-x");
    refuse(BROKER, WORDS("word"), "\"word\"");
    case_t c;
    case_load(&c, BROKER, WORDS("--apiKyy=secret-value"), NULL);
    assert_int_equal(c.err, ERR_INVALID);
    assert_null(strstr(c.why, "secret-value"));
    case_end(&c);
}

static void test_words(void **state) {
    (void)state;
    case_t c;
    int rest = -1;
    case_load(&c, PROGRAM_TOOL, WORDS("--debugMode", "retry", "--all"), &rest);
    assert_int_equal(c.err, 0);
    assert_int_equal(rest, 2);
    assert_true(c.config->debug_mode);
    case_end(&c);
    case_load(&c, PROGRAM_TOOL, WORDS("--debugMode", "no"), &rest);
    assert_int_equal(rest, 3);
    assert_false(c.config->debug_mode);
    case_end(&c);
}

static void test_environment(void **state) {
    (void)state;
    case_t c;
    (void)setenv("EXECUTOR_POOL_SIZE", "33", 1);
    (void)setenv("verify", "false", 1);
    (void)setenv("server_url", "http://from.environment", 1);
    (void)setenv("timeout", "", 1);
    case_load(&c, BROKER, WORDS("--verify", "yes"), NULL);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.config->executor_pool_size, 33);
    assert_true(c.config->verify); /* the command line wins */
    assert_string_equal(c.config->server_url, "http://from.environment");
    assert_int_equal(c.config->timeout_s, 30);
    case_end(&c);
    (void)setenv("EXECUTOR_POOL_SIZE", "lots", 1);
    refuse(BROKER, WORDS("--verify"), "environment variable EXECUTOR_POOL_SIZE");
}

/* Loads a file of this content; returns its name, freed by the caller after unlink. */
static char *file_of(const char *content) {
    char *name = strdup("/tmp/sluice-test-XXXXXX");
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    (void)close(fd);
    return name;
}

static void test_file(void **state) {
    (void)state;
    case_t c;
    char *name =
        file_of("# a comment\n\n  taskQueueSize =  55 \nverify=no\r\npoolSize = 3\nserverUrl = http://file\n"
                "envName = a = b\n");
    (void)setenv("server_url", "http://environment", 1);
    case_load(&c, BROKER, WORDS("--config", name, "--verify"), NULL);
    assert_string_equal(c.why, "");
    assert_int_equal(c.err, 0);
    assert_int_equal(c.config->task_queue_size, 55);
    assert_int_equal(c.config->executor_pool_size, 3);
    assert_true(c.config->verify);
    assert_string_equal(c.config->server_url, "http://environment");
    assert_string_equal(c.config->env_name, "a = b");
    case_end(&c);
    (void)unlink(name);
    free(name);
}

static void refuse_file(const char *content, const char *part, const char *line) {
    char *name = file_of(content);
    refuse(BROKER, WORDS("--config", name), part);
    refuse(BROKER, WORDS("--config", name), line);
    refuse(BROKER, WORDS("--config", name), name);
    (void)unlink(name);
    free(name);
}

static void test_bad_files(void **state) {
    (void)state;
    refuse_file("verify = yes\ntaskQueueSiz = 5\n", "taskQueueSize", "line 2");
    refuse_file("\n\ntaskQueueSize = five\n", "\"five\"", "line 3");
    refuse_file("verify\n", "name = value", "line 1");
    refuse_file("config = /x\n", "another", "line 1");
    refuse_file("help = yes\n", "help", "line 1");
    refuse(BROKER, WORDS("--config", "/nowhere/at/all"), "No such file");
    refuse(BROKER, WORDS("--config", "/tmp"), "directory");
}

static void test_server_url(void **state) {
    (void)state;
    static const char *const bad[] = {
        "ac.example",   "ftp://ac.example", "https://",         "https://a/?x=1",
        "https://a/#x", "https://a b/",     "https://a:99999/", "https://user:secret@a.b.c/"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        case_t c;
        case_load(&c, PROGRAM_FETCHER, WORDS("--apiKey", "k", "--serverUrl", bad[i]), NULL);
        if (c.err != ERR_INVALID) fail_msg("%s was not refused", bad[i]);
        assert_non_null(strstr(c.why, "http"));
        assert_null(strstr(c.why, "secret"));
        case_end(&c);
    }
    refuse(PROGRAM_RUN, WORDS("--apiKey", "k"), "--serverUrl");
    refuse(PROGRAM_FETCHER, WORDS("--apiKey", "k"), "--serverUrl");
    refuse(PROGRAM_UPLOADER, WORDS("--apiKey", "k"), "--serverUrl");
    case_t c;
    case_load(&c, PROGRAM_FETCHER, WORDS("--apiKey", "k", "--serverUrl", "http://127.0.0.1:8080/base///"),
              NULL);
    assert_int_equal(c.err, 0);
    assert_string_equal(c.config->server_url, "http://127.0.0.1:8080/base");
    case_end(&c);
}

static void test_places(void **state) {
    (void)state;
    case_t c;
    (void)setenv("STATE_DIRECTORY", "/service/state", 1);
    (void)setenv("RUNTIME_DIRECTORY", "/service/run", 1);
    case_load(&c, BROKER, WORDS("--verify"), NULL);
    assert_string_equal(c.config->state_dir, "/service/state");
    assert_string_equal(c.config->runtime_dir, "/service/run");
    case_end(&c);
    case_clean_environment();
    (void)setenv("XDG_STATE_HOME", "/home/me/state", 1);
    (void)setenv("XDG_RUNTIME_DIR", "/run/user/me", 1);
    case_load(&c, BROKER, WORDS("--verify"), NULL);
    assert_string_equal(c.config->state_dir, geteuid() == 0 ? "/var/lib/sluice" : "/home/me/state/sluice");
    assert_string_equal(c.config->runtime_dir, geteuid() == 0 ? "/run/sluice" : "/run/user/me/sluice");
    case_end(&c);
}

static void test_socket_paths_fit(void **state) {
    (void)state;
    char dir[120];
    size_t most = 107 - strlen("/worker-18446744073709551615");
    memset(dir, 'd', sizeof dir);
    dir[0] = '/';
    dir[most] = '\0';
    case_t c;
    case_load(&c, BROKER, WORDS("--runtimeDir", dir), NULL);
    assert_int_equal(c.err, 0);
    case_end(&c);
    dir[most] = 'd';
    dir[most + 1] = '\0';
    refuse(BROKER, WORDS("--runtimeDir", dir), "--runtimeDir");
}

static void test_endpoints(void **state) {
    (void)state;
    static const struct {
        const char *words[3];
        const char *endpoint;
    } good[] = {
        {{"--runtimeDir=/r", NULL}, "ipc:///r"},
        {{"--runtimeDir=/r", "--bind=tcp://127.0.0.1:5000", NULL}, "ipc:///r"},
        {{"--bind=tcp://127.1.2.3:5000", "--broker=tcp://localhost:6000", NULL}, "tcp://localhost:6000"}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        case_t c;
        char endpoint[256];
        case_load(&c, PROGRAM_EXECUTOR, good[i].words, NULL);
        assert_int_equal(c.err, 0);
        config_broker_endpoint(c.config, endpoint, sizeof endpoint);
        assert_string_equal(endpoint, good[i].endpoint);
        case_end(&c);
    }
    refuse(BROKER, WORDS("--bind=tcp://0.0.0.0:5000"), "loopback");
    refuse(BROKER, WORDS("--bind=tcp://10.0.0.1:5000"), "loopback");
    refuse(BROKER, WORDS("--bind=tcp://localhost.example.org:5000"), "loopback");
    refuse(BROKER, WORDS("--bind=tcp://*:5000"), "loopback");
    refuse(PROGRAM_EXECUTOR, WORDS("--broker=tcp://broker.example:5000"), "--brokerKey");
    refuse(PROGRAM_UPLOADER,
           WORDS("--serverUrl=http://a", "--apiKey=k", "--broker=tcp://broker.example:5000"),
           "belongs on the broker's machine");
    refuse(PROGRAM_EXECUTOR, WORDS("--broker=tcp://broker.example:5000", "--brokerKey=broker:b:00"),
           "64 hex digits");
    case_t c; /* where else the broker listens is no matter of a program that reaches it by ipc */
    case_load(&c, PROGRAM_EXECUTOR, WORDS("--bind=tcp://10.0.0.1:5000"), NULL);
    assert_int_equal(c.err, 0);
    case_end(&c);
    refuse(BROKER, WORDS("--bind=127.0.0.1:5000"), "tcp://HOST:PORT");
    refuse(BROKER, WORDS("--bind=tcp://127.0.0.1"), "tcp://HOST:PORT");
    refuse(BROKER, WORDS("--bind=tcp://127.0.0.1:0"), "tcp://HOST:PORT");
    refuse(BROKER, WORDS("--bind=tcp://127.0.0.1:65500"), "PORT");
    refuse(PROGRAM_RUN, WORDS("--serverUrl=http://a", "--apiKey=k", "--broker=tcp://127.0.0.1:5000"),
           "--bind");
}

/* What a child of `sluice run` reads is what was checked. */
static void test_written_and_read_again(void **state) {
    (void)state;
    case_t c, again;
    case_load(&c, PROGRAM_RUN,
              WORDS("--serverUrl=http://a", "--apiKey=hidden-key", "--envName=a # b", "--executors=3",
                    "--verify=no", "--taskQueueSize=9", "--stateDir=/s p", "--redeliver=never",
                    "--logFormat=json"),
              NULL);
    assert_int_equal(c.err, 0);
    char *text = config_write(c.config);
    assert_non_null(text);
    assert_null(strstr(text, "hidden-key"));
    char *name = file_of(text);
    case_load(&again, BROKER, WORDS("--config", name), NULL);
    assert_string_equal(again.why, "");
    assert_string_equal(again.config->env_name, "a # b");
    assert_string_equal(again.config->server_url, "http://a");
    assert_string_equal(again.config->state_dir, "/s p");
    assert_string_equal(again.config->redeliver, "never");
    assert_false(again.config->verify);
    assert_true(again.config->log_json);
    assert_int_equal(again.config->task_queue_size, 9);
    case_end(&again);
    case_end(&c);
    (void)unlink(name);
    free(name);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, clean),
        cmocka_unit_test_setup(test_every_option_of_the_old_agent, clean),
        cmocka_unit_test_setup(test_booleans, clean),
        cmocka_unit_test_setup(test_bad_values, clean),
        cmocka_unit_test_setup(test_unknown_options, clean),
        cmocka_unit_test_setup(test_words, clean),
        cmocka_unit_test_setup(test_environment, clean),
        cmocka_unit_test_setup(test_file, clean),
        cmocka_unit_test_setup(test_bad_files, clean),
        cmocka_unit_test_setup(test_server_url, clean),
        cmocka_unit_test_setup(test_places, clean),
        cmocka_unit_test_setup(test_socket_paths_fit, clean),
        cmocka_unit_test_setup(test_endpoints, clean),
        cmocka_unit_test_setup(test_written_and_read_again, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
