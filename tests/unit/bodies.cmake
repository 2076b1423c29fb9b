sluice_unit_test(test_bodies test_bodies.c LIBS broker_core)
sluice_unit_test(test_body test_body.c LIBS executor_core uploader_core)
sluice_unit_test(test_taken test_taken.c LIBS uploader_core)
