sluice_unit_test(test_bodies test_bodies.c LIBS broker_core)
