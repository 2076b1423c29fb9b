/* The broker's status as `sluice status` reads it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/status_render.h"
#include "common/err.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *json = malloc(size ? size : 1),
         *page = NULL; /* of its own size, so that an octet read too far is seen */
    size_t page_bytes = 0;
    FILE *out = open_memstream(&page, &page_bytes);

    if (!json || !out) abort();
    if (size) memcpy(json, data, size);
    int err = status_render(json, size, 80, size % 2 == 1, out);
    if (fclose(out) != 0 || (err != 0 && err != ERR_MALFORMED) || (err && page_bytes > 0)) abort();
    for (size_t i = 0; size % 2 == 0 && i < page_bytes;
         i++) /* nothing from elsewhere reaches the terminal as a command */
        if ((unsigned char)page[i] < 0x20 && page[i] != '\n') abort();
    free(page);
    free(json);
    return 0;
}
