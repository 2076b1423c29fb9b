/* What a step of the core yields: records for the journal, then messages that may go out once those are
 * committed. Texts live in the effects until effects_clear(). */
#ifndef SLUICE_BROKER_EFFECTS_H
#define SLUICE_BROKER_EFFECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/task_state.h"
#include "common/global_config.h"
#include "common/messages.h"

/* A task as the journal keeps it. Times in ms; `deadline_ms` and `next_try_ms` are boot time. */
typedef struct {
    uint64_t number;
    str_t task_id, method, host, reason;
    uint8_t state; /* task_state_t: READY, RUNNING, DONE or BURIED */
    uint8_t call;  /* call_t of the upload */
    uint16_t flags;
    int64_t deadline_ms, expiry_wall_ms, accepted_wall_ms, next_try_ms;
    uint32_t attempt, tries;
    uint64_t holder; /* instance of the executor, while RUNNING */
    uint64_t generation;
    uint64_t doc_bytes;
    int64_t buried_wall_ms; /* while BURIED */
    str_t trail;            /* octets of trail.h */
} task_image_t;

typedef enum {
    REC_TASK_NEW,     /* the image, with the task JSON as document */
    REC_TASK_RUNNING, /* number, attempt, holder */
    REC_TASK_READY,   /* number, attempt: a journaled claim is undone */
    REC_TASK_DONE,    /* number, call: the result as document replaces the task's */
    REC_TASK_FAIL, /* number, call, reason: the broker itself writes an error result in place of the document
                    */
    REC_TASK_TRY,  /* number, tries, next_try_ms, reason */
    REC_TASK_BURIED,  /* number, tries, reason, buried_wall_ms */
    REC_TASK_REVIVED, /* number: buried to done, with fresh tries */
    REC_TASK_GONE,    /* number, call, state; what its history tells: ids, times, trail; at: when */
    REC_WORKER,       /* instance, place, role: may hold tasks */
    REC_WORKER_GONE,  /* instance */
    REC_FETCHER,      /* instance, seq (highest), mask (of the 64 below it) */
    REC_CREDIT, /* number (credit id), instance, role (stage), units (budget), used: granted, or given more */
    REC_CREDIT_GONE, /* number */
    REC_RATE,        /* at (second), units: a bucket of the rate window */
    REC_CONFIG,      /* seq (generation), config: all that AC has set */
    REC_PAUSE,       /* at: until when AC wants a pause (boot time) */
    REC_DRAIN,       /* at: since when fetching is paused by hand (wall time), 0 when it is not */
    REC_TYPES
} record_type_t;

typedef struct {
    record_type_t type;
    task_image_t task; /* REC_TASK_*: what the type names */
    void *doc;         /* REC_TASK_NEW, REC_TASK_DONE: owned by the record until the shell takes it */
    uint64_t number, instance, place, seq, mask;
    int64_t at;
    uint32_t units, used;
    uint8_t role;
    global_config_t config;
} record_t;

typedef enum {
    OUT_CONTROL, /* msg to the peer */
    OUT_PUSH,    /* msg (TASK) to the worker's PUSH, with the document of task.number */
    OUT_OPEN,    /* WELCOME: open the worker's PUSH with `slots` as mark, then send msg with its endpoint */
    OUT_CLOSE,   /* close the worker's PUSH */
    OUT_DROP,    /* what of task `number` has not gone to the worker's PUSH yet shall not */
    OUT_FORGET,  /* the document of task `number` is no longer needed */
    OUT_LOG      /* a line for the log and the events socket */
} out_type_t;

typedef struct {
    out_type_t type;
    uint64_t peer; /* instance */
    uint64_t number;
    uint16_t slots;
    uint64_t key; /* OUT_OPEN: of whom alone may read it, 0 for a local worker */
    bool tcp;     /* OUT_OPEN: under tcp */
    msg_t msg;
    int level;         /* OUT_LOG: log_level_t */
    const char *event; /* OUT_LOG: a constant */
    str_t text;        /* OUT_LOG: key=value pairs */
} out_t;

typedef struct effects_t effects_t;

effects_t *effects_new(void);
/* Frees documents that nobody took with `doc_free`. */
void effects_destroy(effects_t **self, void (*doc_free)(void **doc));
void effects_clear(effects_t *self, void (*doc_free)(void **doc));
/* True once memory ran out since the last clear: the step is not to be acted on. */
bool effects_failed(const effects_t *self);

/* A new zeroed record or message at the end; valid until the next is added. Never NULL (a dummy when failed).
 */
record_t *effects_record(effects_t *self, record_type_t type);
/* The latest record of the type since the last clear, for one that would only replace it; NULL for none. */
record_t *effects_latest(effects_t *self, record_type_t type);
out_t *effects_out(effects_t *self, out_type_t type, uint64_t peer);
/* An OUT_CONTROL message of the type. */
msg_t *effects_msg(effects_t *self, uint64_t peer, msg_type_t type);
void effects_log(effects_t *self, int level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Copies into the effects' own memory. */
str_t effects_text(effects_t *self, str_t text);
void *effects_memory(effects_t *self, size_t bytes); /* NULL when failed */

record_t *effects_records(effects_t *self, size_t *count);
out_t *effects_outs(effects_t *self, size_t *count);

#endif
