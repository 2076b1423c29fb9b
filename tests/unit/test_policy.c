/* Requests against rules, by table. */
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

#include "common/err.h"
#include "common/policy.h"

static char dir[] = "/tmp/sluice-policy.XXXXXX";

static const char *file_of(const char *name, const char *text, mode_t mode) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static policy_t *rules(const char *text) {
    policy_t *policy = NULL;
    char why[POLICY_WHY_MAX] = "";
    int err = policy_read(text ? file_of("policy.conf", text, 0644) : "", &policy, why);
    if (err) fail_msg("%s", why);
    return policy;
}

/* "METHOD scheme://host:port/path" */
static void judge(const policy_t *policy, const char *request, const char *address,
                  policy_verdict_t *verdict) {
    char method[16], scheme[8], host[128], target[512];
    unsigned port;
    policy_address_t to;
    assert_int_equal(sscanf(request, "%15s %7[a-z]://%127[^/] %511s", method, scheme, host, target), 4);
    char *colon = strrchr(host, ':');
    assert_non_null(colon);
    port = (unsigned)strtoul(colon + 1, NULL, 10);
    *colon = '\0';
    char *path = policy_path(target);
    if (address) assert_true(policy_literal(address, &to));
    const policy_question_t question = {.https = strcmp(scheme, "https") == 0,
                                        .host = host,
                                        .port = port,
                                        .method = method,
                                        .target = target,
                                        .path = path,
                                        .address = address ? &to : NULL};
    policy_judge(policy, &question, verdict);
    free(path);
}

static const char site[] =
    "# what this site allows\n"
    "allow cidr=169.254.10.0/24 port=80 override name=printer\n"
    "deny host=.internal.example method=DELETE name=\"no deletes\"\n"
    "deny path=/admin\n"
    "allow scheme=https host=jira.example,.internal.example port=443 method=GET,POST path=/rest/\n"
    "allow host=numbers.example port=8000-8999,443\n"
    "deny cidr=10.9.0.0/16\n"
    "allow cidr=10.0.0.0/8,fd00::/8 name=ours\n"
    "allow host=[2001:db8::1] # by address\n"
    "default deny\n";

