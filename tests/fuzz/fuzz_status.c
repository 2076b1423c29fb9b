/* The broker's status as `sluice status` reads it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/status_render.h"
#include "common/err.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *json = calloc(1, size + 1), *page = NULL;
    size_t page_bytes = 0;
    FILE *out = open_memstream(&page, &page_bytes);

    if (!json || !out) abort();
    if (size) memcpy(json, data, size);
    int err = status_render(json, size, 80, size % 2 == 1, out);
    if (fclose(out) != 0 || (err != 0 && err != ERR_MALFORMED) || (err && page_bytes > 0)) abort();
    /* without colours nothing that a terminal obeys */
    for (size_t i = 0; size % 2 == 0 && i < page_bytes; i++)
        if ((unsigned char)page[i] < 0x20 && page[i] != '\n') abort();
    free(page);
    free(json);
    return 0;
}
