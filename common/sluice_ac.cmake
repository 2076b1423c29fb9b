# The one door to AC. Only programs that hold AC credits link it (tests/link_map.cmake checks).
add_library(sluice_ac STATIC ac_answer.c ac_door.c ac_file.c ac_line.c ac_metrics.c ac_reply.c ac_seat.c ac_sockets.c)
target_link_libraries(sluice_ac PUBLIC sluice_common)
