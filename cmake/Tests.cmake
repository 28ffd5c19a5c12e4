# One Criterion program for all unit tests: build/unit_tests --filter 'suite/test'.
pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion)
file(GLOB PM_UNIT_SOURCES CONFIGURE_DEPENDS tests/unit/*.c tests/support/*.c)
add_executable(unit_tests ${PM_UNIT_SOURCES})
target_link_libraries(unit_tests PRIVATE pm_flags phasemill_cluster PkgConfig::CRITERION)
target_include_directories(unit_tests PRIVATE tests/support)
target_compile_definitions(unit_tests PRIVATE PM_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")

# One program for each tests/alloc/alloc_NAME.c, whose own allocator fails on demand (tests/alloc/failing.h).
file(GLOB PM_ALLOC_SOURCES CONFIGURE_DEPENDS tests/alloc/alloc_*.c)
foreach(source IN LISTS PM_ALLOC_SOURCES)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source} tests/alloc/failing.c)
  target_link_libraries(${name} PRIVATE pm_flags phasemill_cluster)
  target_compile_definitions(${name} PRIVATE PM_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_options(${name} PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=strdup)
endforeach()
