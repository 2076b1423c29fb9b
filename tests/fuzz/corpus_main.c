/* Feeds the files of the directories that are named to a fuzz target, as a plain test. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define INPUT_MAX ((size_t)4 << 20)

static int feed(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);
    size_t size;

    if (!file || !bytes) {
        perror(path);
        exit(1);
    }
    size = fread(bytes, 1, INPUT_MAX, file);
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    return 1;
}

static int feed_all(const char *path) {
    char name[PATH_MAX];
    DIR *directory = opendir(path);
    int count = 0;

    if (!directory) {
        perror(path);
        exit(1);
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        count += feed(name);
    }
    (void)closedir(directory);
    return count;
}

int main(int argc, char **argv) {
    int count = 0;

    for (int i = 1; i < argc; i++)
        count += feed_all(argv[i]);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
