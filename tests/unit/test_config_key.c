/* Where the API key comes from, and that it does not stay where others see it. */
#include "tests/unit/config_case.h"

#include <sys/stat.h>
#include <unistd.h>

#define URL "--serverUrl=http://a"

static int clean(void **state) {
    (void)state;
    case_clean_environment();
    return 0;
}

static void write_file(const char *path, const char *bytes, size_t size) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void test_wiped_from_argv(void **state) {
    (void)state;
    case_t c;
    case_load(&c, PROGRAM_FETCHER, WORDS(URL, "--apiKey", "first-key", "--apiKey=second-key"), NULL);
    assert_int_equal(c.err, 0);
    assert_string_equal(c.config->api_key, "second-key");
    assert_string_equal(c.argv[3], "");
    assert_memory_equal(c.argv[3], "\0\0\0\0\0\0\0\0\0", 9);
    assert_string_equal(c.argv[4], "--apiKey=");
    case_end(&c);
    /* also when another option is wrong */
    case_load(&c, PROGRAM_FETCHER, WORDS("--nonsense", "--apiKey", "first-key"), NULL);
    assert_int_equal(c.err, ERR_INVALID);
    assert_string_equal(c.argv[3], "");
    case_end(&c);
}

static void test_wiped_from_the_environment(void **state) {
    (void)state;
    case_t c;
    (void)setenv("api_key", "key-of-environment", 1);
    const char *seen = getenv("api_key");
    case_load(&c, PROGRAM_UPLOADER, WORDS(URL), NULL);
    assert_int_equal(c.err, 0);
    assert_string_equal(c.config->api_key, "key-of-environment");
    assert_null(getenv("api_key"));
    assert_string_equal(seen, ""); /* the memory that /proc/PID/environ shows */
    case_end(&c);
}

static void test_who_needs_none_keeps_none(void **state) {
    (void)state;
    static const unsigned programs[] = {PROGRAM_BROKER, PROGRAM_EXECUTOR, PROGRAM_TOOL};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        case_t c;
        (void)setenv("api_key", "key-of-environment", 1);
        case_load(&c, programs[i], WORDS("--apiKeyFile=/not/readable"), NULL);
        assert_int_equal(c.err, 0);
        assert_string_equal(c.config->api_key, "");
        assert_null(getenv("api_key"));
        case_end(&c);
        case_load(&c, programs[i], WORDS("--apiKey=k"), NULL);
        assert_int_equal(c.err, 0);
        assert_string_equal(c.config->api_key, "");
        case_end(&c);
    }
}

static void test_file(void **state) {
    (void)state;
    char dir[] = "/tmp/sluice-test-XXXXXX", path[64], option[96];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/api_key", dir);
    (void)snprintf(option, sizeof option, "--apiKeyFile=%s", path);
    static const struct {
        const char *bytes;
        size_t size;
        const char *key, *why;
    } cases[] = {{"the-key\n", 8, "the-key", NULL},
                 {"the-key\r\n", 9, "the-key", NULL},
                 {"the-key", 7, "the-key", NULL},
                 {"", 0, NULL, "empty"},
                 {"\n", 1, NULL, "empty"},
                 {"the\nkey\n", 8, NULL, "character"},
                 {"the\0key\n", 8, NULL, "character"},
                 {"cl\xc3\xa9\n", 5, NULL, "character"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(path, cases[i].bytes, cases[i].size);
        if (cases[i].key == NULL) {
            refuse(PROGRAM_FETCHER, WORDS(URL, option), cases[i].why);
            refuse(PROGRAM_FETCHER, WORDS(URL, option), path);
            continue;
        }
        case_t c;
        case_load(&c, PROGRAM_FETCHER, WORDS(URL, option), NULL);
        assert_int_equal(c.err, 0);
        assert_string_equal(c.config->api_key, cases[i].key);
        case_end(&c);
    }
    (void)unlink(path);
    refuse(PROGRAM_FETCHER, WORDS(URL, option), "No such file");
    refuse(PROGRAM_FETCHER, WORDS(URL, "--apiKeyFile=/tmp"), "directory");
    refuse(PROGRAM_FETCHER, WORDS(URL), "--apiKeyFile");
    refuse(PROGRAM_FETCHER, WORDS(URL, "--apiKey", "a\tb"), "character");
    (void)rmdir(dir);
}

static void expect_key(const char *const *words, const char *key) {
    case_t c;
    case_load(&c, PROGRAM_FETCHER, words, NULL);
    assert_string_equal(c.why, "");
    assert_string_equal(c.config->api_key, key);
    case_end(&c);
}

static void test_the_nearer_source_wins(void **state) {
    (void)state;
    char dir[] = "/tmp/sluice-test-XXXXXX", credential[64], config[64], other[64], option[96], text[128];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(credential, sizeof credential, "%s/api_key", dir);
    (void)snprintf(config, sizeof config, "%s/conf", dir);
    (void)snprintf(other, sizeof other, "%s/other", dir);
    (void)snprintf(option, sizeof option, "--apiKeyFile=%s", other);
    (void)snprintf(text, sizeof text, "apiKeyFile = %s\n", other);
    write_file(credential, "of-credential\n", 14);
    write_file(other, "of-file\n", 8);
    write_file(config, text, strlen(text));
    (void)setenv("CREDENTIALS_DIRECTORY", dir, 1);
    expect_key(WORDS(URL), "of-credential");
    expect_key(WORDS(URL, "--config", config), "of-file");
    (void)setenv("api_key", "of-environment", 1);
    expect_key(WORDS(URL, "--config", config), "of-environment");
    (void)setenv("api_key", "of-environment", 1);
    expect_key(WORDS(URL, option), "of-file");
    (void)setenv("api_key", "of-environment", 1);
    expect_key(WORDS(URL, "--config", config, "--apiKey=of-command-line"), "of-command-line");
    (void)unlink(credential);
    (void)unlink(config);
    (void)unlink(other);
    (void)rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_wiped_from_argv, clean),
        cmocka_unit_test_setup(test_wiped_from_the_environment, clean),
        cmocka_unit_test_setup(test_who_needs_none_keeps_none, clean),
        cmocka_unit_test_setup(test_file, clean),
        cmocka_unit_test_setup(test_the_nearer_source_wins, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
