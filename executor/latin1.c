#include "executor/latin1.h"

#include <stdlib.h>

char *latin1_from_utf8(const char *text, size_t size) {
    char *result = malloc(size + 1), *out = result;

    for (size_t i = 0; result && i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x80) {
            *out++ = (char)c;
        } else if ((c == 0xc2 || c == 0xc3) && i + 1 < size && ((unsigned char)text[i + 1] & 0xc0) == 0x80) {
            *out++ = (char)((c & 0x03) << 6 | ((unsigned char)text[++i] & 0x3f));
        } else {
            free(result);
            return NULL;
        }
    }
    if (result) *out = '\0';
    return result;
}
