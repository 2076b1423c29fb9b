/* A binary min-heap of items that know their place in it, so that any item can be moved or removed in O(log
 * n). Ordered by key, then by tie. */
#ifndef SLUICE_BROKER_HEAP_H
#define SLUICE_BROKER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in the item. Zero means "in no heap". */
typedef struct {
    int64_t key;
    uint64_t tie;
    size_t place; /* index + 1 */
    void *item;
} heap_node_t;

typedef struct {
    heap_node_t **nodes;
    size_t count, size;
} heap_t;

/* Adds the node, or moves it when it is in the heap already. ERR_NOMEM leaves the heap as it was. */
int heap_put(heap_t *heap, heap_node_t *node, int64_t key, uint64_t tie, void *item);
/* No effect when the node is in no heap. */
void heap_remove(heap_t *heap, heap_node_t *node);
/* The item with the smallest key, NULL when empty. */
void *heap_first(const heap_t *heap);
/* Its key, INT64_MAX when empty. */
int64_t heap_first_key(const heap_t *heap);
bool heap_has(const heap_node_t *node);
/* The order of nodes, also of different heaps. */
bool heap_less(const heap_node_t *a, const heap_node_t *b);
/* Frees the array, not the items. */
void heap_clear(heap_t *heap);

#endif
