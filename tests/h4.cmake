# Nothing but the door reaches AC: neither the sources nor the programs.
add_test(NAME unit.link_map
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/link_map ${CMAKE_SOURCE_DIR} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_NM})
set_tests_properties(unit.link_map PROPERTIES LABELS unit TIMEOUT 60)

# One worker at a time against a broker and an AC made of Python.
foreach(name fetcher uploader link)
  add_test(NAME e2e.${name} COMMAND /usr/bin/python3 -m pytest -q -p no:cacheprovider
    ${CMAKE_CURRENT_SOURCE_DIR}/e2e/test_${name}.py)
  set_tests_properties(e2e.${name} PROPERTIES LABELS e2e TIMEOUT 300
    ENVIRONMENT "SLUICE_BUILD=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
endforeach()
