#include "loop.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"

#define EVENTS_PER_TURN 256
#define HOOKS_MAX       8
#define SLEEP_MAX_MS    3600000

struct loop_timer {
    int64_t due_us;
    size_t index;
    void (*due)(void *ctx);
    void *ctx;
};

struct loop_watch {
    int fd;
    void (*ready)(void *ctx, uint32_t events);
    void *ctx;
};

struct loop {
    int epoll_fd;
    bool running;
    bool kicked;
    loop_timer_t **heap;
    size_t heap_count;
    size_t heap_cap;
    struct {
        void (*turn)(void *ctx);
        void *ctx;
    } hooks[HOOKS_MAX];
    size_t hook_count;
};

loop_t *loop_new(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) return NULL;
    loop_t *self = mem_new(1, sizeof *self);
    self->epoll_fd = fd;
    return self;
}

void loop_destroy(loop_t **self) {
    if (!*self) return;
    for (size_t i = 0; i < (*self)->heap_count; i++)
        free((*self)->heap[i]);
    free((*self)->heap);
    close((*self)->epoll_fd);
    free(*self);
    *self = NULL;
}

int64_t loop_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void heap_place(loop_t *self, size_t index, loop_timer_t *timer) {
    self->heap[index] = timer;
    timer->index = index;
}

static void heap_up(loop_t *self, size_t index) {
    loop_timer_t *timer = self->heap[index];
    while (index > 0 && timer->due_us < self->heap[(index - 1) / 2]->due_us) {
        heap_place(self, index, self->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    heap_place(self, index, timer);
}

static void heap_down(loop_t *self, size_t index) {
    loop_timer_t *timer = self->heap[index];
    for (;;) {
        size_t child = index * 2 + 1;
        if (child + 1 < self->heap_count && self->heap[child + 1]->due_us < self->heap[child]->due_us)
            child++;
        if (child >= self->heap_count || self->heap[child]->due_us >= timer->due_us) break;
        heap_place(self, index, self->heap[child]);
        index = child;
    }
    heap_place(self, index, timer);
}

static void heap_remove(loop_t *self, loop_timer_t *timer) {
    size_t index = timer->index;
    loop_timer_t *last = self->heap[--self->heap_count];
    if (last == timer) return;
    heap_place(self, index, last);
    heap_up(self, index);
    heap_down(self, last->index);
}

loop_timer_t *loop_at(loop_t *self, int64_t due_us, void (*due)(void *ctx), void *ctx) {
    if (self->heap_count == self->heap_cap) {
        self->heap_cap = self->heap_cap ? self->heap_cap * 2 : 64;
        self->heap = mem_resize(self->heap, self->heap_cap, sizeof(loop_timer_t *));
    }
    loop_timer_t *timer = mem_new(1, sizeof *timer);
    *timer = (loop_timer_t){due_us, self->heap_count, due, ctx};
    self->heap[self->heap_count++] = timer;
    heap_up(self, timer->index);
    return timer;
}

void loop_cancel(loop_t *self, loop_timer_t **timer) {
    if (!*timer) return;
    heap_remove(self, *timer);
    free(*timer);
    *timer = NULL;
}

loop_watch_t *loop_watch(loop_t *self, int fd, uint32_t events, void (*ready)(void *ctx, uint32_t events),
                         void *ctx) {
    loop_watch_t *watch = mem_new(1, sizeof *watch);
    *watch = (loop_watch_t){fd, ready, ctx};
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(watch);
        return NULL;
    }
    return watch;
}

void loop_unwatch(loop_t *self, loop_watch_t **watch) {
    if (!*watch) return;
    epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, (*watch)->fd, NULL);
    free(*watch);
    *watch = NULL;
}

void loop_each_turn(loop_t *self, void (*turn)(void *ctx), void *ctx) {
    if (self->hook_count == HOOKS_MAX) abort();
    self->hooks[self->hook_count].turn = turn;
    self->hooks[self->hook_count++].ctx = ctx;
}

void loop_kick(loop_t *self) {
    self->kicked = true;
}

void loop_stop(loop_t *self) {
    self->running = false;
}

/* Rounded up, so that a timer is due when the sleep is over. */
static int sleep_ms(const loop_t *self) {
    if (self->kicked) return 0;
    if (!self->heap_count) return -1;
    int64_t left_us = self->heap[0]->due_us - loop_now_us();
    int64_t left_ms = left_us <= 0 ? 0 : (left_us + 999) / 1000;
    return left_ms > SLEEP_MAX_MS ? SLEEP_MAX_MS : (int)left_ms;
}

static void run_timers(loop_t *self) {
    int64_t now_us = self->heap_count ? loop_now_us() : 0;
    /* The analyzer takes the timer freed below for still being the first.
     * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    while (self->heap_count && self->heap[0]->due_us <= now_us) {
        loop_timer_t *timer = self->heap[0];
        heap_remove(self, timer);
        timer->due(timer->ctx);
        free(timer);
    }
}

void loop_run(loop_t *self) {
    struct epoll_event events[EVENTS_PER_TURN];
    self->running = true;
    while (self->running) {
        int count = epoll_wait(self->epoll_fd, events, EVENTS_PER_TURN, sleep_ms(self));
        self->kicked = false;
        for (int i = 0; i < count; i++) {
            loop_watch_t *watch = events[i].data.ptr;
            watch->ready(watch->ctx, events[i].events);
        }
        run_timers(self);
        for (size_t i = 0; i < self->hook_count; i++)
            self->hooks[i].turn(self->hooks[i].ctx);
    }
}
