/* Hosts that are looked up for IPv4 alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/ipv4_hosts.h"

static void test_an_hour(void **state) {
    (void)state;
    static ipv4_hosts_t hosts;
    assert_false(ipv4_hosts_has(&hosts, "a.example", 0));
    ipv4_hosts_add(&hosts, "a.example", 1000);
    assert_true(ipv4_hosts_has(&hosts, "A.example", 1000 + IPV4_HOST_MS - 1));
    assert_false(ipv4_hosts_has(&hosts, "a.example", 1000 + IPV4_HOST_MS));
    assert_false(ipv4_hosts_has(&hosts, "b.example", 1000));
    ipv4_hosts_add(&hosts, "a.example", 5000);
    assert_true(ipv4_hosts_has(&hosts, "a.example", 5000 + IPV4_HOST_MS - 1));
}

static void test_the_oldest_gives_way(void **state) {
    (void)state;
    static ipv4_hosts_t hosts;
    char name[32];
    for (int i = 0; i <= IPV4_HOSTS_MAX; i++) {
        (void)snprintf(name, sizeof name, "host%d", i);
        ipv4_hosts_add(&hosts, name, i);
    }
    assert_false(ipv4_hosts_has(&hosts, "host0", 100));
    assert_true(ipv4_hosts_has(&hosts, "host1", 100));
    assert_true(ipv4_hosts_has(&hosts, name, 100));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_an_hour),
                                       cmocka_unit_test(test_the_oldest_gives_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
