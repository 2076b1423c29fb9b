/* What this machine can tell: options, key, places, the broker's own word. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/doctor.h"
#include "cli/fetching.h"
#include "cli/json_read.h"
#include "cli/status_page.h"
#include "cli/workers.h"
#include "common/dirs.h"
#include "common/err.h"

#define DISK_FAIL_MB  100
#define DISK_WARN_MB  1000
#define OLD_TASK_MS   900000LL /* tasks end within minutes */
#define PERCENT_WARN  90
#define JOURNAL_LARGE 1000000000

/* --- options, key, places --- */

static void check_options(report_t *report, const config_t *config) {
    if (config->server_url[0])
        report_add(report, FOUND_OK, "configuration", "", "%s%s; AC is %s; state in %s",
                   config->config_file[0] ? "from " : "no file", config->config_file, config->server_url,
                   config->state_dir);
    else
        report_add(report, FOUND_FAILURE, "configuration",
                   "give --serverUrl URL, set $server_url, or name the file with --config", "no server URL");
    if (!config->verify)
        report_add(report, FOUND_WARNING, "configuration",
                   "remove it, and give the issuer's certificates with --caBundle and --toolCaBundle",
                   "--verify false: whoever stands on the way can read the API key and the results");
}

static void check_key(report_t *report, const config_t *config) {
    struct stat st;
    const char *file = config->api_key_file;
    if (!config->api_key[0])
        report_add(report, FOUND_FAILURE, "API key", "give --apiKeyFile FILE, or set $api_key", "none");
    else if (file[0] && stat(file, &st) == 0 && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        report_add(report, FOUND_WARNING, "API key",
                   "chmod 600 the file, and make a new key if others use this machine",
                   "%s can be read by others (mode %03o)", file, (unsigned)st.st_mode & 0777U);
    else
        report_add(report, FOUND_OK, "API key", "", "%zu characters, from %s", strlen(config->api_key),
                   file[0] ? file : "the environment, a credential or the command line");
}

static void check_disk(report_t *report, const config_t *config) {
    struct statvfs fs;
    char free_text[PAGE_SHORT_MAX];
    if (statvfs(config->state_dir, &fs) != 0) {
        report_add(report, errno == ENOENT ? FOUND_SKIPPED : FOUND_FAILURE, "disk",
                   errno == ENOENT ? "it is made at the first start" : "check the path and its owner",
                   "%s: %s", config->state_dir, strerror(errno));
        return;
    }
    int64_t room = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    bool no_files = fs.f_files > 0 && fs.f_favail < 1000;
    severity_t severity = room < DISK_FAIL_MB * 1000000L || no_files ? FOUND_FAILURE
                          : room < DISK_WARN_MB * 1000000L           ? FOUND_WARNING
                                                                     : FOUND_OK;
    report_add(report, severity, "disk",
               severity == FOUND_OK ? "" : "make room: with a full disk nothing is fetched any more",
               "%s free in %s%s", page_bytes(room, free_text), config->state_dir,
               no_files ? ", but hardly a file can be made (inodes)" : "");
}

/* --- the journal of a broker that does not run --- */

static int take_word(void *ctx, int columns, char **values, char **names) {
    (void)names;
    if (columns > 0 && values[0]) (void)snprintf(ctx, 200, "%s", values[0]);
    return 0;
}

static void check_journal(report_t *report, const config_t *config) {
    char path[PATH_MAX], word[200] = "";
    struct stat st;
    sqlite3 *db = NULL;
    (void)snprintf(path, sizeof path, "%s/journal.db", config->state_dir);
    if (stat(path, &st) != 0) {
        report_add(report, errno == ENOENT ? FOUND_SKIPPED : FOUND_FAILURE, "journal",
                   errno == ENOENT ? "" : "ask as the user who runs the agent, or as root", "%s: %s", path,
                   errno == ENOENT ? "none yet" : strerror(errno));
        return;
    }
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, "PRAGMA quick_check(1)", take_word, word, NULL);
    if (rc == SQLITE_OK && strcmp(word, "ok") == 0)
        report_add(report, FOUND_OK, "journal", "", "%s is sound", path);
    else if (rc == SQLITE_BUSY)
        report_add(report, FOUND_SKIPPED, "journal", "", "%s: the broker has it open", path);
    else if (rc == SQLITE_CANTOPEN || rc == SQLITE_PERM || rc == SQLITE_READONLY)
        report_add(report, FOUND_SKIPPED, "journal", "ask as the user who runs the agent, or as root",
                   "%s: %s", path, sqlite3_errmsg(db));
    else
        report_add(
            report, FOUND_FAILURE, "journal",
            "move it aside, together with its -wal file, to start with an empty one, or restore a backup",
            "%s is damaged: %s", path, rc == SQLITE_OK ? word : sqlite3_errmsg(db));
    (void)sqlite3_close(db);
}

