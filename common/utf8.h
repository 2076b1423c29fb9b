/* UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF. */
#ifndef SLUICE_COMMON_UTF8_H
#define SLUICE_COMMON_UTF8_H

#include <stddef.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The length of the sequence at `at`, which is not ASCII; 0 when it is none, or longer than `left`. */
size_t utf8_sequence(const unsigned char *at, size_t left);
/* How many octets of `text` are UTF-8 before the first that is not; `size` when all are. */
size_t utf8_valid(const char *text, size_t size);

#endif
