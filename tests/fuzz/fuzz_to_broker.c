/* What peers send to the broker, one message after the other, through the decoder and the core. Each is an
 * octet for its sender (0 to 3: a pipeline socket, three peers on control), one for the time that passes (in
 * 100 ms), two for its length, and its header; a length of 0 is a message after which the worker's socket
 * cannot be opened. Session and instance numbers are small here, so that they can be hit. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core.h"
#include "fuzz.h"

#define STEPS_MAX 300

static void must(bool holds) {
    if (!holds) abort();
}

static void free_doc(void **doc) {
    free(*doc);
    *doc = NULL;
}

/* Every message that goes out can be encoded, and read again. */
static void check_effects(effects_t *fx) {
    static msg_scratch_t scratch;
    size_t count = 0;
    out_t *outs = effects_outs(fx, &count);
    for (size_t i = 0; i < count; i++) {
        char *bytes = NULL;
        size_t size = 0, payload_max = 0;
        msg_t read;
        if (outs[i].type != OUT_CONTROL && outs[i].type != OUT_PUSH && outs[i].type != OUT_OPEN) continue;
        must(msg_encode(&outs[i].msg, &bytes, &size) == 0);
        int64_t payload = msg_has_payload(outs[i].msg.type, &payload_max) ? 2 : -1;
        must(msg_decode(bytes, size, payload, &read, &scratch) == 0);
        free(bytes);
    }
}

static void one(core_t *core, effects_t *fx, moment_t now, uint8_t from, const char *header, size_t size) {
    static msg_scratch_t scratch;
    msg_t msg;
    void *doc = NULL;
    event_t event = {.kind = EV_MESSAGE, .peer = from % 4, .msg = &msg, .doc = &doc};
    if (size == 0)
        event.kind = EV_OPEN_FAILED;
    else if (msg_decode(header, size, from % 4 == 0 ? 2 : -1, &msg, &scratch) != 0)
        return;
    bool by_pipeline = size > 0 && (msg.type == MSG_FETCHED || msg.type == MSG_RESULT);
    if (by_pipeline != (event.peer == 0)) return; /* refused by the shell */
    if (by_pipeline) {
        doc = calloc(1, 2);
        event.doc_bytes = 2;
        must(doc != NULL);
    }
    must(core_step(core, &event, now, fx) == 0);
    free(doc);
}

static void run(core_t *core, effects_t *fx, const uint8_t *data, size_t size) {
    moment_t now = {1000000, 1700000000000};
    size_t at = 0;
    for (int i = 0; i < STEPS_MAX && size - at >= 4; i++) {
        size_t len = (size_t)data[at + 2] << 8 | data[at + 3];
        uint8_t from = data[at], pause = data[at + 1];
        at += 4;
        if (len > size - at) len = size - at;
        char *header = malloc(len ? len : 1); /* of its own size, so that an octet read too far is seen */
        must(header != NULL);
        memcpy(header, data + at, len);
        now.ms += (int64_t)pause * 100;
        now.wall_ms += (int64_t)pause * 100;
        one(core, fx, now, from, header, len);
        must(core_step(core, &(event_t){.kind = EV_TICK}, now, fx) == 0);
        check_effects(fx);
        effects_clear(fx, free_doc);
        free(header);
        at += len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const core_settings_t settings = {.epoch = 0,
                                      .seed = 1,
                                      .agent_id = "a",
                                      .ac_max = 2,
                                      .rate_per_min = 250,
                                      .task_queue = 100,
                                      .response_queue = 100,
                                      .response_threshold = 80};
    core_t *core = core_new(&settings);
    effects_t *fx = effects_new();
    must(core && fx && core_start(core, (moment_t){1000000, 1700000000000}) == 0);
    run(core, fx, data, size);
    core_destroy(&core);
    effects_destroy(&fx, free_doc);
    return 0;
}
