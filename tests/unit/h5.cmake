sluice_unit_test(test_messages test_messages.c LABEL protocol LIBS broker_core)
target_compile_definitions(test_messages PRIVATE GOLDEN_FILE="${CMAKE_CURRENT_SOURCE_DIR}/../protocol/golden.txt")
target_link_options(test_messages PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
find_program(SYSTEM_PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(SYSTEM_PYTHON3)
  add_test(NAME protocol.golden COMMAND ${SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/../protocol/golden.py --check
    ${CMAKE_CURRENT_SOURCE_DIR}/../protocol/golden.txt)
  set_tests_properties(protocol.golden PROPERTIES LABELS protocol TIMEOUT 60)
endif()
