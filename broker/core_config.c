/* What AC sets by globalConfig: over the broker's own settings, journaled, told to every worker. */
#include <inttypes.h>

#include "broker/core_internal.h"

static void apply(core_t *core) {
    const global_config_t *given = &core->given;
    core_settings_t *settings = &core->settings;
    if (given->debug >= 0) settings->debug = given->debug;
    if (given->upload_to_ac >= 0) settings->upload_to_ac = given->upload_to_ac;
    if (given->verify) settings->verify = true;
    if (given->rate_per_min) {
        settings->rate_per_min = given->rate_per_min;
        core->gate.rate = given->rate_per_min;
    }
}

void core_restore_config(core_t *self, uint64_t generation, const global_config_t *given) {
    self->generation = generation;
    self->given = *given;
    apply(self);
}

void config_send(core_t *core, const worker_t *worker) {
    const core_settings_t *s = &core->settings;
    msg_t *msg = effects_msg(core->fx, worker->instance, MSG_CONFIG);
    msg->config = (msg_config_t){.session = worker->session,
                                 .generation = core->generation,
                                 .debug = s->debug,
                                 .verify = s->verify,
                                 .pool_size = core->given.pool_size,
                                 .upload_to_ac = s->upload_to_ac,
                                 .rate_per_min = s->rate_per_min};
}

void config_send_all(core_t *core) {
    worker_t *const lists[] = {core->fetchers, core->execute.workers, core->upload.workers};
    for (int i = 0; i < 3; i++)
        for (const worker_t *worker = lists[i]; worker; worker = worker->next)
            config_send(core, worker);
}

void core_reconfigure(core_t *self, const core_settings_t *settings) {
    core_settings_t *own = &self->settings;
    own->rate_per_min = self->gate.rate = settings->rate_per_min;
    own->ac_max = self->gate.max = settings->ac_max;
    own->lookahead = settings->lookahead;
    own->task_queue = settings->task_queue;
    own->response_queue = settings->response_queue;
    own->response_threshold = settings->response_threshold;
    own->redeliver = settings->redeliver;
    own->debug = settings->debug;
    own->upload_to_ac = settings->upload_to_ac;
    apply(self);
    self->reconfigured = true;
}

void config_take(core_t *core, str_t json) {
    global_config_t given;
    char ignored[256], quoted[LOG_QUOTED_MAX];
    int err = global_config_read(json.ptr, json.len, &given, ignored);
    if (ignored[0])
        effects_log(core->fx, LOG_LEVEL_WARN, "global_config_ignored", "what=%s", log_quote(ignored, quoted));
    if (err || !global_config_merge(&core->given, &given)) return;
    core->generation++;
    apply(core);
    record_t *record = effects_record(core->fx, REC_CONFIG);
    record->seq = core->generation;
    record->config = core->given;
    config_send_all(core);
    const core_settings_t *s = &core->settings;
    effects_log(core->fx, LOG_LEVEL_INFO, "global_config",
                "generation=%" PRIu64 " debug=%d verify=%d pool_size=%u upload_to_ac=%d rate_per_min=%u",
                core->generation, s->debug, s->verify, core->given.pool_size, s->upload_to_ac,
                s->rate_per_min);
}
