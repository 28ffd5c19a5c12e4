# One libFuzzer program for each tests/fuzz/fuzz_NAME.c; build with clang and -fsanitize=fuzzer-no-link,address,undefined.
file(GLOB PM_FUZZ_SOURCES CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source IN LISTS PM_FUZZ_SOURCES)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE pm_flags phasemill_cluster)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endforeach()
