#include "cli/fetching.h"

#include <string.h>

#include "cli/json_read.h"

#define SILENT_MS 3000 /* a heartbeat comes every second */

const char *fetching_but(yajl_val status) {
    size_t fetchers = 0, silent = 0;
    if (!YAJL_IS_ARRAY(json_member(status, "workers"))) return NULL;
    for (size_t i = 0; i < json_count(status, "workers"); i++) {
        yajl_val worker = json_item(status, "workers", i);
        if (strcmp(json_text(worker, "role"), "fetcher") != 0) continue;
        fetchers++;
        silent += json_number(worker, "heard_ms") > SILENT_MS;
    }
    if (fetchers == 0) return "no fetcher is connected";
    return silent == fetchers ? "nothing is heard from the fetcher" : NULL;
}