static void test_rules(void **state) {
    (void)state;
    static const struct {
        const char *request, *address;
        bool allowed, open;
        const char *text;
    } table[] = {
        {"GET https://jira.example:443/rest/api", NULL, true, false, "line 5"},
        {"GET https://JIRA.example.:443/rest/api", NULL, true, false, "line 5"},
        {"GET http://jira.example:443/rest/api", "8.8.8.8", false, false, "default (line 10)"},
        {"PUT https://jira.example:443/rest/api", "8.8.8.8", false, false, "default"},
        {"GET https://jira.example:444/rest/api", "8.8.8.8", false, false, "default"},
        {"GET https://jira.example:443/restore", "8.8.8.8", false, false, "default"},
        {"GET https://jira.example:443/rest", "8.8.8.8", true, false, "line 5"},
        {"GET https://notjira.example:443/rest/", "8.8.8.8", false, false, "default"},
        {"GET https://a.b.internal.example:443/rest/", "8.8.8.8", true, false, "line 5"},
        {"GET https://internal.example:443/rest/", "8.8.8.8", true, false, "line 5"},
        {"GET https://notinternal.example:443/rest/", "8.8.8.8", false, false, "default"},
        {"DELETE https://a.internal.example:443/rest/", "10.1.1.1", false, false,
         "rule \"no deletes\" (policy.conf, line 3)"},
        {"GET http://numbers.example:8500/", NULL, true, false, "line 6"},
        {"GET http://numbers.example:9000/", "8.8.8.8", false, false, "default"},
        {"GET http://numbers.example:443/", "8.8.8.8", true, false, "line 6"},
        /* paths as a server takes them */
        {"GET https://jira.example:443/rest/../admin/x", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443/rest/%2e%2e/admin", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443/rest/..;x=1/admin", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443//admin", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443/%61dmin?q", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443/x/..\\admin", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443/rest/%2e%2e/x", "8.8.8.8", false, false, "default"},
        {"GET https://jira.example:443/x?/rest/", "8.8.8.8", false, false, "default"},
        {"GET https://jira.example:443/administrators", "10.1.1.1", true, false, "ours"},
        {"GET https://jira.example:443/ADMIN/x", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443/%2561dmin", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443/admin%00.css", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443/admin%2500", "10.1.1.1", false, false, "line 4"},
        {"GET https://jira.example:443/rest%00/x", "8.8.8.8", false, false, "default"},
        {"GET https://jira.example:443/rest/%252e%252e/x", "8.8.8.8", false, false, "default"},
        {"GET https://jira.example:443/rest/100%25", "8.8.8.8", true, false, "line 5"},
        {"GET https://jira.example:443/REST/x", "8.8.8.8", false, false, "default"},
        /* addresses: unknown, the name's, the host itself */
        {"GET http://other.example:80/", NULL, false, true, "default"},
        {"GET http://other.example:80/", "10.1.1.1", true, false, "ours"},
        {"GET http://other.example:80/", "10.9.1.1", false, false, "line 7"},
        {"GET http://other.example:80/", "::ffff:10.9.1.1", false, false, "line 7"},
        {"GET http://other.example:80/", "fd12::1", true, false, "ours"},
        {"GET http://other.example:80/", "8.8.8.8", false, false, "default"},
        {"GET http://10.1.1.1:80/", NULL, true, false, "ours"},
        {"GET http://10.9.1.1:80/", NULL, false, false, "line 7"},
        {"GET http://0x0a090101:80/", NULL, false, false, "line 7"},
        {"GET http://[::ffff:10.9.1.1]:80/", NULL, false, false, "line 7"},
        {"GET http://[64:ff9b::10.9.1.1]:80/", NULL, false, false, "line 7"},
        {"GET http://[2001:0db8::0:1]:80/", NULL, true, false, "line 9"},
        /* what an address stands for behind a translation is refused, not allowed */
        {"GET http://[2002:0a09:0101::1]:80/", NULL, false, false, "line 7"},
        {"GET http://[2002:0a01:0101::1]:80/", NULL, false, false, "default"},
        /* built in, and what goes before it */
        {"GET http://169.254.10.7:80/", NULL, true, false, "printer"},
        {"GET http://169.254.10.7:81/", NULL, false, false, "built in"},
        {"GET http://169.254.169.254:80/latest", NULL, false, false, "built in"},
        {"GET https://jira.example:443/rest/api", "169.254.169.254", false, false, "built in"},
    };
    policy_t *policy = rules(site);
    assert_int_equal(policy_count(policy), 8);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        policy_verdict_t verdict;
        judge(policy, table[i].request, table[i].address, &verdict);
        if (verdict.allowed != table[i].allowed || !strstr(verdict.text, table[i].text))
            fail_msg("%s at %s: %d by %s", table[i].request, table[i].address ? table[i].address : "?",
                     verdict.allowed, verdict.text);
        if (!table[i].allowed) assert_int_equal(verdict.open, table[i].open);
    }
    policy_release(&policy);
}

/* Without any rule, in whatever spelling. */
static void test_what_is_built_in(void **state) {
    (void)state;
    static const char *const refused[] = {"http://169.254.169.254:80/",
                                          "http://169.254.0.1:80/",
                                          "http://[::ffff:169.254.169.254]:80/",
                                          "http://[::ffff:a9fe:a9fe]:80/",
                                          "http://2852039166:80/",
                                          "http://0xa9.254.169.254:80/",
                                          "http://[64:ff9b::a9fe:a9fe]:80/",
                                          "http://[fe80::1]:80/",
                                          "http://[fe80::1%25eth0]:80/",
                                          "http://[febf::1]:80/",
                                          "http://[fd00:ec2::254]:80/",
                                          "http://100.100.100.200:80/",
                                          "http://metadata.google.internal:80/",
                                          "http://METADATA.google.internal.:80/",
                                          "http://168.63.129.16:80/",
                                          "http://metadata:80/",
                                          "http://169.254.169.254.:80/",
                                          "http://metadata.goog..:80/",
                                          "http://[::169.254.169.254]:80/",
                                          "http://[2002:a9fe:a9fe::1]:80/",
                                          "http://[2001:0:808:808::5601:5601]:80/",
                                          "http://[::ffff:0:a9fe:a9fe]:80/",
                                          "http://[64:ff9b:1::a9fe:a9fe]:80/",
                                          "http://[64:ff9b:1:a9fe:a9:fe00::]:80/",
                                          "http://[64:ff9b:1:fa9:fe:a9fe::]:80/",
                                          "http://[64:ff9b:1::a9:fea9:fe00:0]:80/",
                                          "http://[2001:db8::5efe:a9fe:a9fe]:80/"};
    static const char *const allowed[] = {
        "http://169.253.169.254:80/",  "http://127.0.0.1:80/",      "http://[::1]:80/",
        "http://10.0.0.1:80/",         "http://[fec0::1]:80/",      "http://a.example:80/",
        "http://[2002:0a00:1::1]:80/", "http://[64:ff9b:1::1]:80/", "http://100.100.100.201:80/"};
    policy_t *policy = rules(NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        policy_verdict_t verdict;
        char request[128];
        snprintf(request, sizeof request, "GET %s", refused[i]);
        judge(policy, request, NULL, &verdict);
        if (verdict.allowed || !verdict.built_in) fail_msg("%s is allowed", refused[i]);
    }
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        policy_verdict_t verdict;
        char request[128];
        snprintf(request, sizeof request, "GET %s", allowed[i]);
        judge(policy, request, NULL, &verdict);
        if (!verdict.allowed) fail_msg("%s is refused by %s", allowed[i], verdict.text);
    }
    policy_release(&policy);
    policy = rules("deny cidr=127.0.0.0/8,::1\ndefault allow\n"); /* this host by another address */
    for (int i = 0; i < 2; i++) {
        policy_verdict_t verdict;
        judge(policy, "GET http://a.example:80/", i ? "::" : "0.0.0.0", &verdict);
        assert_false(verdict.allowed);
    }
    policy_release(&policy);
}

