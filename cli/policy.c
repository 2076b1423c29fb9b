/* `sluice policy`: which rule decides on a request, and rules made of what was seen. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/suggest.h"
#include "common/config.h"
#include "common/err.h"
#include "common/policy.h"
#include "common/program.h"

#define WORDS_MAX 16

static int fail(const char *text) {
    program_complain("sluice", text);
    return EXIT_CONFIG;
}

typedef struct {
    char *scheme, *host, *port, *path, *canonical;
} parts_t;

static bool read_url(const char *url, parts_t *parts) {
    CURLU *handle = curl_url();
    bool good = handle && curl_url_set(handle, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK &&
                curl_url_get(handle, CURLUPART_SCHEME, &parts->scheme, 0) == CURLUE_OK &&
                curl_url_get(handle, CURLUPART_HOST, &parts->host, 0) == CURLUE_OK &&
                curl_url_get(handle, CURLUPART_PORT, &parts->port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(handle, CURLUPART_PATH, &parts->path, 0) == CURLUE_OK &&
                (strcmp(parts->scheme, "http") == 0 || strcmp(parts->scheme, "https") == 0) &&
                (parts->canonical = policy_path(parts->path)) != NULL;
    curl_url_cleanup(handle);
    return good;
}

static void clear_parts(parts_t *parts) {
    curl_free(parts->scheme);
    curl_free(parts->host);
    curl_free(parts->port);
    curl_free(parts->path);
    free(parts->canonical);
}

static bool tell(const policy_t *policy, const policy_question_t *question, const char *where) {
    policy_verdict_t verdict;
    policy_judge(policy, question, &verdict);
    (void)printf("%s%s%s by %s", where ? where : "", where ? ": " : "",
                 verdict.allowed ? "allowed" : "refused", verdict.text);
    for (size_t i = 0; verdict.allowed && i < policy_header_count(verdict.rule); i++)
        (void)printf("%s%s", i ? ", " : "; sends its header ", policy_header_name(verdict.rule, i));
    (void)printf("\n");
    return verdict.allowed;
}

/* Asks for each address of the name. Returns whether all are allowed. */
static bool tell_addresses(const policy_t *policy, const policy_question_t *by_name) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    policy_question_t question = *by_name;
    policy_address_t address;
    bool allowed = true;
    if (policy_literal(question.host, &address)) return tell(policy, &question, NULL);
    int err = getaddrinfo(question.host, NULL, &hints, &found);
    if (err) {
        (void)printf("the name %s has no address here (%s); by the name alone:\n", question.host,
                     gai_strerror(err));
        return tell(policy, &question, NULL);
    }
    for (const struct addrinfo *at = found; at; at = at->ai_next) {
        char text[NI_MAXHOST] = "?";
        (void)getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        question.address = policy_address(at->ai_addr, &address) ? &address : NULL;
        allowed = tell(policy, &question, text) && allowed;
    }
    freeaddrinfo(found);
    return allowed;
}

static int check(const config_t *config, char **words, int count) {
    policy_t *policy = NULL;
    parts_t parts = {NULL};
    char why[POLICY_WHY_MAX];
    if (count != 2) return fail("usage: sluice policy check METHOD URL");
    if (policy_read(config_policy_file(config), &policy, why) != 0) return fail(why);
    int code = EXIT_CONFIG;
    if (read_url(words[1], &parts)) {
        for (char *c = words[0]; *c; c++)
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        policy_question_t question = {.https = strcmp(parts.scheme, "https") == 0,
                                      .host = parts.host,
                                      .port = (unsigned)strtoul(parts.port, NULL, 10),
                                      .method = words[0],
                                      .target = parts.path,
                                      .path = parts.canonical};
        code = tell_addresses(policy, &question) ? EXIT_CLEAN : EXIT_FAILED;
    } else {
        (void)fail("the URL cannot be read; it must be like https://host:port/path");
    }
    clear_parts(&parts);
    policy_release(&policy);
    return code;
}

static const char usage[] =
    "usage: sluice policy check METHOD URL [OPTION...]\n"
    "       sluice policy suggest [FILE...] [OPTION...]\n\n"
    "  check    says which rule decides on such a request, for each address of its host; status 0: allowed, "
    "1: refused\n"
    "  suggest  prints rules for what the executors of this machine have used under policy.mode learn\n\n"
    "The rules: docs/POLICY.md. Options: --policy.file FILE, --stateDir DIR, --config FILE.\n";

static int run(const config_t *config, char **words, int count) {
    if (count > 0 && strcmp(words[0], "check") == 0) return check(config, words + 1, count - 1);
    if (count > 0 && strcmp(words[0], "suggest") == 0) return suggest(config, words + 1, count - 1);
    (void)fputs(usage, stderr);
    return EXIT_CONFIG;
}

int command_policy(int argc, char **argv) {
    config_t *config = NULL;
    char *words[WORDS_MAX], why[512];
    bool done = false;
    int count = 0, kept = 1;
    for (int i = 1; i < argc; i++) { /* the command's own words go first, or behind the options */
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(usage, stdout);
            return EXIT_CLEAN;
        }
        bool option = strncmp(argv[i], "--", 2) == 0;
        if (!option && count < WORDS_MAX) {
            words[count++] = argv[i];
            continue;
        }
        argv[kept++] = argv[i];
        if (option && !strchr(argv[i], '=') && i + 1 < argc && argv[i + 1][0] != '-')
            argv[kept++] = argv[++i];
    }
    argv[kept] = NULL;
    if (config_load(PROGRAM_TOOL, kept, argv, &config, &done, NULL, why) != 0) return fail(why);
    if (done) return EXIT_CLEAN;
    int code = run(config, words, count);
    config_destroy(&config);
    return code;
}
