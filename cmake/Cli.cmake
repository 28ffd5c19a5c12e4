# The program, and its completion script both as an installed file and as bytes inside the program.
file(GLOB PM_CLI_SOURCES CONFIGURE_DEPENDS cli/*.c cli/commands/*.c cli/support/*.c)
set(PM_COMPLETION cli/completion/phasemill.bash)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PM_COMPLETION})
file(READ ${PM_COMPLETION} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(CONFIGURE OUTPUT generated/completion_script.h CONTENT "static const unsigned char completion_script[] = {${bytes}0};\n")

add_executable(phasemill-cli ${PM_CLI_SOURCES})
set_target_properties(phasemill-cli PROPERTIES OUTPUT_NAME phasemill)
target_include_directories(phasemill-cli PRIVATE cli ${CMAKE_CURRENT_BINARY_DIR}/generated)
target_link_libraries(phasemill-cli PRIVATE pm_flags phasemill_cluster)
install(TARGETS phasemill-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${PM_COMPLETION} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME phasemill)
