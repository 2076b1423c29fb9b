#include "mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_check(void *memory) {
    if (!memory) {
        fputs("mock-ac: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

void *mem_new(size_t count, size_t size) {
    return mem_check(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *old, size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) mem_check(NULL);
    size_t bytes = count * size;
    return mem_check(realloc(old, bytes ? bytes : 1));
}

char *mem_copy(const void *data, size_t len) {
    char *copy = mem_resize(NULL, len + 1, 1);
    if (len) memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}
