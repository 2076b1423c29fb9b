#include "cli/fetching.h"

#include "cli/json_read.h"
#include "cli/workers.h"

const char *fetching_but(yajl_val status) {
    if (!YAJL_IS_ARRAY(json_member(status, "workers"))) return NULL;
    workers_t fetchers = workers_of(status, "fetcher");
    if (fetchers.count == 0) return "no fetcher is connected";
    return fetchers.silent == fetchers.count ? "nothing is heard from the fetcher" : NULL;
}
