# One Criterion program for all unit tests: build/unit_tests --filter 'suite/test'.
pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion)
file(GLOB PM_UNIT_SOURCES CONFIGURE_DEPENDS tests/unit/*.c tests/support/*.c)
add_executable(unit_tests ${PM_UNIT_SOURCES})
target_link_libraries(unit_tests PRIVATE pm_flags phasemill ${PM_DEPENDENCIES} PkgConfig::CRITERION)
target_include_directories(unit_tests PRIVATE tests/support)
target_compile_definitions(unit_tests PRIVATE PM_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
