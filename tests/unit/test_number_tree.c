/* The tree of numbers against a table of which are in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/number_tree.h"

#define MANY 3000u

typedef struct {
    number_node_t node;
    bool in;
} item_t;

/* Each number asks for the next above it, the whole way through. */
static void check(const number_tree_t *tree, const item_t *items) {
    uint64_t at = 0;
    for (uint64_t i = 1; i < MANY; i++) {
        if (!items[i].in) continue;
        assert_ptr_equal(number_tree_next(tree, at), &items[i]);
        assert_ptr_equal(number_tree_next(tree, i - 1), &items[i]);
        at = i;
    }
    assert_null(number_tree_next(tree, at));
    assert_null(number_tree_next(tree, UINT64_MAX));
}

static unsigned depth(const number_node_t *node) {
    unsigned low = node ? depth(node->low) : 0, high = node ? depth(node->high) : 0;
    return node ? 1 + (low > high ? low : high) : 0;
}

static void test_at_random(void **state) {
    (void)state;
    static item_t items[MANY];
    number_tree_t tree = {NULL};
    uint32_t random = 7;
    for (unsigned step = 0; step < 20000; step++) {
        random = random * 1664525u + 1013904223u;
        item_t *item = &items[1 + (random >> 8) % (MANY - 1)];
        if (item->in)
            number_tree_remove(&tree, &item->node);
        else
            number_tree_put(&tree, &item->node, (uint64_t)(item - items), item);
        item->in = !item->in;
        if (step % 2000 == 0) check(&tree, items);
    }
    check(&tree, items);
    for (unsigned i = 1; i < MANY; i++)
        if (items[i].in) number_tree_remove(&tree, &items[i].node);
    assert_null(tree.root);
}

/* It stays shallow when they come in order, upwards or downwards, and when the first always goes. */
static void test_in_order(void **state) {
    (void)state;
    static item_t items[MANY];
    for (int down = 0; down < 2; down++) {
        number_tree_t tree = {NULL};
        for (unsigned i = 1; i < MANY; i++) {
            unsigned number = down ? MANY - i : i;
            number_tree_put(&tree, &items[number].node, number, &items[number]);
            items[number].in = true;
        }
        check(&tree, items);
        assert_true(depth(tree.root) < 60); /* 12 at best, 2999 at worst */
        for (unsigned i = 1; i < MANY / 2; i++) {
            item_t *first = number_tree_next(&tree, 0);
            assert_ptr_equal(first, &items[i]);
            number_tree_remove(&tree, &first->node);
            first->in = false;
        }
        check(&tree, items);
        assert_true(depth(tree.root) < 60);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_random),
        cmocka_unit_test(test_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