/* A denial of the net of a translation is one, though the address counts as the one behind it. */
static void test_nets_as_spelled(void **state) {
    (void)state;
    static const char *const denied[] = {"64:ff9b::8.8.8.8", "::8.8.8.8", "0.0.0.0", "::"};
    static const char *const others[] = {"8.8.8.8", "127.0.0.1", "::1", "2001:db8::1", "::ffff:8.8.8.8"};
    policy_t *policy = rules("deny cidr=64:ff9b::/96,::8.0.0.0/104,0.0.0.0/8,::/128\ndefault allow\n");
    policy_verdict_t verdict;
    for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++) {
        judge(policy, "GET http://a.example:80/", denied[i], &verdict);
        if (verdict.allowed) fail_msg("%s is allowed", denied[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        judge(policy, "GET http://a.example:80/", others[i], &verdict);
        if (!verdict.allowed) fail_msg("%s is refused", others[i]);
    }
    policy_release(&policy);
    policy = rules("allow cidr=64:ff9b::/96\ndefault deny\n");
    judge(policy, "GET http://a.example:80/", "64:ff9b::10.0.0.1", &verdict);
    assert_false(verdict.allowed); /* it leads to 10.0.0.1, which nothing allows */
    policy_release(&policy);
}

static void test_bad_rules(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
    } table[] = {
        {"allow host=a\n", "needs a line: default deny"},
        {"\n\npermit host=a\n", "line 3: \"permit\" is no beginning"},
        {"allow hots=a\n", "line 1: there is no \"hots\""},
        {"allow host\n", "is no NAME=VALUE"},
        {"allow host=\n", "empty item"},
        {"allow host=a,,b\n", "empty item"},
        {"allow host=*.example\n", "host is \"*.example\""},
        {"allow host=http://x\n", "host is"},
        {"allow scheme=ftp\n", "http or https"},
        {"allow cidr=10.0.0.0/33\n", "cidr is"},
        {"allow cidr=10.0.0/8\n", "cidr is"},
        {"allow cidr=fd00::/129\n", "cidr is"},
        {"allow port=0\n", "port is"},
        {"allow port=90-80\n", "port is"},
        {"allow port=1-65536\n", "port is"},
        {"allow method=get\n", "in capitals"},
        {"allow path=rest\n", "begin with /"},
        {"allow path=/a?b\n", "without a query"},
        {"deny override cidr=1.2.3.4\n", "override"},
        {"allow name=\"half\n", "quote does not end"},
        {"default maybe\n", "default allow, or default deny"},
        {"default deny\ndefault allow\n", "line 2: the default is in line 1"},
        {"default deny all\n", "nothing follows"},
        {"allow host=a:443\n", "without port"},
        {"allow host=[::1\n", "in brackets"},
        {"allow host=[::1]:80\n", "in brackets"},
        {"allow host=::1\n", "in brackets"},
        {"allow host=b\xc3\xbc.example\n", "xn--"},
        {"allow host=a%2eb\n", "must be a name"},
        {"allow port=+1\n", "port is"},
        {"allow port=1-+2\n", "port is"},
        {"deny header=\"A: {/x}\"\n", "sends no header"},
        {"allow header=\"A: b\"\n", "must name a file"},
        {"allow header=\"A: {x}\"\n", "whole path"},
        {"allow header=\"A: {/x\"\n", "without its }"},
        {"allow header=\"A b: {/x}\"\n", "NAME: TEXT"},
        {"allow header=\"Host: {/x}\"\n", "decides on"},
        {"allow header=\"A: {/nonexistent/secret}\"\n", "cannot read /nonexistent/secret"},
        {"allow header=\"A: {@}\"\n", "for whom it is"},
        {"allow host=* scheme=https header=\"A: {@}\"\n", "for whom it is"},
    };
    char secret[128];
    snprintf(secret, sizeof secret, "%s", file_of("secret", "s", 0600));
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        policy_t *policy = NULL;
        char why[POLICY_WHY_MAX] = "", text[256];
        const char *at = strchr(table[i].text, '@');
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at ? at - table[i].text : (long)strlen(table[i].text)),
                 table[i].text, at ? secret : "", at ? at + 1 : "");
        int err = policy_read(file_of("policy.conf", text, 0644), &policy, why);
        if (err != ERR_INVALID || !strstr(why, table[i].why)) fail_msg("%s: %d %s", text, err, why);
        assert_non_null(strstr(why, "policy.conf"));
    }
    assert_int_equal(unlink(secret), 0);
}

