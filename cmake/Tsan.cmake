# One program for each tests/tsan/tsan_NAME.c; build with clang and -fsanitize=thread.
file(GLOB PM_TSAN_SOURCES CONFIGURE_DEPENDS tests/tsan/tsan_*.c)
foreach(source IN LISTS PM_TSAN_SOURCES)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE pm_flags phasemill_cluster)
  target_compile_definitions(${name} PRIVATE PM_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
endforeach()
