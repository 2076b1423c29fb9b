/* The heap, against a plain search over the same items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/backoff.h"
#include "broker/heap.h"

#define ITEMS 300

static heap_node_t *smallest(heap_node_t *nodes) {
    heap_node_t *best = NULL;
    for (int i = 0; i < ITEMS; i++) {
        heap_node_t *n = &nodes[i];
        if (!heap_has(n)) continue;
        if (!best || n->key < best->key || (n->key == best->key && n->tie < best->tie)) best = n;
    }
    return best;
}

static void test_random(void **state) {
    (void)state;
    heap_t heap = {0};
    heap_node_t nodes[ITEMS] = {{0}};
    uint64_t random = 3;
    size_t in = 0;
    for (int round = 0; round < 20000; round++) {
        heap_node_t *n = &nodes[random_below(&random, ITEMS)];
        in -= heap_has(n);
        if (random_below(&random, 3) > 0) {
            assert_int_equal(
                heap_put(&heap, n, (int64_t)random_below(&random, 50) - 25, (uint64_t)(n - nodes), n), 0);
            in++;
        } else {
            heap_remove(&heap, n);
        }
        heap_node_t *best = smallest(nodes);
        assert_int_equal(heap.count, in);
        assert_ptr_equal(heap_first(&heap), best);
        assert_true(heap_first_key(&heap) == (best ? best->key : INT64_MAX));
    }
    heap_clear(&heap);
}

static void test_order(void **state) {
    (void)state;
    heap_t heap = {0};
    heap_node_t nodes[ITEMS] = {{0}};
    assert_null(heap_first(&heap));
    assert_true(heap_first_key(&heap) == INT64_MAX);
    heap_remove(&heap, &nodes[0]);
    for (int i = 0; i < ITEMS; i++)
        assert_int_equal(heap_put(&heap, &nodes[i], 0, (uint64_t)(ITEMS - i), &nodes[i]), 0);
    for (int i = ITEMS - 1; i >= 0; i--) {
        assert_ptr_equal(heap_first(&heap), &nodes[i]);
        heap_remove(&heap, &nodes[i]);
        assert_false(heap_has(&nodes[i]));
    }
    heap_clear(&heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
