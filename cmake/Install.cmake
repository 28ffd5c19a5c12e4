# The library, its header and a pkg-config file that holds wherever it is installed. A static library needs its
# dependencies named to whoever links it; a shared one knows them itself.
install(TARGETS ${PM_INSTALLED_LIBRARY} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/phasemill.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

file(RELATIVE_PATH PM_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
set(PM_PC_LIBS "-L\${libdir} -lphasemill")
if(NOT BUILD_SHARED_LIBS)
  set(PM_PC_REQUIRES "${YAJL_MODULE_NAME}, ${SQLITE_MODULE_NAME}, ${CRYPTO_MODULE_NAME}, ${MSGPACK_MODULE_NAME}")
  string(APPEND PM_PC_LIBS " ${NAUTY_LIBRARY} ${AMD_LIBRARY} ${SCOTCH_LIBRARY} ${SCOTCHERR_LIBRARY} ${OpenMP_C_FLAGS} -lm")
endif()
configure_file(cmake/phasemill.pc.in phasemill.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/phasemill.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
