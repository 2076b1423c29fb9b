/* Items in the order of their numbers: a binary search tree that keeps itself shallow. Each node has a rank,
 * drawn from its number, and is above those of lower rank: so the tree has the shape that random insertion
 * gives, in whatever order its items come. O(log n) each. */
#ifndef SLUICE_BROKER_NUMBER_TREE_H
#define SLUICE_BROKER_NUMBER_TREE_H

#include <stdint.h>

/* Embedded in the item. */
typedef struct number_node_t {
    uint64_t number;
    void *item;
    struct number_node_t *low, *high;
} number_node_t;

/* Zero is the empty tree. It owns nothing. */
typedef struct {
    number_node_t *root;
} number_tree_t;

/* No other item of the tree may have the number. */
void number_tree_put(number_tree_t *self, number_node_t *node, uint64_t number, void *item);
/* The node is in the tree. */
void number_tree_remove(number_tree_t *self, number_node_t *node);
/* The item with the lowest number above `after`, NULL when there is none. */
void *number_tree_next(const number_tree_t *self, uint64_t after);

#endif
