/* The points of a test build. SLUICE_CRASH names where to die: PROGRAM/POINT[:N], separated by commas, at the
 * N-th hit in a process (1). Each dies once: the first to do so leaves a file POINT with its pid in the
 * directory SLUICE_CRASH_DIR. Every hit adds a line PROGRAM/POINT PID to the file "hits" there, if there is
 * such a file. */
#include "common/crash_point.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/effects.h"
#include "common/messages.h"

#define POINTS_MAX 4

typedef struct {
    char name[64];
    unsigned long hits_left;
} armed_t;

static armed_t armed[POINTS_MAX];
static int armed_count = -1; /* not read yet */
static int directory = -1, hits = -1;

static void arm(const char *text, size_t len) {
    armed_t *at = &armed[armed_count];
    const char *colon = memchr(text, ':', len);
    size_t name_len = colon ? (size_t)(colon - text) : len;
    if (armed_count == POINTS_MAX || name_len >= sizeof at->name) abort();
    memcpy(at->name, text, name_len);
    at->hits_left = colon ? strtoul(colon + 1, NULL, 10) : 1;
    armed_count++;
}

static void read_environment(void) {
    const char *path = getenv("SLUICE_CRASH_DIR"), *names = getenv("SLUICE_CRASH");
    size_t own = strlen(program_invocation_short_name);
    armed_count = 0;
    if (!path || (directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) return;
    hits = openat(directory, "hits", O_WRONLY | O_APPEND | O_CLOEXEC);
    for (const char *at = names ? names : ""; *at;) {
        size_t len = strcspn(at, ",");
        if (len > own && strncmp(at, program_invocation_short_name, own) == 0 && at[own] == '/')
            arm(at + own + 1, len - own - 1);
        at += len + (at[len] == ',');
    }
}

static void die_once(const char *name) {
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return; /* a former process did */
    (void)dprintf(fd, "%ld", (long)getpid());
    (void)kill(getpid(), SIGKILL);
}

void crash_point(const char *name) {
    if (armed_count < 0) read_environment();
    if (hits >= 0) {
        char line[128];
        int len =
            snprintf(line, sizeof line, "%s/%s %ld\n", program_invocation_short_name, name, (long)getpid());
        if (write(hits, line, (size_t)len) != len) abort();
    }
    for (int i = 0; i < armed_count; i++)
        if (strcmp(armed[i].name, name) == 0 && --armed[i].hits_left == 0) die_once(name);
}

void crash_point_msg(const char *place, unsigned type) {
    char name[64];
    if (type == 0) return; /* nothing is sent: a line of the log, a socket that is closed */
    (void)snprintf(name, sizeof name, "%s.%s", place, msg_type_name(type));
    crash_point(name);
}

void crash_point_record(const char *place, unsigned type) {
    static const char *const types[REC_TYPES] = {[REC_TASK_BURIED] = "TASK_BURIED",
                                                 [REC_TASK_REVIVED] = "TASK_REVIVED",
                                                 [REC_TASK_GONE] = "TASK_GONE",
                                                 [REC_DRAIN] = "PAUSE"};
    char name[64];
    if (type >= REC_TYPES || !types[type]) return;
    (void)snprintf(name, sizeof name, "%s.%s", place, types[type]);
    crash_point(name);
}
