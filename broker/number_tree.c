#include "broker/number_tree.h"

#include <stddef.h>

/* Numbers in a row get ranks that have nothing to do with each other (the finish of splitmix64). */
static uint64_t rank(const number_node_t *node) {
    uint64_t n = node->number + 0x9e3779b97f4a7c15u;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
    return n ^ (n >> 31);
}

void number_tree_put(number_tree_t *self, number_node_t *node, uint64_t number, void *item) {
    number_node_t **link = &self->root, **low = &node->low, **high = &node->high;
    node->number = number;
    node->item = item;
    while (*link && rank(*link) > rank(node))
        link = number < (*link)->number ? &(*link)->low : &(*link)->high;
    for (number_node_t *at = *link; at;) { /* what stood here goes below it, to either side */
        if (at->number < number) {
            *low = at;
            low = &at->high;
            at = at->high;
        } else {
            *high = at;
            high = &at->low;
            at = at->low;
        }
    }
    *low = *high = NULL;
    *link = node;
}

void number_tree_remove(number_tree_t *self, number_node_t *node) {
    number_node_t **link = &self->root, *low = node->low, *high = node->high;
    while (*link != node)
        link = node->number < (*link)->number ? &(*link)->low : &(*link)->high;
    while (low && high) { /* its two sides become one in its place */
        if (rank(low) > rank(high)) {
            *link = low;
            link = &low->high;
            low = low->high;
        } else {
            *link = high;
            link = &high->low;
            high = high->low;
        }
    }
    *link = low ? low : high;
    node->low = node->high = NULL;
}

void *number_tree_next(const number_tree_t *self, uint64_t after) {
    const number_node_t *next = NULL;
    for (const number_node_t *at = self->root; at;) {
        if (at->number > after) next = at;
        at = at->number > after ? at->low : at->high;
    }
    return next ? next->item : NULL;
}
