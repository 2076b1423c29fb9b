# What all programs share: configuration, places, logging; and the page of `sluice status`.
sluice_unit_test(test_config test_config.c)
sluice_unit_test(test_config_key test_config_key.c)
sluice_unit_test(test_dirs test_dirs.c)
sluice_unit_test(test_log test_log.c)
sluice_unit_test(test_status test_status.c LIBS cli_core)
sluice_unit_test(test_global_config test_global_config.c core_bench.c LIBS broker_core)
sluice_unit_test(test_proxy test_proxy.c)
sluice_unit_test(test_ipv4_hosts test_ipv4_hosts.c)
