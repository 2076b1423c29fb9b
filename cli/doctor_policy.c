/* What the policy says of a tool. */
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"

#define CHECK "policy"
#define SAID  600

/* For one method. */
typedef struct {
    unsigned allowed, refused,
        passing; /* addresses; passing: refused, but policy.mode learn lets them pass */
    bool learns;
    char text[SAID];
} said_t;

static void tell(void *ctx, const char *where, const policy_verdict_t *verdict, const char *text) {
    said_t *said = ctx;
    char one[POLICY_WORD_MAX + 80];
    bool passing = said->learns && !verdict->allowed && !verdict->built_in;
    if (verdict->allowed)
        said->allowed++;
    else if (passing)
        said->passing++;
    else
        said->refused++;
    (void)snprintf(one, sizeof one, "%s%s%s%s", where ? where : "", where ? ": " : "", text,
                   passing ? ", but let pass" : "");
    size_t used = strlen(said->text);
    (void)snprintf(said->text + used, sizeof said->text - used, "%s%s", used ? "; " : "", one);
}

static said_t ask(const tool_t *tool, const char *method, bool by_proxy) {
    said_t said = {.learns = tool->learns};
    (void)policy_words(tool->policy, &tool->url, method, by_proxy, tell, &said);
    return said;
}

bool doctor_policy(report_t *report, const tool_t *tool, bool by_proxy) {
    said_t get = ask(tool, "GET", by_proxy), post = ask(tool, "POST", by_proxy);
    bool none = get.allowed + get.passing + post.allowed + post.passing == 0,
         some = get.refused > 0 && get.allowed + get.passing > 0, same = strcmp(get.text, post.text) == 0;
    severity_t severity = none ? FOUND_FAILURE : some ? FOUND_WARNING : FOUND_OK;
    report_add(
        report, severity, CHECK,
        none   ? "if tasks may call it, write a rule that allows it (docs/POLICY.md); sluice policy check "
                 "METHOD URL tries it"
        : some ? "some of its addresses are refused: tasks use the others alone"
               : "",
        "%s, %s: %s%s%s%s%s", tool->learns ? "learn" : "enforce",
        tool->file[0] ? tool->file : "no file of rules", same ? "" : "GET ", get.text, same ? "" : "; POST ",
        same ? "" : post.text, by_proxy ? "; by its name alone, for the proxy looks it up" : "");
    return !none;
}

bool doctor_policy_lets_out(const tool_t *tool, const struct sockaddr *to) {
    static const char *const methods[] = {"GET", "POST"};
    policy_address_t address;
    bool any = false;
    for (size_t i = 0; i < 2 && policy_address(to, &address); i++) {
        policy_verdict_t verdict;
        char text[POLICY_WORD_MAX];
        policy_word(tool->policy, &tool->url, methods[i], &address, &verdict, text);
        any = any || verdict.allowed || (tool->learns && !verdict.built_in);
    }
    return any;
}