/* --- the broker's word --- */

static void check_group(report_t *report, yajl_val root, const char *role, const char *check,
                        const char *missing) {
    workers_t group = workers_of(root, role);
    if (group.count == 0)
        report_add(report, FOUND_FAILURE, check, missing, "none is connected to the broker");
    else if (group.silent > 0)
        report_add(report, FOUND_WARNING, check, "it may be stopped or overloaded: see its log",
                   "%u connected, but %s is silent", group.count, group.silent_name);
    else if (group.version)
        report_add(report, FOUND_WARNING, check, "install the same version everywhere",
                   "%u connected, one of version %s", group.count, group.version);
    else if (group.slots > 0)
        report_add(report, FOUND_OK, check, "", "%u connected, %u slots", group.count, group.slots);
    else
        report_add(report, FOUND_OK, check, "", "%u connected", group.count);
}

static void check_store(report_t *report, yajl_val root) {
    int64_t bytes = json_number(json_member(root, "journal"), "bytes"),
            used = json_number(json_member(root, "spool"), "bytes") -
                   json_number(json_member(root, "spool"), "buried"),
            limit = json_number(json_member(root, "spool"), "limit");
    char size[PAGE_SHORT_MAX], spool[PAGE_SHORT_MAX], most[PAGE_SHORT_MAX];
    if (!json_true(json_member(root, "journal"), "ok"))
        report_add(report, FOUND_FAILURE, "journal",
                   "make room, or put the disk right; the agent then goes on by itself",
                   "%s cannot be written: %s", json_text(json_member(root, "journal"), "path"),
                   json_text(json_member(root, "journal"), "error"));
    else
        report_add(report, bytes > JOURNAL_LARGE ? FOUND_WARNING : FOUND_OK, "journal",
                   bytes > JOURNAL_LARGE ? "many tasks are held: see `sluice status`" : "",
                   "%s is written, %s", json_text(json_member(root, "journal"), "path"),
                   page_bytes(bytes, size));
    bool full = limit > 0 && used * 100 > limit * PERCENT_WARN;
    report_add(report, full ? FOUND_WARNING : FOUND_OK, "spool",
               full ? "results do not get away to AC, or --spoolMb is small for them" : "", "%s of %s used",
               page_bytes(used, spool), page_bytes(limit, most));
}

static void check_gate(report_t *report, yajl_val root) {
    const char *state = json_text(json_member(root, "ac"), "state"),
               *error = json_text(json_member(root, "ac"), "last_error");
    int64_t used = json_number(json_member(root, "gate"), "rate_used"),
            limit = json_number(json_member(root, "gate"), "rate_limit");
    if (json_true(json_member(root, "gate"), "closed"))
        report_add(report, FOUND_FAILURE, "calls to AC", "see the findings on the way to AC below",
                   "closed, one probe at a time: %s", error);
    else if (strcmp(state, "failing") == 0)
        report_add(report, FOUND_WARNING, "calls to AC", "see the findings on the way to AC below",
                   "the last one failed: %s", error);
    else
        report_add(report, FOUND_OK, "calls to AC", "", "%s%s",
                   strcmp(state, "ok") == 0 ? "the last one went well" : "none yet",
                   json_number(json_member(root, "gate"), "paused_until_ms") > 0 ? "; AC asked for a pause"
                                                                                 : "");
    bool tight = limit > 0 && used * 100 >= limit * PERCENT_WARN;
    report_add(
        report, tight ? FOUND_WARNING : FOUND_OK, "rate limit",
        tight
            ? "work waits for the minute to pass; ask for a higher limit, and give it with --rateLimitPerMin"
            : "",
        "%" PRId64 " of %" PRId64 " requests in the last minute", used, limit);
}

