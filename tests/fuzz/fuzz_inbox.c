/* A file of the fetcher's inbox, as it may be found at a start. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/messages.h"
#include "fetcher/inbox.h"
#include "fuzz.h"

#define FILE_NAME "/inbox/abcdef0123456789-4"

static char dir[] = "/tmp/fuzz-inbox.XXXXXX";
static unsigned seen;

static void must(bool holds) {
    if (!holds) abort();
}

static int on_fetch(void *ctx, const char *header, size_t header_bytes, const char *task, size_t task_bytes) {
    static msg_scratch_t scratch;
    volatile char last = task_bytes ? task[task_bytes - 1] : '\0'; /* all of it can be read */
    msg_t msg;

    (void)ctx;
    (void)last;
    seen++;
    return msg_decode(header, header_bytes, (int64_t)task_bytes, &msg, &scratch);
}

static void on_bad(void *ctx, const char *name, const char *why) {
    (void)ctx;
    must(name[0] && why[0]);
    seen++;
}

static inbox_t *open_once(void) {
    static inbox_t *inbox;
    if (inbox) return inbox;
    must(mkdtemp(dir) != NULL && inbox_open(dir, &inbox) == 0);
    return inbox;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    inbox_t *inbox = open_once();
    const inbox_reader_t reader = {NULL, on_fetch, on_bad};
    char path[128], bad[140];

    (void)snprintf(path, sizeof path, "%s" FILE_NAME, dir);
    (void)snprintf(bad, sizeof bad, "%s.bad", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
    seen = 0;
    must(inbox_load(inbox, &reader) == 0);
    must(seen >= 1); /* nothing is passed over in silence */
    (void)unlink(path);
    (void)unlink(bad);
    return 0;
}
