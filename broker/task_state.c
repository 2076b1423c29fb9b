#include "broker/task_state.h"

#include "common/err.h"

#define NONE      0 /* the table holds state + 1 */
#define TO(state) ((state) + 1)

static const unsigned char table[TASK_STATES][TASK_EVENTS] = {
    [TASK_READY] = {[TASK_EV_PUSH] = TO(TASK_PUSHED),
                    [TASK_EV_CLAIM] = TO(TASK_RUNNING), /* a worker that comes back with it */
                    [TASK_EV_FAIL] = TO(TASK_DONE)},
    [TASK_PUSHED] = {[TASK_EV_UNCLAIMED] = TO(TASK_READY),
                     [TASK_EV_CLAIM] = TO(TASK_RUNNING),
                     [TASK_EV_RESULT] = TO(TASK_DONE), /* the result overtook the claim */
                     [TASK_EV_FAIL] = TO(TASK_DONE)},
    [TASK_RUNNING] = {[TASK_EV_RESULT] = TO(TASK_DONE),
                      [TASK_EV_REDELIVER] = TO(TASK_READY),
                      [TASK_EV_UNCLAIMED] = TO(TASK_READY), /* claimed, given back before it was started */
                      [TASK_EV_FAIL] = TO(TASK_DONE)},
    [TASK_DONE] = {[TASK_EV_PUSH] = TO(TASK_DONE_PUSHED), [TASK_EV_CLAIM] = TO(TASK_UPLOADING)},
    [TASK_DONE_PUSHED] = {[TASK_EV_UNCLAIMED] = TO(TASK_DONE), [TASK_EV_CLAIM] = TO(TASK_UPLOADING)},
    [TASK_UPLOADING] = {[TASK_EV_REDELIVER] = TO(TASK_DONE),
                        [TASK_EV_UNCLAIMED] = TO(TASK_DONE),
                        [TASK_EV_RETRY] = TO(TASK_DONE),
                        [TASK_EV_ACCEPTED] = TO(TASK_GONE),
                        [TASK_EV_REFUSED] = TO(TASK_BURIED)},
    [TASK_BURIED] = {[TASK_EV_REVIVE] = TO(TASK_DONE), [TASK_EV_DROP] = TO(TASK_GONE)},
};

int task_next(task_state_t state, task_event_t event) {
    if ((unsigned)state >= TASK_STATES || (unsigned)event >= TASK_EVENTS || table[state][event] == NONE)
        return ERR_STATE;
    return table[state][event] - 1;
}

const char *task_state_name(task_state_t state) {
    static const char *const names[TASK_STATES] = {"ready",  "pushed",    "running", "done",
                                                   "handed", "uploading", "buried",  "gone"};
    return (unsigned)state < TASK_STATES ? names[state] : "?";
}

const char *task_event_name(task_event_t event) {
    static const char *const names[TASK_EVENTS] = {"push",      "unclaimed", "claim", "result",
                                                   "redeliver", "fail",      "retry", "accepted",
                                                   "refused",   "revive",    "drop"};
    return (unsigned)event < TASK_EVENTS ? names[event] : "?";
}
