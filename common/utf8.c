#include "common/utf8.h"

#include <stdint.h>
#include <string.h>

size_t utf8_sequence(const unsigned char *at, size_t left) {
    size_t len;

    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        len = 2;
    else if (at[0] >= 0xe0 && at[0] <= 0xef)
        len = 3;
    else if (at[0] >= 0xf0 && at[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (len > left) return 0;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return len;
}

size_t utf8_valid(const char *text, size_t size) {
    const unsigned char *at = (const unsigned char *)text;
    size_t i = 0;

    while (i < size) {
        uint64_t word;
        size_t len = 1;
        if (size - i >= sizeof word && at[i] < 0x80) { /* most texts are ASCII */
            memcpy(&word, at + i, sizeof word);
            if ((word & 0x8080808080808080u) == 0) len = sizeof word;
        } else if (at[i] >= 0x80) {
            len = utf8_sequence(at + i, size - i);
        }
        if (len == 0) return i;
        i += len;
    }
    return size;
}