/* Nothing is waited for, cut off or believed that is no text of the owner's. */
static void test_bad_files(void **state) {
    (void)state;
    policy_t *policy = NULL;
    char why[POLICY_WHY_MAX], path[128];
    assert_int_equal(policy_read("/nonexistent/policy.conf", &policy, why), ERR_NOT_FOUND);
    assert_int_equal(policy_read(dir, &policy, why), ERR_INVALID);
    assert_non_null(strstr(why, "is no file"));
    assert_int_equal(policy_read(file_of("policy.conf", "default allow\n", 0666), &policy, why), ERR_INVALID);
    assert_non_null(strstr(why, "by everybody (mode 0666)"));
    FILE *file = fopen(file_of("policy.conf", "", 0644), "w");
    assert_non_null(file);
    assert_int_equal(fwrite("default allow\ndeny host=a\0.example\n", 1, 35, file), 35);
    fclose(file);
    snprintf(path, sizeof path, "%s/policy.conf", dir);
    assert_int_equal(policy_read(path, &policy, why), ERR_INVALID);
    assert_non_null(strstr(why, "line 2: there is a NUL"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(policy_read(path, &policy, why), ERR_INVALID);
    assert_int_equal(unlink(path), 0);
}

/* A server of many hosts goes by the Host header. */
static void test_host_header(void **state) {
    (void)state;
    static const struct {
        const char *host, *header;
        bool allowed;
    } table[] = {{"a.example", NULL, true},
                 {"a.example", "b.example", false},
                 {"a.example", "c.example", true},
                 {"c.example", "x.denied", false},
                 {"a.example", "", false},
                 {"c.example", "metadata.goog", false},
                 {"c.example", "[::ffff:a9fe:a9fe]", false}};
    policy_t *policy = rules("deny host=.denied\nallow host=a.example,c.example\ndefault deny\n");
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        policy_verdict_t verdict;
        const policy_question_t question = {.host = table[i].host,
                                            .host_header = table[i].header,
                                            .port = 80,
                                            .method = "GET",
                                            .target = "/",
                                            .path = "/"};
        policy_judge(policy, &question, &verdict);
        if (verdict.allowed != table[i].allowed) fail_msg("%s %s", table[i].host, table[i].header);
    }
    policy_release(&policy);
}

static void test_headers(void **state) {
    (void)state;
    char text[512], secret[128], why[POLICY_WHY_MAX] = "", *value = NULL;
    snprintf(secret, sizeof secret, "%s", file_of("secret", "user:pass\r\n", 0600));
    snprintf(
        text, sizeof text,
        "allow host=a header=\"Authorization: Basic {base64:%s}\" header=\"X-Key: <{%s}>\"\ndefault deny\n",
        secret, secret);
    policy_t *policy = rules(text);
    policy_verdict_t verdict;
    judge(policy, "GET http://a:80/", NULL, &verdict);
    assert_int_equal(policy_header_count(verdict.rule), 2);
    assert_string_equal(policy_header_name(verdict.rule, 0), "Authorization");
    assert_int_equal(policy_header_value(verdict.rule, 0, &value, why), 0);
    assert_string_equal(value, "Basic dXNlcjpwYXNz");
    policy_header_free(&value);
    (void)file_of("secret", "changed", 0600); /* is read anew */
    assert_int_equal(policy_header_value(verdict.rule, 1, &value, why), 0);
    assert_string_equal(value, "<changed>");
    policy_header_free(&value);
    static const struct {
        const char *secret, *why;
        mode_t mode;
    } bad[] = {{"two\nlines", "one line", 0600}, {"", "one line", 0600}, {"fine", "open to everybody", 0644}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)file_of("secret", bad[i].secret, bad[i].mode);
        assert_int_equal(policy_header_value(verdict.rule, 0, &value, why), ERR_INVALID);
        assert_non_null(strstr(why, bad[i].why));
        assert_null(strstr(why, "fine"));
        assert_null(value);
    }
    assert_int_equal(unlink(secret), 0);
    assert_int_equal(policy_header_value(verdict.rule, 0, &value, why), ERR_IO);
    policy_release(&policy);
}

static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/policy.conf", dir);
    (void)unlink(path);
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),           cmocka_unit_test(test_what_is_built_in),
        cmocka_unit_test(test_nets_as_spelled), cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_bad_files),       cmocka_unit_test(test_host_header),
        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
