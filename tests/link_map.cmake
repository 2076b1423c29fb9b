# Nothing but the door reaches AC: neither the sources nor the programs.
add_test(NAME unit.link_map
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/link_map ${CMAKE_SOURCE_DIR} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_NM})
set_tests_properties(unit.link_map PROPERTIES LABELS unit TIMEOUT 60)
