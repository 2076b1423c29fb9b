#include "broker/heap.h"

#include <stdlib.h>

#include "common/err.h"

bool heap_less(const heap_node_t *a, const heap_node_t *b) {
    return a->key != b->key ? a->key < b->key : a->tie < b->tie;
}

static void set(heap_t *heap, size_t at, heap_node_t *node) {
    heap->nodes[at] = node;
    node->place = at + 1;
}

static void sift_up(heap_t *heap, size_t at, heap_node_t *node) {
    while (at > 0 && heap_less(node, heap->nodes[(at - 1) / 2])) {
        set(heap, at, heap->nodes[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    set(heap, at, node);
}

static void sift_down(heap_t *heap, size_t at, heap_node_t *node) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count && heap_less(heap->nodes[child + 1], heap->nodes[child])) child++;
        if (!heap_less(heap->nodes[child], node)) break;
        set(heap, at, heap->nodes[child]);
        at = child;
    }
    set(heap, at, node);
}

static void settle(heap_t *heap, size_t at, heap_node_t *node) {
    if (at > 0 && heap_less(node, heap->nodes[(at - 1) / 2]))
        sift_up(heap, at, node);
    else
        sift_down(heap, at, node);
}

int heap_put(heap_t *heap, heap_node_t *node, int64_t key, uint64_t tie, void *item) {
    if (node->place == 0 && heap->count == heap->size) {
        size_t size = heap->size ? heap->size * 2 : 64;
        heap_node_t **nodes = realloc(heap->nodes, size * sizeof *nodes);
        if (!nodes) return ERR_NOMEM;
        heap->nodes = nodes;
        heap->size = size;
    }
    node->key = key;
    node->tie = tie;
    node->item = item;
    if (node->place > 0)
        settle(heap, node->place - 1, node);
    else
        sift_up(heap, heap->count++, node);
    return 0;
}

void heap_remove(heap_t *heap, heap_node_t *node) {
    if (node->place == 0) return;
    size_t at = node->place - 1;
    node->place = 0;
    heap_node_t *last = heap->nodes[--heap->count];
    if (last != node) settle(heap, at, last);
}

void *heap_first(const heap_t *heap) {
    return heap->count ? heap->nodes[0]->item : NULL;
}

int64_t heap_first_key(const heap_t *heap) {
    return heap->count ? heap->nodes[0]->key : INT64_MAX;
}

bool heap_has(const heap_node_t *node) {
    return node->place > 0;
}

void heap_clear(heap_t *heap) {
    free(heap->nodes);
    *heap = (heap_t){0};
}
