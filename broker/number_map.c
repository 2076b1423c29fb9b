#include "broker/number_map.h"

static size_t hash(const void *key) {
    uint64_t n = *(const uint64_t *)key;
    return (size_t)((n ^ (n >> 32)) * 0x9e3779b97f4a7c15u >> 16);
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

zhashx_t *number_map_new(void) {
    zhashx_t *map = zhashx_new();
    if (!map) return NULL;
    zhashx_set_key_duplicator(map, NULL);
    zhashx_set_key_destructor(map, NULL);
    zhashx_set_key_comparator(map, compare);
    zhashx_set_key_hasher(map, hash);
    return map;
}
