#include "common/dead_man.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "common/err.h"

struct dead_man_t {
    timer_t timer;
};

dead_man_t *dead_man_new(void) {
    dead_man_t *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    if (timer_create(CLOCK_BOOTTIME, &event, &self->timer) != 0) {
        free(self);
        return NULL;
    }
    return self;
}

void dead_man_destroy(dead_man_t **self_p) {
    assert(self_p);
    if (!*self_p) return;
    timer_delete((*self_p)->timer);
    free(*self_p);
    *self_p = NULL;
}

int dead_man_arm(dead_man_t *self, int64_t deadline_ms) {
    if (deadline_ms < 1) deadline_ms = 1; /* a time of 0 would disarm */
    struct itimerspec when = {
        .it_value = {.tv_sec = deadline_ms / 1000, .tv_nsec = (deadline_ms % 1000) * 1000000}};
    return timer_settime(self->timer, TIMER_ABSTIME, &when, NULL) == 0 ? 0 : ERR_IO;
}

void dead_man_disarm(dead_man_t *self) {
    struct itimerspec never = {.it_value = {0, 0}};
    int rc = timer_settime(self->timer, 0, &never, NULL);
    assert(rc == 0);
    (void)rc;
}
