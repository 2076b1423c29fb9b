/* `sluice doctor`: looks at every hop of a task's way, and says what to do. */
#include "cli/doctor.h"

#include <curl/curl.h>
#include <czmq.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/flush.h"
#include "common/program.h"

#define NAME       "sluice"
#define AC_CONNECT 25 /* seconds, as the door has it */
#define WIDTH      100

/* Exit statuses, by severity. */
#define DOCTOR_WELL    0
#define DOCTOR_WARNING 1
#define DOCTOR_FAILURE 2

typedef struct {
    bool json;
    const char *tool;
} doctor_options_t;

/* Takes the options of this command out of the words. -1: --tool lacks its URL. */
static int own_options(doctor_options_t *self, int argc, char **argv) {
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            self->json = true;
        } else if (strncmp(argv[i], "--tool=", 7) == 0) {
            self->tool = argv[i] + 7;
        } else if (strcmp(argv[i], "--tool") == 0) {
            if (i + 1 >= argc) return -1;
            self->tool = argv[++i];
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    return kept;
}

static void look_at_ac(report_t *report, const config_t *config) {
    const target_t ac = {.what = "AC",
                         .url = config->server_url,
                         .proxy_http = config->outgoing_proxy_http,
                         .proxy_https = config->outgoing_proxy_https,
                         .ca_bundle = config->ca_bundle,
                         .client_cert = "",
                         .client_key = "",
                         .ca_option = "caBundle",
                         .connect_timeout_s = AC_CONNECT,
                         .verify = config->verify,
                         .ipv4_fallback = config->ipv4_fallback};
    bool broker = doctor_local(report, config);
    if (config->server_url[0] && doctor_net(report, &ac) && config->api_key[0])
        doctor_ac(report, config, broker);
}

static void look_at(report_t *report, const config_t *config, const tool_t *tool, const char *url) {
    const target_t target = {.what = "the tool",
                             .tool = tool,
                             .url = url,
                             .proxy_http = config->inward_proxy_http,
                             .proxy_https = config->inward_proxy_https,
                             .ca_bundle = config->tool_ca_bundle,
                             .client_cert = config->client_cert,
                             .client_key = config->client_key,
                             .ca_option = "toolCaBundle",
                             .connect_timeout_s = config->connect_timeout_s,
                             .verify = config->verify,
                             .ipv4_fallback = config->ipv4_fallback};
    doctor_tool(report, &target);
}

static void look_at_tool(report_t *report, const config_t *config, const char *given) {
    tool_t tool = {.file = config_policy_file(config), .learns = strcmp(config->policy_mode, "learn") == 0};
    policy_t *policy = NULL;
    char why[URL_WHY_MAX], fault[POLICY_WHY_MAX], *url = NULL;
    if (url_read(given, false, &tool.url, why) != 0) {
        report_add(report, FOUND_FAILURE, "URL", "it must be http://HOST or https://HOST", "%s", why);
    } else if (policy_read(tool.file, &policy, fault) != 0) {
        report_add(report, FOUND_FAILURE, "policy",
                   "put it right, or ask as the executors' user: with a mistake in it they do not start",
                   "%s", fault);
    } else if (!(url = url_text(&tool.url))) {
        report_add(report, FOUND_FAILURE, "URL", "try again", "out of memory");
    } else {
        tool.policy = policy;
        look_at(report, config, &tool, url);
    }
    free(url);
    url_clear(&tool.url);
    policy_release(&policy);
}

static int show(const report_t *report, bool json) {
    struct winsize size;
    bool terminal = isatty(STDOUT_FILENO) == 1;
    unsigned width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 40 ? size.ws_col : WIDTH;
    bool ok = true;
    if (json)
        ok = report_print_json(report, stdout);
    else
        report_print(report, stdout, terminal && getenv("NO_COLOR") == NULL, width < 140 ? width : 140);
    if (!ok || !tool_flush()) return DOCTOR_FAILURE;
    severity_t worst = report_worst(report);
    return worst == FOUND_FAILURE ? DOCTOR_FAILURE : worst == FOUND_WARNING ? DOCTOR_WARNING : DOCTOR_WELL;
}

int command_doctor(int argc, char **argv) {
    doctor_options_t own = {0};
    config_t *config = NULL;
    char why[512];
    bool done = false;
    int kept = own_options(&own, argc, argv), status = DOCTOR_FAILURE;
    if (kept < 0) {
        program_complain(NAME, "--tool needs a value: --tool URL");
        return DOCTOR_FAILURE;
    }
    report_t *report = report_new();
    if (!report || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) goto cleanup;
    if (config_load(PROGRAM_DOCTOR, kept, argv, &config, &done, NULL, why) != 0) {
        report_add(report, FOUND_FAILURE, "configuration",
                   "put it right; the programs do not start with it either", "%s", why);
        status = show(report, own.json);
        goto cleanup;
    }
    status = DOCTOR_WELL;
    if (done) goto cleanup;
    program_hide();
    (void)signal(SIGPIPE, SIG_IGN);
    zsys_init();
    zsys_handler_set(NULL); /* an interrupt ends it, as any tool */
    if (own.tool)
        look_at_tool(report, config, own.tool);
    else
        look_at_ac(report, config);
    status = show(report, own.json);
cleanup:
    if (!report) program_complain(NAME, "out of memory");
    report_destroy(&report);
    config_destroy(&config);
    curl_global_cleanup();
    return status;
}
