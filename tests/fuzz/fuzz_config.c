/* A task's globalConfig, and the same merged over another. */
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/global_config.h"
#include "fuzz.h"

static void must(bool holds) {
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *json = malloc(size ? size : 1),
         ignored[256]; /* of its own size, so that an octet read too far is seen */
    global_config_t config = GLOBAL_CONFIG_NONE, all = GLOBAL_CONFIG_NONE;

    must(json != NULL);
    if (size) memcpy(json, data, size);
    int err = global_config_read(json, size, &config, ignored);
    must(err == 0 || (err == ERR_MALFORMED && ignored[0]));
    if (!err) {
        must(config.debug >= -1 && config.debug <= 1 && config.upload_to_ac >= -1 &&
             config.upload_to_ac <= 1);
        must(config.pool_size <= GLOBAL_CONFIG_POOL_MAX && config.rate_per_min <= GLOBAL_CONFIG_RATE_MAX);
        (void)global_config_merge(&all, &config);
        must(!global_config_merge(&all, &config));
    }
    free(json);
    return 0;
}
