#include "limits.h"

#include <poll.h>
#include <stdlib.h>

#include "mem.h"

#define WINDOW_US 60000000

/* Arrival times of the last 60 s, oldest first, in a ring that grows. */
typedef struct {
    int64_t *times_us;
    size_t cap;
    size_t first;
    size_t count;
} window_t;

struct flight {
    limits_t *limits;
    int fd;
    bool counted; /* in flight */
    bool gone;    /* by its client */
    bool owned;   /* a request still points here */
    int64_t end_us;
    loop_timer_t *ghost;
    flight_t *prev;
    flight_t *next;
};

struct limits {
    loop_t *loop;
    books_t *books;
    const settings_t *settings;
    window_t all;
    window_t admitted;
    flight_t *flights;
};

static void window_add(window_t *window, int64_t now_us) {
    if (window->count == window->cap) {
        size_t cap = window->cap ? window->cap * 2 : 256;
        int64_t *times_us = mem_new(cap, sizeof(int64_t));
        for (size_t i = 0; i < window->count; i++)
            times_us[i] = window->times_us[(window->first + i) % window->cap];
        free(window->times_us);
        *window = (window_t){times_us, cap, 0, window->count};
    }
    window->times_us[(window->first + window->count++) % window->cap] = now_us;
}

static void window_trim(window_t *window, int64_t now_us) {
    while (window->count && window->times_us[window->first] <= now_us - WINDOW_US) {
        window->first = (window->first + 1) % window->cap;
        window->count--;
    }
}

limits_t *limits_new(loop_t *loop, books_t *books, const settings_t *settings) {
    limits_t *self = mem_new(1, sizeof *self);
    *self = (limits_t){.loop = loop, .books = books, .settings = settings};
    return self;
}

static void flight_free(flight_t *flight) {
    limits_t *self = flight->limits;
    if (flight->prev)
        flight->prev->next = flight->next;
    else
        self->flights = flight->next;
    if (flight->next) flight->next->prev = flight->prev;
    loop_cancel(self->loop, &flight->ghost);
    free(flight);
}

void limits_destroy(limits_t **self) {
    if (!*self) return;
    for (flight_t *flight = (*self)->flights, *next; flight; flight = next) {
        next = flight->next;
        flight_free(flight);
    }
    free((*self)->all.times_us);
    free((*self)->admitted.times_us);
    free(*self);
    *self = NULL;
}

static void flight_land(flight_t *flight) {
    if (flight->counted) books_add(flight->limits->books, BOOK_AC_IN_FLIGHT, -1);
    flight->counted = false;
}

static void on_ghost_end(void *ctx) {
    flight_t *flight = ctx;
    flight->ghost = NULL;
    books_add(flight->limits->books, BOOK_AC_GHOSTS, -1);
    flight_land(flight);
    if (!flight->owned) flight_free(flight);
}

void limits_until(flight_t *flight, int64_t end_us) {
    flight->end_us = end_us;
}

void limits_gone(limits_t *self, flight_t *flight) {
    if (flight->gone) return;
    flight->gone = true;
    books_add(self->books, BOOK_AC_CLIENTS_GONE, 1);
    if (self->settings->ghosts && flight->end_us > loop_now_us()) {
        books_add(self->books, BOOK_AC_GHOSTS, 1);
        flight->ghost = loop_at(self->loop, flight->end_us, on_ghost_end, flight);
    } else {
        flight_land(flight);
    }
}

void limits_leave(limits_t *self, flight_t **flight) {
    if (!*flight) return;
    (*flight)->owned = false;
    if (!(*flight)->ghost) {
        flight_land(*flight);
        flight_free(*flight);
    }
    *flight = NULL;
    (void)self;
}

/* Asks every socket in flight whether its client has left since the loop last looked. */
static void sweep(limits_t *self) {
    for (flight_t *flight = self->flights; flight; flight = flight->next) {
        struct pollfd poll_fd = {.fd = flight->fd, .events = POLLRDHUP};
        if (flight->owned && !flight->gone && poll(&poll_fd, 1, 0) == 1) limits_gone(self, flight);
    }
}

static void count_flight(limits_t *self) {
    int64_t next = books_get(self->books, BOOK_AC_IN_FLIGHT) + 1;
    if (next > self->settings->ac_max_concurrent || next > books_get(self->books, BOOK_AC_MAX_IN_FLIGHT))
        sweep(self);
    books_add(self->books, BOOK_AC_IN_FLIGHT, 1);
    books_max(self->books, BOOK_AC_MAX_IN_FLIGHT, books_get(self->books, BOOK_AC_IN_FLIGHT));
}

static admission_t admit(limits_t *self, int64_t now_us, int64_t *retry_after_s) {
    if (books_get(self->books, BOOK_AC_IN_FLIGHT) > self->settings->ac_max_concurrent) {
        books_add(self->books, BOOK_AC_TOO_MANY, 1);
        return REFUSED_CONCURRENT;
    }
    window_trim(&self->admitted, now_us);
    int64_t limit = self->settings->ac_rate_limit;
    if (limit && (int64_t)self->admitted.count >= limit) {
        int64_t left_us = self->admitted.times_us[self->admitted.first] + WINDOW_US - now_us;
        *retry_after_s = (left_us + 999999) / 1000000;
        books_add(self->books, BOOK_AC_RATE_LIMITED, 1);
        return REFUSED_RATE;
    }
    window_add(&self->admitted, now_us);
    return ADMITTED;
}

flight_t *limits_enter(limits_t *self, int fd, admission_t *admission, int64_t *retry_after_s) {
    int64_t now_us = loop_now_us();
    window_trim(&self->all, now_us);
    window_add(&self->all, now_us);
    books_add(self->books, BOOK_AC_REQUESTS, 1);
    books_max(self->books, BOOK_AC_MAX_PER_MINUTE, (int64_t)self->all.count);
    count_flight(self);
    flight_t *flight = mem_new(1, sizeof *flight);
    *flight = (flight_t){.limits = self, .fd = fd, .counted = true, .owned = true, .next = self->flights};
    if (flight->next) flight->next->prev = flight;
    self->flights = flight;
    *admission = admit(self, now_us, retry_after_s);
    return flight;
}