static void check_work(report_t *report, yajl_val root) {
    char age[PAGE_SHORT_MAX];
    const char *reason = json_text(json_member(root, "fetch"), "reason");
    int64_t oldest_ms = json_number(json_member(root, "oldest"), "age_ms"),
            buried = json_number(root, "buried");
    const char *but = fetching_but(root);
    bool busy = strcmp(reason, "ready tasks reach the lookahead") == 0 ||
                strcmp(reason, "the task queue is full") == 0;
    if (json_true(json_member(root, "fetch"), "paused") &&
        busy) /* as it should be, while the executors are at it */
        report_add(report, FOUND_OK, "fetching", "", "paused for the moment: %s", reason);
    else if (json_true(json_member(root, "fetch"), "paused"))
        report_add(report, FOUND_WARNING, "fetching",
                   strcmp(reason, "paused by hand") == 0
                       ? "`sluice resume` starts it again"
                       : "it goes on by itself when that is over; the other findings say what to do about it",
                   "paused: %s", reason);
    else if (but != NULL)
        report_add(report, FOUND_WARNING, "fetching", "see the finding on the fetcher", "on, but %s", but);
    else
        report_add(report, FOUND_OK, "fetching", "", "on; room for %" PRId64 " more",
                   json_number(json_member(root, "gate"), "fetch_room"));
    bool old = oldest_ms > OLD_TASK_MS;
    report_add(
        report, old ? FOUND_WARNING : FOUND_OK, "tasks", old ? "`sluice task ID` says what it waits for" : "",
        "%" PRId64 " waiting, %" PRId64 " running, %" PRId64 " results waiting%s%s%s%s",
        json_number(json_member(root, "tasks"), "ready"), json_number(json_member(root, "tasks"), "running"),
        json_number(json_member(root, "results"), "waiting") +
            json_number(json_member(root, "results"), "uploading"),
        oldest_ms > 0 ? "; the oldest, " : "",
        oldest_ms > 0 ? json_text(json_member(root, "oldest"), "task") : "", oldest_ms > 0 ? ", since " : "",
        oldest_ms > 0 ? page_duration(oldest_ms, age) : "");
    if (buried > 0)
        report_add(report, FOUND_WARNING, "buried results", "`sluice dead` lists them with AC's reasons",
                   "%" PRId64 " that AC refused", buried);
}

static void check_status(report_t *report, yajl_val root) {
    char up[PAGE_SHORT_MAX];
    const char *version = json_text(root, "version");
    bool other = strcmp(version, SLUICE_VERSION) != 0;
    report_add(report, other ? FOUND_WARNING : FOUND_OK, "broker",
               other ? "restart the agent, so that it runs the version that is installed" : "",
               "pid %" PRId64 ", version %s, up %s", json_number(root, "pid"), version,
               page_duration(json_number(root, "now_ms") - json_number(root, "started_ms"), up));
    check_store(report, root);
    check_group(report, root, "fetcher", "fetcher", "start sluice-fetcher, or see its log");
    check_group(report, root, "executor", "executors",
                "start sluice-executor, here or on another machine: without one nothing is fetched");
    check_group(report, root, "uploader", "uploader", "start sluice-uploader, or see its log");
    check_gate(report, root);
    check_work(report, root);
}

static const char *broker_advice(const config_t *config) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/control", config->runtime_dir);
    bool refused = access(path, W_OK) != 0 && errno == EACCES;
    pid_t pid = 0;
    (void)snprintf(path, sizeof path, "%s/broker.lock", config->state_dir);
    if (!refused && lock_probe(path, &pid) == ERR_BUSY)
        return "its process is there, but stands still or has another --runtimeDir: see its log, and restart "
               "it "
               "(systemctl restart sluice-broker)";
    return config->broker[0]
               ? "check that it listens there (--bind), and that a firewall lets this machine in"
           : refused ? "ask as the user who runs the agent, or as root"
                     : "start the agent: sluice run, or systemctl start sluice.target";
}

static bool check_broker(report_t *report, const config_t *config) {
    char why[ASK_WHY_MAX], *json = NULL;
    size_t size;
    ask_t *ask = ask_new(config, why);
    bool answered = ask && ask_is_there(ask, why) && ask_status(ask, -1, &json, &size, why) == 0;
    yajl_val root = answered ? json_read(json, size) : NULL;
    if (root) {
        check_status(report, root);
    } else {
        report_add(report, FOUND_FAILURE, "broker", broker_advice(config), "%s",
                   answered ? "its answer is no JSON" : why);
        check_journal(report, config);
    }
    yajl_tree_free(root);
    free(json);
    ask_destroy(&ask);
    return root != NULL;
}

bool doctor_local(report_t *report, const config_t *config) {
    check_options(report, config);
    check_key(report, config);
    check_disk(report, config);
    return check_broker(report, config);
}
