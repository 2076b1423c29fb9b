#include "cli/workers.h"

#include <string.h>

#include "cli/json_read.h"

#define SILENT_MS 3000 /* a heartbeat comes every second */

workers_t workers_of(yajl_val status, const char *role) {
    workers_t workers = {0};
    for (size_t i = 0; i < json_count(status, "workers"); i++) {
        yajl_val worker = json_item(status, "workers", i);
        if (!json_is(worker, "role", role)) continue;
        workers.count++;
        workers.slots += (unsigned)json_number(worker, "slots");
        if (json_number(worker, "heard_ms") > SILENT_MS) {
            workers.silent++;
            workers.silent_name = json_text(worker, "name");
        }
        if (!json_is(worker, "version", json_text(status, "version")))
            workers.version = json_text(worker, "version");
    }
    return workers;
}
