/* `sluice policy`: which rule decides on a request, and rules made of what was seen. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/policy_word.h"
#include "cli/suggest.h"
#include "common/config.h"
#include "common/err.h"
#include "common/policy.h"
#include "common/program.h"
#include "common/proxy.h"

#define WORDS_MAX 16

static int fail(const char *text) {
    program_complain("sluice", text);
    return EXIT_CONFIG;
}

/* Whether all are allowed. */
static void tell(void *ctx, const char *where, const policy_verdict_t *verdict, const char *text) {
    bool *all = ctx;
    (void)printf("%s%s%s\n", where ? where : "", where ? ": " : "", text);
    *all = *all && verdict->allowed;
}

/* The proxy that requests to the URL go by, if any. */
static int look_for_proxy(const config_t *config, const url_t *url, bool *by_proxy, const char **why) {
    proxy_t proxy;
    int err = proxy_choose(&proxy, url->https ? config->inward_proxy_https : config->inward_proxy_http,
                           url->https, why);
    *by_proxy = !err && proxy_used(&proxy, url->host, url_port(url));
    if (*by_proxy)
        (void)printf("through the proxy %s, which looks the name up; by the name alone:\n", proxy.where);
    proxy_clear(&proxy);
    return err;
}

static int judge(const config_t *config, const policy_t *policy, const char *method, const url_t *url) {
    bool by_proxy = false, all = true;
    const char *why = "";
    if (look_for_proxy(config, url, &by_proxy, &why) != 0) return fail(why);
    int err = policy_words(policy, url, method, by_proxy, tell, &all);
    if (err) (void)printf("(by the name alone: %s has no address here: %s)\n", url->host, gai_strerror(err));
    if (strcmp(config->policy_mode, "learn") == 0)
        (void)printf("(policy.mode is learn: what rules refuse is sent all the same)\n");
    return all ? EXIT_CLEAN : EXIT_FAILED;
}

static int check(const config_t *config, char **words, int count) {
    policy_t *policy = NULL;
    url_t url = {0};
    char why[POLICY_WHY_MAX], fault[URL_WHY_MAX];
    if (count != 2) return fail("usage: sluice policy check METHOD URL");
    if (policy_read(config_policy_file(config), &policy, why) != 0) return fail(why);
    for (char *c = words[0]; *c; c++)
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    int code =
        url_read(words[1], false, &url, fault) == 0 ? judge(config, policy, words[0], &url) : fail(fault);
    url_clear(&url);
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
